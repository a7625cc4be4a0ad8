"""Crash injection for tests: the process kills itself when it reaches a given failpoint.

A *failpoint* is a named point in the code.

The environment variable is ``ORCHESTRATOR_FAILPOINTS=<file>|<selector>,<selector>,...``. A
*selector* selects the failpoint at which the process kills itself. It has one of three forms:

- ``<n>``: the n-th failpoint that any process reaches
- ``<name>``: this failpoint, each time
- ``<name>#<n>``: this failpoint, the n-th time

Each reached failpoint adds one line of fixed length to the file. The counts include all lines,
so they include other processes, and continue after a restart of the server. Tests can read the
names in the file.
"""

import os
import signal
from collections.abc import Mapping

from orchestrator.core import failpoints

VARIABLE = "ORCHESTRATOR_FAILPOINTS"
LINE_BYTES = 64
#: Environment variables that a spawner inherits from its server.
INHERITED_VARIABLES = ("LD_LIBRARY_PATH", VARIABLE)


def arm_from(environ: Mapping[str, str]) -> None:
    """Enable crash injection in this process if ``environ`` has ORCHESTRATOR_FAILPOINTS."""
    setting = environ.get(VARIABLE)
    if setting:
        path, _, selectors = setting.rpartition("|")
        failpoints.arm(_Crash(path, frozenset(selectors.split(","))))


class _Crash:
    def __init__(self, path: str, selectors: frozenset[str]) -> None:
        self._path = path
        self._selectors = selectors
        self._counts_names = any("#" in selector for selector in selectors)

    def __call__(self, name: str) -> None:
        number = self._count(name)
        occurrence = f"{name}#{self._times(name, number)}" if self._counts_names else name
        if not self._selectors.isdisjoint((str(number), name, occurrence)):
            os.kill(os.getpid(), signal.SIGKILL)
            signal.pause()

    def _count(self, name: str) -> int:
        line = f"{os.getpid()} {name}"[: LINE_BYTES - 1].ljust(LINE_BYTES - 1) + "\n"
        # Open the file for each write. After an append, the position gives the count, even with
        # other writers.
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, line.encode())
            return os.lseek(file, 0, os.SEEK_CUR) // LINE_BYTES
        finally:
            os.close(file)

    def _times(self, name: str, number: int) -> int:
        with open(self._path, "rb") as trace:
            lines = trace.read(number * LINE_BYTES).decode().splitlines()
        return sum(line.partition(" ")[2].rstrip() == name for line in lines)
