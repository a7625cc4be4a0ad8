"""A zygote: a process that has imported all modules, and forks a server on each request.

A fork is fast, whereas importing takes longer than most tests. A forked process parses its
arguments and runs as ``python -m orchestrator`` does.
"""

import json
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).absolute().parents[2]
IMPORTED = (
    "orchestrator.cli.server.serve_command",
    "orchestrator.cli.server.server_process",
    "sqlalchemy.dialects.sqlite",
    "sqlalchemy.dialects.postgresql",
    # Modules that a server imports for a new workspace.
    "alembic.command",
)
#: Variable with the secret of all exit records; without the variable, secrets are random.
SECRET = "TESTS_RECORD_SECRET"


class Forked:
    """A process that the zygote forked, with the methods of ``subprocess.Popen`` that tests use."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        try:
            self._pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            self._pidfd = -1

    def poll(self) -> int | None:
        return self._wait(0)

    def wait(self, timeout: float) -> int:
        status = self._wait(timeout)
        if status is None:
            raise subprocess.TimeoutExpired("orchestrator serve", timeout)
        return status

    def _wait(self, seconds: float) -> int | None:
        """Return 0 for any exit status, because only the zygote knows the status. Return None after
        a timeout.
        """
        if self._pidfd >= 0:
            if not select.select([self._pidfd], [], [], seconds)[0]:
                return None
            os.close(self._pidfd)
            self._pidfd = -1
        return 0

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            signal.pidfd_send_signal(self._pidfd, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class Zygote:
    """Any thread may fork."""

    def __init__(self) -> None:
        kept = {name: value for name, value in os.environ.items() if "ORCHESTRATOR" not in name}
        kept.pop("PYTHONDONTWRITEBYTECODE", None)
        self._lock = threading.Lock()
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "tests.faults.zygote"],
            env={**kept, "PYTHONPATH": str(REPOSITORY)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None and self._process.stdout.readline() == "ready\n"

    def fork(
        self, arguments: Sequence[str], env: Mapping[str, str], cwd: Path, output: Path
    ) -> Forked:
        request = {
            "arguments": list(arguments),
            "env": dict(env),
            "cwd": str(cwd),
            "output": str(output),
        }
        assert self._process.stdin is not None and self._process.stdout is not None
        with self._lock:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            return Forked(int(self._process.stdout.readline()))

    def close(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait(60)


def main() -> None:
    for name in IMPORTED:
        import_module(name)
    with suppress(ImportError):
        import_module("psycopg")
    from orchestrator.cli.command_line.main import main as orchestrator_main

    print("ready", flush=True)
    # No process waits for the forked processes.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while line := sys.stdin.readline():
        request = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(request)
            orchestrator_main()
        print(pid, flush=True)


def _become(request: dict[str, Any]) -> None:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    empty = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((empty, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    sys.argv = ["orchestrator", *request["arguments"]]
    if SECRET in os.environ:
        _fix_secret(os.environ.pop(SECRET))


def _fix_secret(secret: str) -> None:
    """Use a secret that the test knows for the exit records of all attempts."""
    from orchestrator.core.ports.launcher import Proof
    from orchestrator.engine.supervisor import supervisor
    from orchestrator.security.secrets.api_keys import hash_key

    supervisor.new_proof = lambda: Proof(hash_key(secret), secret)


if __name__ == "__main__":
    main()
