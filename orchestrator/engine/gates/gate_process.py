"""Runs gates as processes. A gate is one command in one directory, and runs under a shim."""

import logging
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from shutil import which

from orchestrator.core import failpoints
from orchestrator.core.errors import RepositoryError
from orchestrator.core.gates.findings import (
    FinishedRun,
    Reading,
    ReportReader,
    UnreadableReport,
    with_exit,
)
from orchestrator.core.gates.gate import Gate, GateCause
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit
from orchestrator.core.ports import Workspace
from orchestrator.core.ports.launcher import Launch, Launcher
from orchestrator.core.repository.repository import Tools
from orchestrator.engine.gates import missing_npm_packages
from orchestrator.engine.runtime.background_pool import BackgroundPool
from orchestrator.engine.runtime.launch_settings import (
    GATE_REPORT,
    LaunchSettings,
    base_environment,
    project_programs,
)
from orchestrator.engine.runtime.running_processes import RunningProcesses
from orchestrator.engine.worktrees.setup_commands import Setup, why_failed
from orchestrator.security.files import scratch_directory as scratch
from orchestrator.security.files import tool_config_boundary
from orchestrator.security.files.untrusted_files import read_regular, read_tail
from orchestrator.security.secrets.api_keys import new_proof
from orchestrator.security.secrets.masking import secrets_in

logger = logging.getLogger(__name__)

#: Name of a file next to the gate's report. Each line is the path of a Python file, in the worktree
#: or in the user's checkout, that the gate executed.
SOURCES = "sources"
#: Maximum number of packages of the user's checkout that a message names.
_MOST_NAMED = 3
#: Maximum bytes that are read of the file ``SOURCES``. If the file is longer, it is unknown which
#: files of the worktree the gate executed.
_MOST_SOURCES_BYTES = 1 << 24
#: Maximum bytes that are read of a gate's output.
LOG_BYTES = 16 * 1024 * 1024
#: Bytes at the end of a gate's output that reports show.
TAIL_BYTES = 16 * 1024
#: Seconds for which a gate keeps running after its server has exited. The next server runs the gate
#: again.
ORPHAN_TIMEOUT_SECONDS = 60.0
#: Exit codes of a shell for a missing program, and for a program that cannot be executed.
_NOT_FOUND, _NOT_EXECUTABLE = 127, 126
#: The program that runs scripts of package.json.
_NPM = "npm"


@dataclass(frozen=True, kw_only=True, slots=True)
class GateProcess:
    """One run of a gate or of setup commands: the command, and where it runs."""

    root_id: str
    #: Name of the worker, check, or base commit for which the command runs. Only one command may
    #: run at a time for the same owner.
    owner: str
    gate: Gate
    #: Working directory of the run.
    cwd: str
    #: Top directory of the worktree; "" if there is no worktree.
    worktree: str
    #: True for a gate; False for setup commands, which only prepare the worktree.
    judges: bool = True

    @property
    def name(self) -> str:
        return f"{prefix(self.owner)}{self.gate.name}"


def prefix(owner: str) -> str:
    """Return the prefix of the names of an owner's gate runs, such as ``gate_worker_1.``."""
    return f"gate_{owner}."


#: Function that returns the search path and variables for the project's own programs. Arguments:
#: the worktree's path, the path of a directory for the programs, and a search path.
FindTools = Callable[[str, str, str], Tools]
#: Function to call when a run ends, with the result. The argument is None if a caller stopped the
#: run, or if the server stopped.
OnRan = Callable[[FinishedRun | None], None]


@dataclass(frozen=True, slots=True)
class _ActiveRun:
    """A gate run whose process has not ended."""

    run: GateProcess
    on_ran: OnRan
    report: Path
    log: Path
    scratch: str


