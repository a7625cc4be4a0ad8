"""A launcher with real processes, and functions that wait for its reports."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.ports.launcher import Launch
from orchestrator.launchers.containment.containment_settings import ContainmentSettings, Mode
from orchestrator.launchers.local.local_launcher import Listener, LocalLauncher
from orchestrator.system import process_table
from tests.support import above

#: Timeout in seconds that only ends a hang, because a loaded machine may be slow.
HANG_SECONDS = 60.0


@dataclass
class Reports:
    """The reports of a launcher."""

    pids: dict[str, int] = field(default_factory=dict)
    exits: dict[str, list[Exit]] = field(default_factory=dict)
    #: Preloaded launches: the time of each start, and the names of returned launches.
    begun_at: dict[str, float] = field(default_factory=dict)
    back: list[str] = field(default_factory=list)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def started(self, attempt_id: str, pid: int) -> None:
        with self.changed:
            self.pids[_name(attempt_id)] = pid
            self.changed.notify_all()

    def begun(self, attempt_id: str, at: float) -> None:
        with self.changed:
            self.begun_at[_name(attempt_id)] = at
            self.changed.notify_all()

    def returned(self, attempt_id: str) -> None:
        with self.changed:
            self.back.append(_name(attempt_id))
            self.changed.notify_all()

    def ended(self, attempt_id: str, exit: Exit) -> None:
        with self.changed:
            self.exits.setdefault(_name(attempt_id), []).append(exit)
            self.changed.notify_all()

    def pid(self, name: str, within: float = HANG_SECONDS) -> int:
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.pids, within), (
                f"{name} was not started within {within:g} s"
            )
            return self.pids[name]

    def exit(self, name: str, within: float = HANG_SECONDS) -> Exit:
        with self.changed:
            assert self.changed.wait_for(lambda: name in self.exits, within), (
                f"{name} did not end within {within:g} s"
            )
            assert len(self.exits[name]) == 1, "an end is reported once"
            return self.exits[name][0]


def _name(attempt_id: str) -> str:
    return attempt_id.rpartition("/")[2]


ESCAPEES = Path(__file__).with_name("escapees.py")
SERVER = Path(__file__).with_name("server.py")
REPOSITORY = Path(__file__).parents[3]


class Stage:
    """A running launcher in its own directory."""

    def __init__(self, directory: Path, containment: ContainmentSettings | None = None) -> None:
        """Raise ContainmentUnavailable if this machine cannot run the containment."""
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self._job = uuid.uuid4().hex
        self.containment = containment
        self._open()

    def _open(self) -> None:
        self.reports = Reports()
        self.launcher = LocalLauncher(self.containment)
        self.launcher.open(self.reports)
        self._listener = Listener(self.launcher)
        self._listener.__enter__()

    def close(self, stop: bool = True) -> None:
        """Idempotent."""
        self._listener.__exit__(None, None, None)
        self.launcher.close(stop=stop)

    @contextmanager
    def pause_listening(self) -> Iterator[None]:
        """Read no messages of shims and the spawner while the block runs."""
        self._listener.__exit__(None, None, None)
        try:
            yield
        finally:
            self._listener = Listener(self.launcher)
            self._listener.__enter__()

    def serve_spawner_first(self, attempt_id: str) -> bool:
        """Read the spawner's messages. Return True if they report the end of the attempt's shim."""
        link = self.launcher._attempts[attempt_id]
        self.launcher._serve_spawner()
        return bool(link.is_end_reported)

    def id(self, name: str) -> str:
        """Return an attempt id that is unique on the whole machine."""
        return f"{self._job}/{name}"

    def launch(self, name: str, *argv: str, **changes: object) -> Launch:
        settings: dict[str, object] = {
            "attempt_id": self.id(name),
            "argv": argv,
            "cwd": str(self.directory),
            "env": {"PATH": os.environ["PATH"]},
            "log": str(self.directory / f"{name}.log"),
            "exit_path": str(self.directory / f"{name}.json"),
        }
        return Launch(**{**settings, **changes})  # type: ignore[arg-type]

    def start(self, name: str, *argv: str, **changes: object) -> Launch:
        launch = self.launch(name, *argv, **changes)
        self.launcher.start(launch)
        return launch

    def stop(self, name: str, ended_by: str, stopped_by: str) -> None:
        self.launcher.stop(self.id(name), ended_by, stopped_by)

    def waiting(self, name: str, waiting: bool) -> None:
        self.launcher.waiting(self.id(name), waiting)

    def adopt(self, name: str) -> bool:
        return self.launcher.adopt(self.id(name), str(self.directory / f"{name}.json"))

    def determine_end(self, name: str) -> Exit:
        return self.launcher.determine_end(self.id(name), str(self.directory / f"{name}.json"))

    def run(self, name: str, *argv: str, **changes: object) -> Exit:
        self.start(name, *argv, **changes)
        return self.reports.exit(name)

    def shell(self, name: str, script: str, **changes: object) -> Exit:
        return self.run(name, "sh", "-c", script, **changes)

    def log(self, name: str) -> bytes:
        return (self.directory / f"{name}.log").read_bytes()

    def is_ready(self, name: str) -> bool:
        """True if the worker has reported that it is ready."""
        log = self.directory / f"{name}.log"
        return log.exists() and log.read_bytes().startswith(b"ready\n")

    def shim_of(self, name: str) -> int:
        """Return the pid of the shim that runs a worker."""
        worker = process_table.look_up(self.reports.pid(name))
        assert worker is not None
        return worker.parent

    @property
    def spawner(self) -> int:
        """The spawner's pid. Waits until the spawner exists."""
        found: list[int] = []
        wait_until(lambda: found.extend(self._spawners()) or found)
        return found[0]

    def _spawners(self) -> list[int]:
        keeper = self.launcher.keeper_pid
        if self.launcher.containment == Mode.BASIC:
            return [keeper]
        spawner = above.spawner(keeper)
        return [spawner] if spawner else []

    def shim(self) -> int:
        """Return the pid of the only shim."""
        [shim] = process_table.children(self.spawner)
        return shim

    def kill(self, *names: str) -> None:
        """Kill some of "keeper", "spawner", and "shim" at the same time, with SIGKILL."""
        pids = {"keeper": self.launcher.keeper_pid, "spawner": self.spawner, "shim": self.shim()}
        for name in names:
            os.kill(pids[name], signal.SIGKILL)

    def reopen(self, stop: bool = False) -> None:
        """Replace the launcher, as a new server does. Shims keep running unless ``stop`` is set."""
        self.close(stop)
        self._open()


