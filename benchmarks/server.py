"""Starts the product's server with its own workspace. A client that uses little CPU time."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from benchmarks.accounts import Account
from benchmarks.options import place

#: The checkout whose server is measured.
FOLDER = Path(__file__).resolve().parents[1]
#: A directory whose modules the server finds after those of the checkout; empty: none.
EXTRA_PATH = ""
KEY = "key-of-the-benchmarks"
_NO_CACHE = "PYTHONDONTWRITEBYTECODE"
READY_SECONDS = 60.0
STOP_SECONDS = 60.0


class Client:
    """One kept-alive connection. Only one thread may use it."""

    def __init__(self, url: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)

    def call(self, method: str, path: str, body: bytes | None = None) -> bytes:
        """Return the answer's body. Raise RuntimeError if the answer is an error."""
        headers = {"X-API-Key": KEY}
        if body is not None:
            headers["Content-Type"] = "application/json"
        self._connection.request(method, path, body, headers)
        response = self._connection.getresponse()
        answer = response.read()
        if response.status >= 400:
            raise RuntimeError(f"{method} {path}: {response.status} {answer[:500]!r}")
        return answer

    def get(self, path: str) -> Any:
        return json.loads(self.call("GET", f"/api/v1{path}"))

    def submit(self, body: bytes) -> str:
        """Submit a job, and return its id."""
        return str(json.loads(self.call("POST", "/api/v1/orchestrate", body))["job_id"])

    def cancel(self, job_id: str) -> None:
        self.call("POST", f"/api/v1/jobs/{job_id}/cancel")

    def close(self) -> None:
        self._connection.close()


class Server:
    """A running server. ``directory``: for all files of the server."""

    def __init__(
        self,
        directory: Path,
        slots: int,
        settings: Mapping[str, str],
        group: Account | None = None,
    ) -> None:
        self._directory, self._group = directory, group
        self._environment = _environment(directory, slots, settings)
        (directory / "project").mkdir()
        self.url = ""
        self.restart()

    def restart(self) -> None:
        """Start the process. Call ``wait_until_ready`` afterwards."""
        directory = self._directory
        prefix = self._group.prefix if self._group else ()
        with (directory / "server.out").open("ab") as output:
            self._process = subprocess.Popen(
                [*prefix, sys.executable, "-P", "-m", "orchestrator", "serve", "--port", "0"],
                cwd=directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )
        if self._group:
            self._group.hold(self.pid)

    @property
    def directory(self) -> Path:
        return self._directory

    @property
    def environment(self) -> Mapping[str, str]:
        return self._environment

    @property
    def database(self) -> Path:
        return self._directory / "workspace" / "orchestrator.db"

    @property
    def pid(self) -> int:
        return self._process.pid

    def client(self) -> Client:
        return Client(self.url)

    def wait_until_ready(self) -> None:
        """Raise RuntimeError if the server exits, or is not ready in time."""
        until(self._is_ready, "the server is ready", READY_SECONDS)

    def _is_ready(self) -> bool:
        if self._process.poll() is not None:
            output = (self._directory / "server.out").read_text("utf-8", "replace")
            raise RuntimeError(f"the server has ended: {output}")
        try:
            record = json.loads((self._directory / "workspace" / "server.json").read_text())
        except (OSError, ValueError):
            return False
        self.url = record["url"]
        # A killed server does not remove its record.
        return bool(record["pid"] == self.pid)

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """Stop the server with a signal; kill it if it does not exit. Idempotent."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


@contextmanager
def running_server(
    slots: int,
    parent: Path | None = None,
    settings: Mapping[str, str] | None = None,
    group: Account | None = None,
) -> Iterator[Server]:
    """Yield a server with ``slots`` slots in an empty directory in ``parent``.

    ``settings`` replace settings of all benchmarks; names have the form API__THREADS. ``group``
    counts the CPU time of the server and its processes.
    """
    server = Server(place(parent), slots, settings or {}, group)
    try:
        server.wait_until_ready()
        yield server
    finally:
        server.stop()


def _environment(directory: Path, slots: int, changes: Mapping[str, str]) -> Mapping[str, str]:
    """Return the server's environment with all settings, so that the folder's config.yaml has no
    effect.
    """
    # Without the bytecode cache, each process would compile all modules.
    excluded = {name for name in os.environ if "ORCHESTRATOR_" in name} | {_NO_CACHE}
    inherited = {name: value for name, value in os.environ.items() if name not in excluded}
    settings = {
        "ORCHESTRATOR__WORKSPACE_ROOT": str(directory / "workspace"),
        "ORCHESTRATOR__PROJECT_ROOT": str(directory / "project"),
        "LOGGING__LOG_DIR": str(directory / "logs"),
        "LOGGING__LEVEL": "INFO",
        "API__HOST": "127.0.0.1",
        "API__API_KEY": KEY,
        "WORKERS__MAX_WORKERS": str(slots),
        "WORKERS__DEFAULT_TIMEOUT": "3600",
        "WORKERS__MAX_RETRIES": "0",
        "LIMITS__SUBMISSIONS_PER_MINUTE": "null",
        "LIMITS__MAX_WORKERS": str(max(100, slots)),
    }
    variables = {f"ORCHESTRATOR_{name}": value for name, value in {**settings, **changes}.items()}
    return {
        **inherited,
        **variables,
        "PYTHONPATH": f"{FOLDER}:{EXTRA_PATH}" if EXTRA_PATH else str(FOLDER),
    }


def until(condition: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Wait for a condition. Raise RuntimeError if it is not true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise RuntimeError(f"not within {seconds:g} s: {what}")
        time.sleep(0.02)