class GateProcesses:
    """Starts and stops gates.

    Any thread may call. Callbacks come from a thread of ``background``.
    """

    def __init__(
        self,
        launcher: Launcher,
        processes: RunningProcesses,
        workspace: Workspace,
        settings: LaunchSettings,
        reader: ReportReader,
        background: BackgroundPool,
        tools: FindTools,
        probe: Path,
        setup: Setup,
    ) -> None:
        """``probe``: a directory of Python modules that report which files a gate executes."""
        self._setup = setup
        self._tools = tools
        self._probe = probe
        self._launcher = launcher
        self._processes = processes
        self._workspace = workspace
        self._settings = settings
        self._reader = reader
        self._background = background

    def begin(self, run: GateProcess, on_ran: OnRan, on_named: Callable[[str], None]) -> None:
        """Start a gate. If the worktree needs setup, run the setup first.

        ``on_named``: called with the name of the process, which ``stop`` needs. If a setup runs,
        ``on_named`` is called twice: for the setup, and later for the gate. Raise OSError if the
        process cannot be prepared.
        """
        if not run.worktree or self._setup.is_done(run.worktree):
            self._begin_run(run, on_ran, on_named)
        else:
            self.set_up(run, partial(self._after_setup, run, on_ran, on_named), on_named)

    def set_up(self, run: GateProcess, on_ran: OnRan, on_named: Callable[[str], None]) -> None:
        """Run the setup commands (``git.setup``) in the worktree of ``run``.

        ``on_ran``: called with the result. ``on_named``: called with the name of the process.
        Raise OSError if the process cannot be prepared.
        """
        setup_run = replace(run, gate=self._setup.gate, judges=False)
        self._begin_run(setup_run, partial(self._setup_ended, setup_run, on_ran), on_named)

    def is_set_up(self, worktree: str) -> bool:
        return self._setup.is_done(worktree)

    def _setup_ended(self, run: GateProcess, on_ran: OnRan, ran: FinishedRun | None) -> None:
        if ran is not None and ran.passed:
            self._setup.mark_done(run.worktree)
        on_ran(ran)

    def _after_setup(
        self,
        run: GateProcess,
        on_ran: OnRan,
        on_named: Callable[[str], None],
        ran: FinishedRun | None,
    ) -> None:
        if ran is None:
            on_ran(None)
            return
        why = why_failed(ran)
        if why:
            on_ran(replace(ran, broken=why, cause=GateCause.SETUP_FAILED, reading=Reading()))
            return
        try:
            self._begin_run(run, on_ran, on_named)
        except OSError as error:
            on_ran(FinishedRun(broken=f"cannot start: {error}", cause=GateCause.ERROR))

    def _begin_run(self, run: GateProcess, on_ran: OnRan, on_named: Callable[[str], None]) -> None:
        number = self._next_number(run)
        tree_directory = self._workspace.job_directory(run.root_id)
        report = self._gate_directory(tree_directory, run) / "report"
        report.unlink(missing_ok=True)
        (report.parent / SOURCES).unlink(missing_ok=True)
        log = tree_directory / "logs" / f"{run.name}.{number}.log"
        launch = self._launch(run, number, report, log)
        active_run = _ActiveRun(run, on_ran, report, log, launch.env["TMPDIR"])
        self._processes.expect(launch.attempt_id, partial(self._process_ended, active_run))
        on_named(launch.attempt_id)
        failpoints.reached("gate: prepared")
        self._launcher.start(launch)

    def why_program_missing(self, gate: Gate, cwd: str, worktree: str) -> str:
        """Return why the gate's program cannot be found, as text; "" if the program is found.

        Also return "" if the project has setup commands, because these may install the program.
        ``cwd``: the directory in which the gate would run. ``worktree``: the worktree's top
        directory; "" without a worktree.
        """
        # If the setup commands do not install the program, the shell reports the missing program.
        if self._setup.commands:
            return ""
        search_path = environment_of(self._settings)["PATH"]
        if not gate.program or which(gate.program, path=search_path) is not None:
            return ""
        message = f"{gate.program} is not installed here"
        lacks_packages = missing_npm_packages.is_missing(gate.program, cwd, worktree or cwd)
        return f"{message}: {missing_npm_packages.MESSAGE}" if lacks_packages else message

    def stop(self, name: str, ended_by: str, stopped_by: str) -> None:
        self._launcher.stop(name, ended_by, stopped_by)

    def stop_earlier_runs(self, root_id: str, owner: str, then: Callable[[], None]) -> None:
        """Stop the processes that an earlier server started for ``owner``, then call ``then``."""
        earlier_runs = self._earlier_runs(root_id, owner)
        countdown = _Countdown(len(earlier_runs) + 1, then)
        for name, record_path in earlier_runs:
            self._processes.expect(name, lambda exit: self._background.submit(countdown.down))
            self._stop_earlier_run(name, record_path)
        countdown.down()

    def _stop_earlier_run(self, name: str, record_path: str) -> None:
        """Stop a gate that an earlier server started.

        The function that ``RunningProcesses.expect`` registered for the gate's end is called when
        the gate has stopped, or at once if the gate has already ended.
        """
        exit = Exit(ended_by=EndedBy.LOST)
        try:
            if self._launcher.adopt(name, record_path):
                self._launcher.stop(
                    name, EndedBy.CANCEL, "a restarted server that runs the gates again"
                )
                return
            exit = self._launcher.determine_end(name, record_path)
        except OSError:
            logger.warning(
                "cannot read the record of an earlier gate",
                extra={"path": record_path},
                exc_info=True,
            )
        self._processes.ended(name, exit)

    def _process_ended(self, active_run: _ActiveRun, exit: Exit) -> None:
        failpoints.reached("gate: end received")
        self._background.submit(partial(self._report_run, active_run, exit))

    def _report_run(self, active_run: _ActiveRun, exit: Exit) -> None:
        scratch.remove(active_run.scratch)
        if exit.stop_was_requested:
            active_run.on_ran(None)
            return
        try:
            ran = self._read_result(active_run, exit)
        except Exception as error:
            logger.exception("cannot read a gate's result", extra={"gate": active_run.run.name})
            message = f"cannot read the report of the gate: {error}"
            ran = FinishedRun(broken=message, cause=GateCause.REPORT_UNREADABLE)
        active_run.on_ran(replace(ran, seconds=exit.ended_at - exit.started_at))

    def _read_result(self, active_run: _ActiveRun, exit: Exit) -> FinishedRun:
        tree_directory = self._workspace.job_directory(active_run.run.root_id)
        output = read_tail(active_run.log, TAIL_BYTES).decode("utf-8", "replace")
        ran = FinishedRun(output=output, log=str(active_run.log.relative_to(tree_directory)))
        run = active_run.run
        cause, message = _why_broken(run.gate, exit)
        if _lacks_packages(run, exit, output):
            cause, message = GateCause.PROGRAM_MISSING, missing_npm_packages.MESSAGE
        if cause:
            return replace(ran, broken=message, cause=cause)
        sources = active_run.report.parent / SOURCES
        executed, outside_packages = _executed_files(sources, run)
        sources.unlink(missing_ok=True)
        if outside_packages:
            message = (
                f"{run.gate.name} imports {', '.join(outside_packages)} from the user's checkout, "
                "not from the worktree, so it did not judge the change"
            )
            return replace(ran, broken=message, cause=GateCause.OUTSIDE_WORKTREE)
        ran = replace(ran, executed=executed)
        try:
            reading = self._reader.read(run.gate.report, active_run.report, active_run.log, run.cwd)
        except UnreadableReport as error:
            # With exit code 0, or without a network, the gate did not judge. Any other exit code
            # shows that the gate crashed before it wrote its report. The crash is a finding.
            if not exit.code or error.cause is GateCause.NO_NETWORK:
                return replace(ran, broken=str(error), cause=error.cause)
            return replace(ran, reading=with_exit(Reading(), exit.code, is_error=True))
        if not run.judges:
            reading = replace(reading, failed_tests="")
        return replace(ran, reading=with_exit(reading, exit.code or 0))

    # -- files ----------------------------------------------------------------------------------

    def _gate_directory(self, tree_directory: Path, run: GateProcess) -> Path:
        # Even in a sandbox, a gate can write into this directory.
        directory = tree_directory / "gates" / run.name
        for each in (directory, tree_directory / "logs", tree_directory / "attempts"):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    def _next_number(self, run: GateProcess) -> int:
        tree_directory = self._workspace.job_directory(run.root_id)
        numbers = [
            int(number)
            for folder in ("logs", "attempts")
            for path in _files_with_prefix(tree_directory / folder, f"{run.name}.")
            if (number := path.name.split(".")[2]).isdecimal()
        ]
        return max(numbers, default=0) + 1

    def _earlier_runs(self, root_id: str, owner: str) -> list[tuple[str, str]]:
        tree_directory = self._workspace.job_directory(root_id)
        known_processes = self._processes.ids
        runs = []
        for path in _files_with_prefix(tree_directory / "attempts", prefix(owner)):
            stem, _, number = path.name.removesuffix(".run").rpartition(".")
            name = f"{root_id}/{stem}/{number}"
            if path.name.endswith(".run") and name not in known_processes:
                runs.append((name, str(path.with_suffix(".json"))))
        return runs

    def _launch(self, run: GateProcess, number: int, report: Path, log: Path) -> Launch:
        settings, tree_directory = self._settings, self._workspace.job_directory(run.root_id)
        own_scratch = scratch.directory_of(settings.workspace, f"{run.root_id}/{run.name}/{number}")
        scratch.make(own_scratch)
        environment = {
            **environment_of(settings),
            **(self._worktree_variables(run, report.parent) if run.worktree else {}),
            GATE_REPORT: str(report),
            "TMPDIR": own_scratch,
            "ORCHESTRATOR_WORKER_DIR": str(report.parent),
            "ORCHESTRATOR_PROJECT_ROOT": run.cwd,
        }
        return Launch(
            attempt_id=f"{run.root_id}/{run.name}/{number}",
            argv=("bash", "-c", run.gate.script),
            cwd=run.cwd,
            env=environment,
            log=str(log),
            exit_path=str(tree_directory / "attempts" / f"{run.name}.{number}.json"),
            proof=new_proof(),
            timeout=run.gate.timeout,
            grace=settings.grace_seconds,
            umask=settings.umask if run.cwd == str(settings.project_root) else None,
            log_limit_bytes=min(settings.log_limit_bytes, LOG_BYTES),
            lease_lock=str(settings.server_lock),
            lease_seconds=ORPHAN_TIMEOUT_SECONDS,
            secrets=(*settings.secrets, *secrets_in(environment)),
        )

    def _worktree_variables(self, run: GateProcess, directory: Path) -> dict[str, str]:
        base = base_environment(self._settings)
        search_path = base.get("PATH") or os.defpath
        try:
            tools = self._tools(run.worktree, str(directory / "programs"), search_path)
        except (RepositoryError, OSError):
            logger.warning("cannot find the project's own programs", exc_info=True)
            tools = Tools()
        excluded = (str(self._settings.home), str(self._settings.workspace))
        variables = {
            **tool_config_boundary.variables_of(run.worktree, run.cwd),
            **tools.variables,
            "PATH": os.pathsep.join((*tools.path, search_path)),
        }
        if not run.judges:
            return variables
        return {
            **variables,
            "PYTHONPATH": str(self._probe),
            "ORCHESTRATOR_GATE_SOURCES": str(directory / SOURCES),
            "ORCHESTRATOR_GATE_WORKTREE": run.worktree,
            "ORCHESTRATOR_GATE_CHECKOUT": tools.checkout,
            "ORCHESTRATOR_GATE_LEFT_OUT": os.pathsep.join(map(os.path.realpath, excluded)),
        }


