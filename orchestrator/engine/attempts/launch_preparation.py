"""Prepares the launch of an attempt: its directory, its files, and its environment variables."""

import json
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from fnmatch import fnmatchcase

from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.attempt.attempt_result import PromptSize
from orchestrator.core.model.attempt.delivered_work import normalized
from orchestrator.core.model.job import TaskSpec, Worker
from orchestrator.core.ports import Agents, Assignment, Invocation, Workspace
from orchestrator.core.ports.launcher import Launch, Proof
from orchestrator.core.ports.worktree_transfer import AttemptFiles, WorktreeFiles
from orchestrator.core.repository.repository import signature_of
from orchestrator.engine.runtime.launch_settings import (
    GATE_REPORT,
    LaunchSettings,
    base_environment,
    project_programs,
)
from orchestrator.engine.runtime.port_ranges import PortRanges
from orchestrator.engine.worktrees.worker_changes import WorkerWorktree
from orchestrator.engine.worktrees.worker_worktrees import uncopied_paths
from orchestrator.security.allowed_environment import NO_PROXY, no_proxy_variables
from orchestrator.security.files import scratch_directory as scratch
from orchestrator.security.files import tool_config_boundary
from orchestrator.security.secrets.masking import secrets_in


@dataclass(frozen=True, slots=True)
class IssuedCredentials:
    """The data that the server creates for one attempt: API key, node, and ``Proof``."""

    key: str = field(repr=False)
    proof: Proof
    #: Name of the cluster's node that runs the attempt; empty: the server's machine.
    node: str = ""


@dataclass(frozen=True, slots=True)
class RunningAttempt:
    """A started attempt, with the data that is needed to read the attempt's result."""

    worker: Worker
    #: The files in the attempt's directory before the start. Values: size, and modification time in
    #: nanoseconds.
    before: Mapping[str, tuple[int, int]]
    #: Values to mask in the worker's output: the worker's key, and other secrets that the worker
    #: received.
    secrets: tuple[str, ...] = field(repr=False)
    prompt: PromptSize | None = None
    #: The worker's task.
    task: TaskSpec = field(default_factory=lambda: TaskSpec(id=""))
    #: The worker's worktree; None if the worker uses a plain directory or the user's checkout.
    worktree: WorkerWorktree | None = None
    #: The worker's own directory for temporary files; empty if the worker has none.
    scratch: str = ""


#: Name of the file with the prompt, for agents that read a prompt.
PROMPT = "prompt.md"


