"""Other programs that run many commands in parallel, with a log file for each."""

import os
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from benchmarks.accounts import Account, account

HERE = Path(__file__).resolve().parent
PYTHON = HERE / ".venv" / "bin" / "python"
SLOTS = 4
WARM_UP_TASKS = 20
READY_SECONDS = 60.0
RUN_SECONDS = 180.0
STOP_SECONDS = 30.0
#: Seconds after a run in which a queue system finishes its work in the background.
SETTLE_SECONDS = 0.1
XARGS = f"xargs -P{SLOTS}"
PARALLEL = f"GNU parallel -j{SLOTS}"
DOIT, DASK, CELERY, RQ = "doit", "Dask.distributed", "Celery + Redis", "RQ + Redis"
HUEY = "Huey"
#: This mode is less durable than ours, so there is no target for it.
NOT_DURABLE = "Huey without fsync"


@dataclass(frozen=True, slots=True)
class Run:
    """Wall time and CPU time of all processes, in seconds, without start-up."""

    wall: float
    cpu: float


class Peer(Protocol):
    def run(self, directory: Path, count: int) -> Run:
        """Run /bin/true ``count`` times, each with a log file in ``directory``.

        Raise RuntimeError if the peer fails.
        """


class Pipeline:
    """A command line that runs in the directory of its logs.

    Its start-up time is the minimum time of the same command without tasks.
    """

    def __init__(self, group: Account, command: str, environment: Mapping[str, str]) -> None:
        """``command`` has the number of tasks as ``$TASKS``."""
        self._group, self._command, self._environment = group, command, environment
        self._start_ups: list[Run] = []

    def run(self, directory: Path, count: int) -> Run:
        empty = directory.with_name(f"{directory.name} start-up")
        empty.mkdir()
        self._start_ups.append(self._run_once(empty, 0))
        whole = self._run_once(directory, count)
        wall = whole.wall - min(each.wall for each in self._start_ups)
        cpu = whole.cpu - min(each.cpu for each in self._start_ups)
        if wall <= 0 or cpu <= 0:
            raise RuntimeError("its start-up has cost as much as the run")
        return Run(wall, cpu)

    def _run_once(self, directory: Path, count: int) -> Run:
        env = {**os.environ, **self._environment, "TASKS": str(count)}
        command = [*self._group.prefix, "sh", "-c", self._command]
        cpu, began = self._group.seconds(), time.perf_counter()
        code = subprocess.run(command, cwd=directory, env=env, stderr=subprocess.DEVNULL).returncode
        wall = time.perf_counter() - began
        if code:
            raise RuntimeError(f"it has ended with status {code}")
        return Run(wall, self._group.seconds() - cpu)