def _executed_files(path: Path, run: GateProcess) -> tuple[frozenset[str] | None, list[str]]:
    """Return what a gate executed, as two values.

    1. The files of the worktree, relative to ``run.cwd``; None if unknown.
    2. The packages of the user's checkout. The gate did not judge the worktree's versions of these
       packages.

    ``path``: path of the file ``SOURCES``.
    """
    content = read_regular(path, _MOST_SOURCES_BYTES)
    if content is None:
        return None, []
    top, cwd = os.path.realpath(run.worktree), os.path.realpath(run.cwd)
    inside_files, outside_packages = set[str](), dict[str, None]()
    for line in dict.fromkeys(os.fsdecode(content).splitlines()):
        real_path = os.path.realpath(line)
        if real_path.startswith(f"{top}{os.sep}"):
            inside_files.add(os.path.relpath(real_path, cwd))
        elif not line.startswith((f"{top}{os.sep}", f"{run.worktree}{os.sep}")):
            outside_packages[_top_package(real_path)] = None
    is_whole = len(content) < _MOST_SOURCES_BYTES
    return frozenset(inside_files) if is_whole else None, [*outside_packages][:_MOST_NAMED]


def _top_package(path: str) -> str:
    parent, name = os.path.split(path)
    while os.path.isfile(os.path.join(parent, "__init__.py")):
        parent, name = os.path.split(parent)
    return name.removesuffix(".py")