class LaunchPreparation:
    def __init__(
        self,
        agents: Agents,
        workspace: Workspace,
        settings: LaunchSettings,
        push_refusals: Callable[[], Sequence[tuple[str, str]]],
    ) -> None:
        """``push_refusals``: returns git settings that prevent pushes by AI agents.

        Each setting is a pair of name and value.
        """
        self._push_refusals = push_refusals
        self._agents = agents
        self._workspace = workspace
        self._settings = settings
        #: Variables of the server's environment that every worker gets.
        self._base = base_environment(settings)
        self._bin, self._home = str(settings.bin), str(settings.home)
        self._project = str(settings.project_root)
        self._server_lock = str(settings.server_lock)
        self._ports = PortRanges()
        #: The address of the server for workers; empty until the server listens.
        self.api_url = ""

    def prepare(
        self,
        assignment: Assignment,
        issued: IssuedCredentials,
        worktree: WorkerWorktree | None = None,
    ) -> tuple[Launch, RunningAttempt]:
        """Create the attempt's directory and files. Return the launch with its environment.

        ``worktree``: the worker's worktree; None for a plain directory or the user's checkout.
        Raise OSError if a file cannot be created.
        """
        worker, task = assignment.worker, assignment.task
        agent = self._agents.get(worker.agent)
        command = agent.command(assignment)
        directory = self._workspace.prepare_worker(worker, _files_to_write(command, assignment))
        files_before: Mapping[str, tuple[int, int]] = {}
        if worker.attempt > 1:
            self._workspace.mark_attempt(worker, worker.attempt)
            files_before = {} if worktree else self._workspace.snapshot(worker, task.writes)
        environment = self._environment(assignment, command, directory, issued.key, worktree)
        environment |= self._control_directories(assignment, command)
        if worktree is not None or task.works_in_project:
            environment |= self._git_environment(environment, worker, worktree)
        attempt_id = worker.attempt_id
        checkout = self._project if task.works_in_project else ""
        # For a shell command in a plain directory, skip two slow steps: the check for used ports,
        # and the creation of a directory for temporary files.
        is_long = worktree is not None or bool(checkout) or PROMPT in command.files
        environment["ORCHESTRATOR_PORT"] = str(self._ports.take(attempt_id, skip_used=is_long))
        own_scratch = scratch.directory_of(self._settings.workspace, attempt_id) if is_long else ""
        if own_scratch:
            scratch.make(own_scratch)
            environment |= {"TMPDIR": own_scratch, GATE_REPORT: f"{own_scratch}/gate-report"}
        launch = Launch(
            attempt_id=attempt_id,
            argv=command.argv,
            cwd=worktree.cwd if worktree else checkout or directory,
            make_cwd=not (worktree or checkout),
            env=environment,
            stdin=f"{directory}/{command.stdin}" if command.stdin else None,
            log=self._workspace.log(worker),
            exit_path=self._workspace.exit_record(worker, worker.attempt),
            proof=issued.proof,
            timeout=task.timeout or assignment.job.config.default_timeout,
            grace=self._settings.grace_seconds,
            umask=self._settings.umask if checkout else None,
            log_limit_bytes=self._settings.log_limit_bytes,
            lease_lock=self._server_lock,
            lease_seconds=self._settings.orphan_timeout,
            secrets=(*self._settings.secrets, *secrets_in(environment)),
            node=issued.node,
            files=self._node_files(assignment, command, directory, worktree)
            if issued.node
            else None,
        )
        prompt_size = _prompt_size(command, assignment)
        return launch, RunningAttempt(
            worker, files_before, launch.secrets, prompt_size, task, worktree, own_scratch
        )

    def _node_files(
        self,
        assignment: Assignment,
        command: Invocation,
        directory: str,
        worktree: WorkerWorktree | None,
    ) -> AttemptFiles | None:
        """Return the files to copy to a node that has its own file system.

        Return None for an attempt in the user's checkout, which is not copied to nodes.
        """
        if assignment.task.works_in_project:
            return None
        worker = assignment.worker
        directories = [directory]
        text_files = [f"{directory}/{name}" for name in _files_to_write(command, assignment)]
        if command.control:
            control_directory = self._workspace.control(worker, worker.attempt)
            directories += [control_directory, *filter(None, [assignment.sessions])]
            text_files += [f"{control_directory}/{name}" for name in command.control]
        dependency_directories = [each.directory for each in assignment.dependency_results.values()]
        return AttemptFiles(
            directories=tuple(directories),
            inputs=tuple(dict.fromkeys(dependency_directories)),
            texts=tuple(text_files),
            left_out=tuple(
                path
                for each in (directory, *dependency_directories)
                for path in uncopied_paths(each)
            ),
            worktree=_worktree_files(assignment.task, worktree) if worktree else None,
        )

    def _control_directories(self, assignment: Assignment, command: Invocation) -> dict[str, str]:
        if not command.control:
            return {}
        worker = assignment.worker
        control_directory = self._workspace.prepare_control(worker, worker.attempt, command.control)
        variables = {"ORCHESTRATOR_CONTROL_DIR": control_directory}
        if assignment.sessions:
            os.makedirs(assignment.sessions, 0o700, exist_ok=True)
            variables["ORCHESTRATOR_SESSIONS_DIR"] = assignment.sessions
        return variables

    def _git_environment(
        self, environment: Mapping[str, str], worker: Worker, worktree: WorkerWorktree | None
    ) -> dict[str, str]:
        worktree_variables = _worktree_variables(worker, worktree) if worktree else {}
        refusals = self._push_refusals() if self._agents.uses_model(worker.agent) else ()
        return {
            **worktree_variables,
            **tool_config_boundary.git_settings({**environment, **worktree_variables}, refusals),
        }

    def release(self, attempt: str, own_scratch: str = "") -> None:
        """Release an attempt's ports, and remove its directory for temporary files. Idempotent.

        ``own_scratch``: path of this directory; "" to keep the directory.
        """
        self._ports.release(attempt)
        if own_scratch:
            scratch.remove(own_scratch)

    def adopted(
        self, worker: Worker, task: TaskSpec, worktree: WorkerWorktree | None = None
    ) -> RunningAttempt:
        """Return the ``RunningAttempt`` of an attempt that an earlier server started.

        The field ``secrets`` lacks the attempt's API key, which only the earlier server knew. The
        key becomes invalid at the attempt's end.
        """
        settings = self._settings
        variables = {**settings.environment, **task.env}
        secrets = (*settings.secrets, *secrets_in(variables))
        own_scratch = scratch.directory_of(settings.workspace, worker.attempt_id)
        return RunningAttempt(
            worker, {}, secrets, task=task, worktree=worktree, scratch=own_scratch
        )

    def _environment(
        self,
        assignment: Assignment,
        command: Invocation,
        directory: str,
        token: str,
        worktree: WorkerWorktree | None,
    ) -> dict[str, str]:
        worker, job = assignment.worker, assignment.job
        own_variables = {
            "ORCHESTRATOR_API_URL": self.api_url,
            "ORCHESTRATOR_API_KEY": token,
            "ORCHESTRATOR_JOB_ID": job.id,
            "ORCHESTRATOR_WORKER_ID": worker.id,
            "ORCHESTRATOR_DEPTH": str(job.config.claimed_depth + job.depth),
            "ORCHESTRATOR_MAX_DEPTH": str(job.config.claimed_depth + job.config.max_depth),
            "ORCHESTRATOR_WORKER_DIR": directory,
            "ORCHESTRATOR_PROJECT_ROOT": self._project,
            "ORCHESTRATOR_HOME": self._home,
            # Without a .venv, the command "orchestrator" in a worker uses the server's Python.
            "ORCHESTRATOR_PYTHON": sys.executable,
        }
        if self._settings.offline:
            own_variables["ORCHESTRATOR_OFFLINE"] = "1"
        server_variables = self._settings.environment
        passed_variables = _passed_variables(command.pass_env, server_variables)
        base_variables = self._base
        if worktree is not None:
            base_variables = {
                **base_variables,
                **tool_config_boundary.variables_of(worktree.directory, worktree.cwd),
                **worktree.tools.variables,
            }
        environment = {
            **base_variables,
            **passed_variables,
            **command.env,
            **assignment.task.env,
            **own_variables,
        }
        # The common environment already excludes this machine from proxies. Exclude it again if
        # other variables replaced that setting.
        if any(environment.get(name) != self._base[name] for name in NO_PROXY):
            environment.update(no_proxy_variables(environment))
        # The worker must find the command ``orchestrator`` even with a search path of its own.
        search_path = environment.get("PATH") or os.defpath
        own_programs: Sequence[str] = worktree.tools.path if worktree is not None else ()
        if assignment.task.works_in_project:
            own_programs = project_programs(self._settings.project_root)
        environment["PATH"] = os.pathsep.join((self._bin, *own_programs, search_path))
        return environment