class QueueSystem:
    """A queue system with its workers. See ``benchmarks.queues``.

    It is started before the measured time begins. Between its runs, SIGSTOP stops it, so that it
    does not slow down the other programs.
    """

    def __init__(self, group: Account, module: str, directory: Path, *arguments: str) -> None:
        """Raise RuntimeError if the system does not start."""
        self._group, self._module, self._runs = group, module, 0
        self._directory = directory / f"{module} {' '.join(arguments)}".strip().replace(" ", "-")
        self._directory.mkdir()
        program = [str(PYTHON), "-P", "-m", f"queues.{module}", str(self._directory), *arguments]
        with (self._directory / "errors").open("wb") as errors:
            self._process = subprocess.Popen(
                [*group.prefix, *program],
                cwd=self._directory,
                env={**os.environ, "PYTHONPATH": str(HERE)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        group.hold(self._process.pid)
        try:
            self._expect("ready", READY_SECONDS)
        except RuntimeError:
            self.close()
            raise
        self._signal(signal.SIGSTOP)

    def run(self, directory: Path, count: int) -> Run:
        self._signal(signal.SIGCONT)
        self._runs += 1
        warm_up = self._directory / f"warm-up {self._runs}"
        warm_up.mkdir()
        self._ask(warm_up, WARM_UP_TASKS)
        time.sleep(SETTLE_SECONDS)
        cpu, began = self._group.seconds(), time.perf_counter()
        self._ask(directory, count)
        wall = time.perf_counter() - began
        time.sleep(SETTLE_SECONDS)
        cpu = self._group.seconds() - cpu
        self._signal(signal.SIGSTOP)
        return Run(wall, cpu)

    def close(self) -> None:
        """Close the system's input, so that it exits. Kill the system if it does not exit."""
        self._signal(signal.SIGCONT)
        with suppress(subprocess.TimeoutExpired, BrokenPipeError):
            self._process.communicate(timeout=STOP_SECONDS)
        self._signal(signal.SIGKILL)
        self._process.wait()

    def _ask(self, directory: Path, count: int) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{count} {directory}\n")
        self._process.stdin.flush()
        self._expect("done", RUN_SECONDS)

    def _expect(self, answer: str, seconds: float) -> None:
        assert self._process.stdout
        readable, _, _ = select.select([self._process.stdout], [], [], seconds)
        if not readable or self._process.stdout.readline() != f"{answer}\n":
            errors = (self._directory / "errors").read_text("utf-8", "replace").strip()
            reason = errors.splitlines()[-1] if errors else "no message"
            raise RuntimeError(f"it has not answered '{answer}': {reason}")

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._group.pids():
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(frozen=True, slots=True)
class _System:
    module: str
    package: str
    arguments: Sequence[str] = ()
    needs_redis: bool = False


_SYSTEMS: Mapping[str, _System] = {
    # By default, Huey waits for the disk, as orchestrator does. The other mode is for comparison.
    HUEY: _System("huey_peer", "huey", ("synced",)),
    NOT_DURABLE: _System("huey_peer", "huey", ("unsynced",)),
    DASK: _System("dask_peer", "distributed"),
    CELERY: _System("celery_peer", "celery", needs_redis=True),
    RQ: _System("rq_peer", "rq", needs_redis=True),
}
_DOIT = f"'{PYTHON}' -P -m doit run -f '{HERE}/queues/dodo.py' -d . --db-file ../doit.db"


def _commands(directory: Path) -> Mapping[str, tuple[str, Mapping[str, str]]]:
    commands: dict[str, tuple[str, Mapping[str, str]]] = {
        XARGS: (f"seq $TASKS | xargs -P{SLOTS} -I{{}} sh -c '/bin/true > {{}} 2>&1'", {})
    }
    if _have_gnu_parallel():
        command = f"seq $TASKS | parallel --will-cite -j{SLOTS} '/bin/true > {{}} 2>&1'"
        commands[PARALLEL] = command, {"PARALLEL_HOME": str(directory)}
    if _have("doit"):
        # Without the database of an earlier run.
        commands[DOIT] = f"rm -f ../doit.db* && {_DOIT} -n {SLOTS} -P thread", {}
    return commands


def _have_gnu_parallel() -> bool:
    """True if GNU parallel is installed. The package moreutils has another ``parallel``."""
    if shutil.which("parallel") is None:
        return False
    version = subprocess.run(["parallel", "--version"], capture_output=True, text=True)
    return version.stdout.startswith("GNU parallel")


def _have(package: str) -> bool:
    """True if the peers' Python has the package."""
    return any(PYTHON.parent.parent.glob(f"lib/python3*/site-packages/{package}/__init__.py"))


def _lacks(system: _System) -> bool:
    return not _have(system.package) or (system.needs_redis and not shutil.which("redis-server"))


@contextmanager
def peers(directory: Path, *, quick: bool) -> Iterator[tuple[Mapping[str, Peer], Sequence[str]]]:
    """Yield the installed peers, ready to run, and the reasons why other peers are omitted.

    ``directory``: for the peers' files. A ``quick`` run omits peers with a slow start.
    """
    available: dict[str, Peer] = {}
    notes: list[str] = []
    with ExitStack() as stack:
        commands = _commands(directory)
        for name, (command, environment) in commands.items():
            available[name] = Pipeline(stack.enter_context(account()), command, environment)
        for name, system in _SYSTEMS.items():
            if quick and system.package != "huey":
                notes.append(f"{name} is omitted, because this is a quick run.")
                continue
            if _lacks(system):
                notes.append(f"{name} is not installed here and omitted.")
                continue
            group = stack.enter_context(account())
            try:
                queue = QueueSystem(group, system.module, directory, *system.arguments)
            except RuntimeError as error:
                notes.append(f"{name} is omitted: {error}")
                continue
            stack.callback(queue.close)
            available[name] = queue
        notes += [
            f"{name} is not installed here and omitted."
            for name in (PARALLEL, DOIT)
            if name not in commands
        ]
        yield available, notes