class _Countdown:
    """Calls ``then`` at the call number ``count`` of ``down``."""

    def __init__(self, count: int, then: Callable[[], None]) -> None:
        self._count = count
        self._then = then
        self._lock = threading.Lock()

    def down(self) -> None:
        with self._lock:
            self._count -= 1
            is_last = self._count == 0
        if is_last:
            self._then()


def environment_of(settings: LaunchSettings) -> dict[str, str]:
    """Return the variables that all gates get: those that all workers get, but no API key.

    The search path begins with the project's own programs in the user's checkout.
    """
    variables = base_environment(settings)
    directories = [*project_programs(settings.project_root), variables.get("PATH") or os.defpath]
    # Set CI, because no person can answer a prompt, and no command should watch files for changes.
    return {
        **variables,
        "PATH": os.pathsep.join(directories),
        "CI": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def _files_with_prefix(directory: Path, beginning: str) -> Sequence[Path]:
    try:
        return [each for each in directory.iterdir() if each.name.startswith(beginning)]
    except FileNotFoundError:
        return []


def _lacks_packages(run: GateProcess, exit: Exit, output: str) -> bool:
    if not exit.code or exit.ended_by is not EndedBy.EXIT or not run.judges:
        return False
    top = run.worktree or run.cwd
    if exit.code == _NOT_FOUND and run.gate.program == _NPM:
        return missing_npm_packages.are_missing(run.cwd, top)
    return missing_npm_packages.reports_missing(output, run.cwd, top)


def _why_broken(gate: Gate, exit: Exit) -> tuple[GateCause | None, str]:
    if exit.ended_by is EndedBy.CANCEL:
        return GateCause.KILLED, "another process stopped the supervising process"
    if exit.ended_by is EndedBy.TIMEOUT:
        return GateCause.TIMEOUT, f"timed out after {gate.timeout:g} s"
    if exit.ended_by is EndedBy.SPAWN_FAILED:
        return GateCause.ERROR, exit.error or "the gate could not be started"
    if exit.ended_by is not EndedBy.EXIT:
        return GateCause.KILLED, exit.error or f"the gate did not complete ({exit.ended_by})"
    if exit.signal is not None:
        return GateCause.KILLED, f"killed by signal {exit.signal}"
    if exit.code == _NOT_FOUND:
        return GateCause.PROGRAM_MISSING, f"program not found: {gate.run}"
    if exit.code == _NOT_EXECUTABLE:
        return GateCause.PROGRAM_MISSING, f"program is not executable: {gate.run}"
    return None, ""
