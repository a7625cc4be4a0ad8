"""Resumes a worker's AI session in a person's terminal, and commits the changes afterwards."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.agents.driven_agent import DrivenAgent
from orchestrator.agents.terminal_resumption import Resumable, in_terminal, resumable
from orchestrator.composition.settings.agents import registry
from orchestrator.composition.settings.repository import repository_of
from orchestrator.config import load, project_root
from orchestrator.core.errors import Conflict, UnknownAgent
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job import Worker
from orchestrator.core.repository.git_refs import short, worker_branch, worker_commit_message
from orchestrator.core.repository.repository import Signature
from orchestrator.core.text.command_name import COMMAND, git_in
from orchestrator.engine.worktrees.worker_worktrees import PROGRAMS
from orchestrator.engine.worktrees.worktree_need_and_removal import NAME
from orchestrator.git import signature_of_user
from orchestrator.launchers.process import process_control
from orchestrator.security.files import tool_config_boundary
from orchestrator.system import process_table
from orchestrator.workspace import JobDirectories, attach

#: Prefix of orchestrator's own environment variables. An attached session must not inherit them.
_OWN_PREFIX = "ORCHESTRATOR_"
#: Seconds between SIGTERM and SIGKILL for leftover processes of a tool.
STOP_SECONDS = 3.0
_LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Terminal:
    argv: Sequence[str]
    environ: Mapping[str, str]
    cwd: str
    session: str
    #: File descriptor of the lock on the worktree. The started program must inherit the descriptor,
    #: so that the worktree stays locked as long as the program runs.
    lock: int


@dataclass(frozen=True, slots=True)
class SessionChanges:
    """The changes of an attached session, committed on the worker's branch."""

    branch: str
    commit: str
    files: Sequence[str]
    #: New files that match the setting ``git.never_commit``, and therefore were not committed.
    held_back: Sequence[str]
    exit_code: int


@contextmanager
def _leftover_processes_ended() -> Iterator[None]:
    """At the end of the block, kill the AI tool's leftover processes, such as the daemon of codex.

    A leftover process could still change the worktree, and would keep the worktree locked.
    """
    # A container may forbid this call. Leftover processes are then not found.
    with suppress(OSError):
        process_control.become_subreaper()
    try:
        yield
    finally:
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            for process in _leftover_processes():
                process_control.send_signal(process, signal_number)
            deadline = time.monotonic() + STOP_SECONDS
            while _leftover_processes() and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)


def _leftover_processes() -> list[process_table.Process]:
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return list(process_table.descendants(os.getpid()))


class AttachedSession:
    """A worker's AI session that a person resumes in a terminal. The worker must not be running.

    No server is needed.
    """

    def __init__(self, folder: Path, environ: Mapping[str, str], worker: Worker) -> None:
        settings = load(folder, environ=environ).settings
        self._folder, self._environ, self._worker = folder, environ, worker
        self._project = project_root(settings, folder)
        self._workspace = JobDirectories(settings.orchestrator.workspace_root)
        self._repository = repository_of(folder, settings, self._workspace.root)
        self._agents = registry(folder, settings, environ)
        self._branch = worker_branch(worker)
        home = self._workspace.worker_directory(worker)
        self._directory = f"{home}/{NAME}"

    def run(self, start: Callable[[Terminal], int]) -> SessionChanges:
        """Call ``start`` to run the AI tool, then commit all changes on the worker's branch.

        ``start``: a function that runs the command, and returns the command's exit code.

        Raise Conflict if the worker has no branch, has no session to resume, or is attached to
        another terminal. Also raise Conflict if git has no user to commit as. Raise
        RepositoryError if git fails.
        """
        resumption, user = self._resumable_session(), self._git_user()
        with self._locked_worktree() as lock:
            start_commit = self._repository.commit_of(self._branch)
            self._repository.open_worktree(self._directory, self._branch, start_commit)
            try:
                with in_terminal(
                    resumption, self._environment_variables(), self._agent_variables(resumption)
                ) as call:
                    argv, environ = call
                    cwd = self._repository.project_path(self._directory)
                    with _leftover_processes_ended():
                        code = start(Terminal(argv, environ, cwd, resumption.session.id, lock))
            finally:
                committed = self._commit_changes(start_commit, user)
        return SessionChanges(*committed, exit_code=code)

    def _resumable_session(self) -> Resumable:
        worker = self._worker
        if not self._repository.commit_of(self._branch):
            raise Conflict(
                f"{worker.id} has no branch {short(self._branch)}: the worker has not started, the "
                "worker has no worktree, or the job was removed"
            )
        attempts = self._workspace.job_directory(worker.root_id) / "attempts"
        resumption = resumable(attempts, worker.id)
        if resumption is None:
            directory = f"../{worker.root_id}-{worker.id}"
            add = f"{git_in(self._project)} worktree add {directory} {short(self._branch)}"
            raise Conflict(
                f"{worker.id} ({worker.agent}) has no session that can be resumed; "
                f"work on its branch: {add}; then merge the branch: "
                f"{COMMAND} merge {worker.job_id} --include {worker.id}"
            )
        return resumption

    def _git_user(self) -> Signature:
        signature = signature_of_user(self._repository.location().git)
        if signature is None:
            git = git_in(self._project)
            raise Conflict(
                "git has no user to commit as; no session was opened; set "
                f"`{git} config user.name NAME` and `{git} config user.email ADDRESS`"
            )
        return signature

    @contextmanager
    def _locked_worktree(self) -> Iterator[int]:
        home = os.path.dirname(self._directory)
        os.makedirs(home, 0o700, exist_ok=True)
        lock = attach(home)
        if lock is None:
            raise Conflict(f"{self._worker.id} is already attached to another terminal")
        try:
            yield lock
        finally:
            os.close(lock)

    def _agent_variables(self, resumption: Resumable) -> Mapping[str, str]:
        try:
            agent = self._agents.get(resumption.session.agent)
        except UnknownAgent:
            return {}
        return agent.env if isinstance(agent, DrivenAgent) else {}

    def _environment_variables(self) -> Mapping[str, str]:
        variables = {
            n: value for n, value in self._environ.items() if not n.startswith(_OWN_PREFIX)
        }
        search = variables.get("PATH") or os.defpath
        programs = f"{self._directory}{PROGRAMS}"
        tools = self._repository.tools(self._directory, programs, search, trusted=False)
        cwd = self._repository.project_path(self._directory)
        return {
            **variables,
            **tool_config_boundary.variables(self._workspace.root),
            **tool_config_boundary.variables_of(self._directory, cwd),
            **tools.variables,
            "PATH": os.pathsep.join((str(self._folder / "bin"), *tools.path, search)),
            "ORCHESTRATOR_WORKER_DIR": os.path.dirname(self._directory),
        }

    def _commit_changes(
        self, start_commit: str, user: Signature
    ) -> tuple[str, str, Sequence[str], Sequence[str]]:
        worktree = self._directory, self._branch
        self._repository.repair_worktree(*worktree, start_commit)
        message = worker_commit_message(
            f"Changes in an attached session of {self._worker.id}", self._worker
        )
        tip = self._repository.commit(*worktree, message, user)
        merged = self._repository.merge_side_work(*worktree, tip, message, user)
        files = self._repository.differing_paths(start_commit, merged.commit)
        self._repository.close_worktree(*worktree, user)
        held_back = tuple(each.path for each in merged.held_back)
        return short(self._branch), merged.commit, tuple(files), held_back
