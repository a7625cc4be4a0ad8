"""A real server of the product in its own folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.api.client import OrchestratorClient

PRODUCT = Path(__file__).resolve().parents[2]
KEY = "key-of-the-acceptance-tests"
READY_SECONDS = 60.0


def wait_until(condition: Callable[[], object], seconds: float = READY_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {seconds:g} s"
        time.sleep(0.02)


@dataclass
class Server:
    """A server that can be stopped and restarted. Its folder has links to the product's files."""

    folder: Path
    project: Path
    process: subprocess.Popen[bytes] | None = None
    variables: dict[str, str] = field(default_factory=dict)

    @property
    def environ(self) -> dict[str, str]:
        inherited = {k: v for k, v in os.environ.items() if not k.startswith("ORCHESTRATOR_")}
        return {**inherited, "PYTHONPATH": str(self.folder), **self.variables}

    @property
    def record(self) -> dict[str, object]:
        text = (self.folder / "workspace" / "server.json").read_text()
        found: dict[str, object] = json.loads(text)
        return found

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-P", "-m", "orchestrator", *arguments]

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the server's folder in the project."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.project,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
        )

    def start(self) -> None:
        self.launch()
        wait_until(self._ready)

    def launch(self) -> None:
        """Start the server without waiting until it is ready."""
        with (self.folder / "output.txt").open("ab") as output:
            self.process = subprocess.Popen(
                self.command("serve"),
                cwd=self.project,
                env=self.environ,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _ready(self) -> bool:
        assert self.process and self.process.poll() is None, self.output
        try:
            return self.record["pid"] == self.process.pid
        except (OSError, ValueError):
            return False

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.wait(60)
            self.process = None

    def client(self) -> OrchestratorClient:
        return OrchestratorClient.from_env(self.folder, environ={})


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("host project") / "the product"
    folder.mkdir()
    lists = ("requirements.txt", "requirements-survey.txt")
    for name in ("orchestrator", "bin", ".venv", "api_server.py", *lists):
        if (PRODUCT / name).exists():
            (folder / name).symlink_to(PRODUCT / name)
    (folder / "workspace").mkdir()
    (folder / "config.yaml").write_text(f"api:\n  port: 0\n  api_key: {KEY}\n")
    (folder / "config.yaml").chmod(0o600)
    (folder.parent / "hello.py").write_text('"""A host project."""\n\n\ndef hello() -> None: ...\n')
    return folder


@pytest.fixture(scope="session")
def server(server_folder: Path) -> Iterator[Server]:
    """Return one server for all tests of a session. Each test finds its jobs by id."""
    server = Server(folder=server_folder, project=server_folder.parent)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def client(server: Server) -> Iterator[OrchestratorClient]:
    with server.client() as client:
        yield client