class KillableLauncher:
    """A launcher in a separate process, so that a test can also kill the server."""

    def __init__(self, stage: Stage, name: str, mode: Mode, *argv: str) -> None:
        """Start an attempt of a stage. To get the end of the attempt, the stage must adopt it."""
        arguments = [mode, stage.id(name), str(stage.directory), *argv]
        self._server = subprocess.Popen(
            [sys.executable, str(SERVER), *arguments], stdout=subprocess.PIPE, cwd=REPOSITORY
        )
        assert self._server.stdout is not None
        keeper = int(self._server.stdout.readline())
        spawner = above.spawner(keeper)
        assert spawner is not None
        [shim] = above.shims(keeper)
        self.pids = {"server": self._server.pid, "keeper": keeper, "spawner": spawner, "shim": shim}

    def kill(self, *names: str) -> None:
        """Kill some of the worker's ancestors at the same time, with SIGKILL."""
        for name in names:
            os.kill(self.pids[name], signal.SIGKILL)
        if "server" in names:
            self._server.wait()
            assert self._server.stdout is not None
            self._server.stdout.close()

    def running_ancestors(self) -> list[str]:
        """Return the names of the worker's ancestors that still run."""
        return [
            name for name, pid in self.pids.items() if process_table.start_ticks(pid) is not None
        ]


def start_escapees(stage: Stage, until: Callable[..., None], *options: str) -> None:
    stage.start("a", *escapees(stage.directory, *options), grace=0.2)
    until(lambda: all_escaped(stage.directory))


def escapees(directory: Path, *options: str) -> tuple[str, ...]:
    # Copied, because a sandbox hides a repository below /tmp, except this directory.
    script = shutil.copy(ESCAPEES, directory)
    return (sys.executable, "-S", "-E", str(script), str(directory), *options)


def all_escaped(directory: Path) -> bool:
    return len(list(directory.glob("beat-*"))) == 6


def alive_escapees(directory: Path) -> list[str]:
    """Return the heartbeat files to which escapees still write."""
    sizes = {path.name: path.stat().st_size for path in directory.glob("beat-*")}
    time.sleep(0.3)
    return [
        path.name for path in directory.glob("beat-*") if path.stat().st_size > sizes[path.name]
    ]


def wait_until(condition: Callable[[], object], within: float = HANG_SECONDS) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"the condition was not true within {within:g} s"
        time.sleep(0.005)


@pytest.fixture
def until() -> Callable[..., None]:
    return wait_until


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    stage = Stage(tmp_path)
    yield stage
    stage.close()


FULL = (Mode.SUBREAPER, Mode.CGROUP, Mode.PIDNS, Mode.SANDBOX)
#: Modes that must be available in CI.
EVERYWHERE = (Mode.SUBREAPER, Mode.PIDNS, Mode.BASIC)
IN_NAMESPACE = (Mode.PIDNS, Mode.SANDBOX)


def open_stage(directory: Path, containment: ContainmentSettings) -> Stage:
    try:
        return Stage(directory, containment)
    except ContainmentUnavailable as error:
        if os.environ.get("CI") and containment.mode in EVERYWHERE:
            raise
        pytest.skip(error.message)


@pytest.fixture(params=FULL)
def contained(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stage]:
    """A launcher in each mode in which no process can escape."""
    stage = open_stage(tmp_path, ContainmentSettings(mode=request.param))
    yield stage
    stage.close()
