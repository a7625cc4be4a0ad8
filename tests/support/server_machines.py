"""Servers with one workspace, each on its own "machine": a PID namespace of this machine."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from tests.integration.site import READY_SECONDS, ServerProcess, until

#: The first process of a machine. It starts the server, and reaps orphans until it is killed.
_INIT = (
    'trap : TERM; ("$@"; echo "exit code $?") & while :; do sleep 1000 & wait; done >/dev/null 2>&1'
)
_NEW = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


class ServerMachine(ServerProcess):
    """A machine with a server. It shares its folder and workspace with other machines, and has its
    own processes and its own directory for temporary files.
    """

    def __init__(
        self, name: str, shared: ServerProcess, temporary: Path, database: str = ""
    ) -> None:
        """``database``: URL of the database, if this machine has another URL for it."""
        self.folder, self.workspace = shared.folder, shared.workspace
        self.name, self._temporary, self._database = name, temporary, database
        temporary.mkdir(exist_ok=True)
        self._outer: subprocess.Popen[bytes] | None = None

    def environment(self) -> dict[str, str]:
        own = {"TMPDIR": str(self._temporary)}
        own |= {"ORCHESTRATOR_STORE__URL": self._database} if self._database else {}
        return {**super().environment(), **own}

    def boot(self, *arguments: str) -> None:
        """Switch the machine on, and start its server with these arguments of ``serve``."""
        argv = [sys.executable, "-m", "orchestrator", "serve", "--port", "0", *arguments]
        with self._path.open("ab") as output:
            self._outer = subprocess.Popen(
                [*_NEW, "bash", "-c", _INIT, "init", *argv],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def start(self, *arguments: str) -> None:
        self.boot(*arguments)
        self.until_serving()

    def until_serving(self, within: float = READY_SECONDS) -> None:
        """Wait until the server serves. Raise AssertionError if it exits before."""

        def serves() -> bool:
            assert self.exit_code is None, self.output()
            return "serving at" in self.output()

        until(serves, f"{self.name} serves", within)
        self.url = json.loads(self.record.read_text())["url"]

    @property
    def _path(self) -> Path:
        return self._temporary / "server.out"

    def output(self) -> str:
        return self._path.read_text() if self._path.exists() else ""

    def forget_output(self) -> None:
        """Remove the output, before the machine is switched on again."""
        self._path.unlink()

    @property
    def exit_code(self) -> int | None:
        """The exit code of the server; None while it runs."""
        found = re.findall(r"^exit code (\d+)$", self.output(), re.MULTILINE)
        return int(found[-1]) if found else None

    def pids(self) -> list[int]:
        """Return the pids of the machine's processes, except its first process."""
        init = self._init
        if not init:
            return []
        own = os.stat(f"/proc/{init}/ns/pid").st_ino
        return [pid for pid in _all_pids() if pid != init and _namespace(pid) == own]

    @property
    def server_pid(self) -> int:
        """The PID of the server, as this machine sees it; 0 if it has exited."""
        return next((pid for pid in self.pids() if _is_server(pid)), 0)

    def signal_server(self, number: int) -> None:
        os.kill(self.server_pid, number)

    def signal_all(self, number: int) -> None:
        for pid in self.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def off(self) -> None:
        """Kill all processes of the machine at once. Idempotent."""
        if self._outer is not None:
            with suppress(ProcessLookupError):
                os.kill(self._init or self._outer.pid, signal.SIGKILL)
            self._outer.wait(30)
            self._outer = None

    @property
    def _init(self) -> int:
        if self._outer is None:
            return 0
        pid = self._outer.pid
        try:
            found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        except OSError:
            return 0
        return int(found[0]) if found else 0

    def stop(self) -> None:
        """Stop the server with SIGTERM, and switch the machine off after at most 60 seconds."""
        if pid := self.server_pid:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
                os.kill(pid, signal.SIGTERM)
            deadline = time.monotonic() + 60
            while self.server_pid and time.monotonic() < deadline:
                time.sleep(0.05)
        self.off()


def _all_pids() -> list[int]:
    return [int(each.name) for each in Path("/proc").glob("[0-9]*")]


def _namespace(pid: int) -> int:
    try:
        return os.stat(f"/proc/{pid}/ns/pid").st_ino
    except OSError:
        return 0


def _is_server(pid: int) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[1:4] == [b"-m", b"orchestrator", b"serve"]