def _worktree_files(task: TaskSpec, worktree: WorkerWorktree) -> WorktreeFiles:
    relative_cwd = os.path.relpath(worktree.cwd, worktree.directory)
    return WorktreeFiles(
        directory=worktree.directory,
        branch=worktree.branch,
        commit=worktree.before,
        promised=tuple(
            os.path.normpath(f"{relative_cwd}/{normalized(each)}") for each in task.writes
        ),
    )


def _passed_variables(
    patterns: Sequence[str], server_variables: Mapping[str, str]
) -> dict[str, str]:
    names = {each for each in patterns if each in server_variables}
    wildcards = [each for each in patterns if "*" in each]
    names |= {name for name in server_variables for each in wildcards if fnmatchcase(name, each)}
    return {name: server_variables[name] for name in names if not name.startswith("ORCHESTRATOR_")}


def _worktree_variables(worker: Worker, worktree: WorkerWorktree) -> dict[str, str]:
    signature = signature_of(worker)
    return {
        "ORCHESTRATOR_PROJECT_ROOT": worktree.cwd,
        "GIT_AUTHOR_NAME": signature.name,
        "GIT_AUTHOR_EMAIL": signature.email,
        "GIT_COMMITTER_NAME": signature.name,
        "GIT_COMMITTER_EMAIL": signature.email,
    }


def _prompt_size(command: Invocation, assignment: Assignment) -> PromptSize | None:
    if not assignment.shared or PROMPT not in command.files:
        return None
    prompt, shared = command.files[PROMPT], assignment.shared
    results = assignment.dependency_results.values()
    return PromptSize(
        whole=_utf8_bytes(prompt),
        shared=_utf8_bytes(shared) if prompt.startswith(shared) else 0,
        left_out=sum(_utf8_bytes(each.output) - _utf8_bytes(each.summary) for each in results),
    )


def _utf8_bytes(text: str) -> int:
    return len(text.encode("utf-8", "replace"))


def _files_to_write(command: Invocation, assignment: Assignment) -> dict[str, str]:
    files = dict(command.files)
    if assignment.answer_schema:
        kind = "review" if assignment.worker.is_reviewer else "plan"
        files[f"{kind}.schema.json"] = assignment.answer_schema
    files |= {f"{each.worker_id}.patch": each.patch for each in assignment.entries if each.patch}
    if assignment.dependency_results:
        dependencies = {
            task_id: {
                "worker_id": result.worker_id,
                "directory": result.directory,
                "branch": result.branch,
                "commit": result.commit,
                "output": result.output,
                "files_created": list(result.files_created),
                "conflicts": result.is_omitted,
            }
            for task_id, result in assignment.dependency_results.items()
        }
        files["dependencies.json"] = json.dumps(dependencies, ensure_ascii=False, indent=1)
    return files
