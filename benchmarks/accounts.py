"""CPU time of a program with all its processes.

Processes that have exited count, too, and so do processes that left the program's process tree.
"""

import atexit
import os
import resource
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol

from benchmarks.processes import children, tree_cpu_seconds

_CGROUPS = Path("/sys/fs/cgroup")
_NAMES = iter(range(1_000_000))


class Account(Protocol):
    """The processes of one program."""

    @property
    def prefix(self) -> Sequence[str]:
        """Return the arguments to put before a program's, so that all its processes count."""

    def hold(self, pid: int) -> None:
        """Count a process that was started with the prefix, and its descendants."""

    def seconds(self) -> float:
        """Return the CPU seconds of all processes so far. Only differences have a meaning."""

    def pids(self) -> Sequence[int]:
        """Return the ids of the running processes."""


class GroupAccount:
    """Counts the processes of a control group, which no process can leave."""

    def __init__(self, directory: Path, usage: str) -> None:
        self._directory, self._usage = directory, directory / usage
        entry = directory / "cgroup.procs"
        self._prefix = ("sh", "-c", f'echo $$ > {entry} && exec "$@"', "sh")

    @property
    def prefix(self) -> Sequence[str]:
        return self._prefix

    def hold(self, pid: int) -> None:
        """Do nothing: the prefix has already put the process into the group."""

    def seconds(self) -> float:
        text = self._usage.read_text()
        if self._usage.name == "cpuacct.usage":
            return int(text) / 1e9
        return int(dict(map(str.split, text.splitlines()))["usage_usec"]) / 1e6

    def pids(self) -> Sequence[int]:
        return [int(pid) for pid in (self._directory / "cgroup.procs").read_text().split()]

    def close(self) -> None:
        """Remove the group if all its processes have ended."""
        with suppress(OSError):
            self._directory.rmdir()


class TreeAccount:
    """Counts the running descendants and the ended children of this process.

    Start one program at a time. A process that leaves the tree is not counted.
    """

    def __init__(self) -> None:
        self._held: set[int] = set()

    @property
    def prefix(self) -> Sequence[str]:
        return ()

    def hold(self, pid: int) -> None:
        self._held.add(pid)

    def seconds(self) -> float:
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime + sum(map(tree_cpu_seconds, self.pids()))

    def pids(self) -> Sequence[int]:
        by_parent = children()
        tree_pids, unread = [], [pid for pid in self._held if Path(f"/proc/{pid}").exists()]
        while unread:
            tree_pids.append(unread.pop())
            unread += by_parent.get(tree_pids[-1], ())
        return tree_pids


def method() -> str:
    """Return how CPU time is counted on this machine, as text."""
    with account() as counter:
        is_group = isinstance(counter, GroupAccount)
    return "control groups" if is_group else "rusage and /proc"


@contextmanager
def account() -> Iterator[Account]:
    """Yield a GroupAccount if this user may create a control group, otherwise a TreeAccount."""
    group = _group()
    try:
        yield group or TreeAccount()
    finally:
        if group is not None:
            # The group of a program that is still stopping is removed at the end.
            atexit.register(group.close)
            group.close()


def _group() -> GroupAccount | None:
    for parent, usage in _parents():
        directory = parent / f"orchestrator-bench-{os.getpid()}-{next(_NAMES)}"
        try:
            directory.mkdir()
        except OSError:
            continue
        group = GroupAccount(directory, usage)
        if os.access(directory / "cgroup.procs", os.W_OK) and (directory / usage).exists():
            return group
        group.close()
    return None


def _parents() -> Iterator[tuple[Path, str]]:
    for name in ("cpuacct", "cpu,cpuacct"):
        if (_CGROUPS / name / "cpuacct.usage").exists():
            yield _CGROUPS / name, "cpuacct.usage"
    if (_CGROUPS / "cgroup.controllers").exists():
        yield _CGROUPS, "cpu.stat"
