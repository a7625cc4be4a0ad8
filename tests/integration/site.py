"""A running job manager with its HTTP server: in this process, or in a separate process."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import requests
import yaml

from orchestrator.api.http_server.app import close_app, create_app
from orchestrator.api.http_server.waitress_server import serve
from orchestrator.cli.server.doctor_process import DoctorProcess
from orchestrator.cli.server.server_process import api_options
from orchestrator.composition import JobManager
from orchestrator.config import load
from orchestrator.core.errors import OrchestratorError
from orchestrator.store import SqlStore, sqlite_url
from tests.faults.zygote import Forked, Zygote
from tests.support.event_data import check_stored_events

REPOSITORY = Path(__file__).absolute().parents[2]
KEY = "the-key-of-the-engine-tests"
Answer = dict[str, Any]

#: Timeouts in seconds that only end a hang, because a loaded machine may be slow.
READY_SECONDS, HANG_SECONDS = 90.0, 60.0
#: Settings with shorter times than the defaults, so that no test takes minutes.
SETTINGS: dict[str, dict[str, Any]] = {
    "orchestrator": {"workspace_root": "./workspace", "project_root": "./project"},
    "workers": {
        "max_workers": 8,
        "default_timeout": 60,
        "max_retries": 0,
        "grace_seconds": 1,
        "retry_backoff_seconds": 0.05,
        "min_available_memory_bytes": 0,
    },
    "api": {"port": 0, "api_key": KEY},
    "logging": {"log_dir": "./logs"},
}


def until(condition: Callable[[], Any], what: str, within: float = HANG_SECONDS) -> Any:
    """Wait until the condition is true, and return its value. Fail after ``within`` seconds."""
    begun = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - begun
        assert waited < within, f"not true within {within:g} s: {what}"
        # Checks less often over time, because many conditions call the server.
        time.sleep(min(0.05, 0.01 + waited / 20))
    return found


def files_named(directory: Path, name: str) -> list[Path]:
    """Return the files of this name below a directory. Other processes may change the directory."""
    return [Path(place) / name for place, _, files in os.walk(directory) if name in files]


def complete_lines(path: Path) -> list[str]:
    """Return the complete lines of a file that another process may be writing.

    Return an empty list if the file is missing.
    """
    try:
        whole = path.read_bytes().rpartition(b"\n")[0]
    except FileNotFoundError:
        return []
    return whole.decode().splitlines()


def shell(command: str | list[str], **more: Any) -> Answer:
    return {"agent": "shell", "command": command, **more}


def worker_processes(root_id: str) -> list[int]:
    """Return the pids of running processes with the marker of a worker of this root job."""
    marker = f"ORCHESTRATOR_WORKER={root_id}/".encode()
    pids = []
    for directory in Path("/proc").glob("[0-9]*"):
        try:
            if marker in (directory / "environ").read_bytes():
                pids.append(int(directory.name))
        except OSError:
            continue
    return pids


class Site:
    """Calls and files of a server, in this process or in a separate process."""

    url: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workspace = folder / "workspace"

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        key: str = KEY,
        headers: Mapping[str, str] | None = None,
    ) -> requests.Response:
        return requests.request(
            method,
            f"{self.url}/api/v1{path}",
            json=body,
            headers={"X-API-Key": key, **(headers or {})},
            timeout=60,
        )

    def get(self, path: str, key: str = KEY) -> Answer:
        response = self.call("GET", path, key=key)
        assert response.status_code == 200, response.text
        found: Answer = response.json()
        return found

    def post(
        self, request: str, tasks: Sequence[Answer] = (), key: str = KEY, **config: Any
    ) -> requests.Response:
        body: Answer = {"request": request, "config": config}
        if tasks:
            body["tasks"] = list(tasks)
        return self.call("POST", "/orchestrate", body, key=key)

    def submit(self, request: str, tasks: Sequence[Answer] = (), **config: Any) -> str:
        response = self.post(request, tasks, **config)
        assert response.status_code == 202, response.text
        return str(response.json()["job_id"])

    def wait(self, job_id: str, within: float = 60.0) -> Answer:
        deadline = time.monotonic() + within
        while True:
            answer = self.get(f"/jobs/{job_id}/wait?timeout=20")
            if answer["status"] in ("completed", "partial", "failed", "cancelled"):
                return answer
            assert time.monotonic() < deadline, f"job {job_id} is still {answer['status']}"

    def run(self, request: str, tasks: Sequence[Answer] = (), **config: Any) -> Answer:
        return self.wait(self.submit(request, tasks, **config))

    def status(self, job_id: str) -> Answer:
        return self.get(f"/jobs/{job_id}/status")

    def directory(self, job_id: str) -> Path:
        return self.workspace / f"job_{job_id}"

    def log(self, job_id: str, worker: str, depth: int = 0) -> str:
        path = self.directory(job_id) / "logs" / f"depth_{depth}_{worker}.log"
        return path.read_text("utf-8", "replace") if path.exists() else ""

    def status_file(self, job_id: str) -> Answer:
        """Return the content of status.json. The server writes it soon after a submission."""
        path = self.directory(job_id) / "status.json"
        until(path.exists, f"{path} exists")
        found: Answer = json.loads(path.read_text())
        return found

    def key_of(self, job_id: str, worker: str = "worker_1", depth: int = 0) -> str:
        """Return the key of a worker that writes its key to the file ``key``, as ``HOLD`` does."""
        path = self.directory(job_id) / f"depth_{depth}" / worker / "key"
        return str(until(lambda: path.exists() and path.read_text().strip(), f"{path} exists"))


#: Command that writes the worker's key to the file ``key``, and ends when the file $RELEASE exists.
HOLD = (
    'printenv ORCHESTRATOR_API_KEY > .k && mv .k key; until [ -e "$RELEASE" ]; do sleep 0.02; done'
)


def make_folder(folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> Path:
    """Create a folder of the product, with its own configuration and a link to the real ``bin``."""
    settings = {
        name: {**SETTINGS.get(name, {}), **changes.get(name, {})}
        for name in {**SETTINGS, **changes}
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "project").mkdir(exist_ok=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    if not (folder / "bin").is_symlink():
        (folder / "bin").symlink_to(REPOSITORY / "bin")
    return folder


@cache
def migrated() -> bytes:
    """Return the content of a database with the current schema and without jobs."""
    with tempfile.TemporaryDirectory() as directory:
        store = SqlStore(sqlite_url(Path(directory) / "orchestrator.db"))
        store.open()
        store.close()
        return (Path(directory) / "orchestrator.db").read_bytes()


def with_schema(store: SqlStore) -> None:
    """Create the database file with its schema, because migrations take a third of a start.

    An existing database is not changed.
    """
    if store.file is not None and not store.file.exists():
        store.file.parent.mkdir(parents=True, exist_ok=True)
        store.file.write_bytes(migrated())
        store.file.chmod(0o600)


class InProcess(Site):
    """A job manager in this process, with real workers and a real HTTP server."""

    def __init__(self, folder: Path, changes: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__(make_folder(folder, changes))
        settings = load(folder, environ={}).settings
        self.manager = JobManager(folder, settings)
        with_schema(self.manager.parts.store)
        self.manager.open()
        doctor = DoctorProcess(folder, os.environ)
        options = replace(api_options(settings), doctor=doctor)
        self._app = create_app(self.manager.service, options)
        self._server = serve(self._app, host="127.0.0.1", port=0, threads=8)
        self.url = self._server.url
        try:
            self.manager.start(self.url)
        except OrchestratorError:
            close_app(self._app)
            self._server.close()
            self.manager.close()
            raise
        self._server.start()

    def stop(self) -> None:
        self.manager.stop_workers()
        close_app(self._app)
        self._server.close()
        assert self._server.wait(HANG_SECONDS)
        self.manager.stop()
        check_stored_events(self.workspace / "orchestrator.db")


class ServerProcess(Site):
    """``python -m orchestrator serve`` with its own folder.

    A zygote starts the server in a tenth of the time, but its exit code is then unknown.
    """

    def __init__(
        self,
        folder: Path,
        changes: Mapping[str, Mapping[str, Any]],
        zygote: Zygote | None = None,
    ) -> None:
        super().__init__(make_folder(folder, changes))
        self.process: subprocess.Popen[bytes] | Forked | None = None
        self._zygote = zygote

    def environment(self) -> dict[str, str]:
        """Return the environment. Variables with the settings override every config.yaml."""
        settings = yaml.safe_load((self.folder / "config.yaml").read_text())
        given = {
            f"ORCHESTRATOR_{section}__{name}".upper(): json.dumps(value)
            if not isinstance(value, str)
            else str(self.folder / value)
            if value.startswith("./")
            else value
            for section, values in settings.items()
            for name, value in values.items()
        }
        # Bytecode is written, because compiling the modules takes longer than a test.
        kept = {
            name: value
            for name, value in os.environ.items()
            if "ORCHESTRATOR" not in name and name != "PYTHONDONTWRITEBYTECODE"
        }
        return {**kept, **given, "PYTHONPATH": str(REPOSITORY)}

    def popen(self, *arguments: str, fork: bool = True) -> subprocess.Popen[bytes] | Forked:
        if self._zygote is not None and fork:
            output = self.folder / "server.out"
            return self._zygote.fork(["serve", *arguments], self.environment(), self.folder, output)
        with (self.folder / "server.out").open("ab") as output:
            return subprocess.Popen(
                [sys.executable, "-m", "orchestrator", "serve", *arguments],
                env=self.environment(),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
            )

    def change(self, **sections: Mapping[str, Any]) -> None:
        """Change settings in config.yaml, for the next start of the server."""
        path = self.folder / "config.yaml"
        settings = yaml.safe_load(path.read_text())
        changed = {name: {**settings.get(name, {}), **each} for name, each in sections.items()}
        path.write_text(yaml.safe_dump({**settings, **changed}))

    @property
    def record(self) -> Path:
        return self.workspace / "server.json"

    def output(self) -> str:
        return (self.folder / "server.out").read_text()

    def start(self, *arguments: str) -> None:
        """Start the server, by default on any port, and wait until it is ready."""
        self.process = process = self.popen(*(arguments or ("--port", "0")))

        def ready() -> bool:
            assert process.poll() is None, self.output()
            try:
                record = json.loads(self.record.read_text())
            except (OSError, ValueError):
                return False
            return bool(record["pid"] == process.pid)

        until(ready, "the server is ready", READY_SECONDS)
        self.url = json.loads(self.record.read_text())["url"]

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(HANG_SECONDS)

    def terminate(self) -> int:
        """Stop the server with SIGTERM. Return its exit code; always 0 if a zygote forked it."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(HANG_SECONDS)

    def stop(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.terminate()
            check_stored_events(self.workspace / "orchestrator.db")


class Watcher:
    """Calls a function repeatedly in a thread, until an error or the end of the block."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._enough = threading.Event()
        self.looks = 0
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._enough.set()
        self._thread.join(10)

    def _run(self) -> None:
        try:
            while not self._enough.is_set():
                self._look()
                self.looks += 1
        except BaseException as error:
            self.error = error
