"""Composes assignments, and creates the shared contexts that they contain.

An assignment is a worker's task, with all information for the agent. A job's shared context is the
text with which all prompts of the job begin.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.gates.gate import Gate
from orchestrator.core.gates.gate_decision import for_the_next_attempt
from orchestrator.core.model.attempt.agent_session import is_rolled_back
from orchestrator.core.model.attempt.attempt_result import Exit
from orchestrator.core.model.attempt.delivered_work import promised_in_words
from orchestrator.core.model.attempt.failure import (
    ASKED,
    FEEDBACK,
    HANDED_ON,
    NO_CHANGES,
    SENT_BACK,
)
from orchestrator.core.model.dag import sources
from orchestrator.core.model.human_input.feedback import open_rounds
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import GitUse
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.outcome.failure_classifier import NEVER_RAN
from orchestrator.core.ports import (
    Assignment,
    DependencyResult,
    Invocation,
    PreviousSession,
    Roles,
    SharedContexts,
    Workspace,
)
from orchestrator.core.ports.launcher import Launch, Launcher
from orchestrator.core.repository.git_refs import short, worker_branch
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.formatting import cut_bytes
from orchestrator.engine.attempts.attempt_gates import gates_of
from orchestrator.engine.attempts.review_prompt import ReviewPrompts, entries_for
from orchestrator.engine.runtime.launch_settings import LaunchSettings
from orchestrator.engine.runtime.running_processes import RunningProcesses
from orchestrator.engine.runtime.supervisor_messages import ContextPrepared, Post
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.working_directories import WorkerWorktree, Worktrees
from orchestrator.security.allowed_environment import allowed_environment
from orchestrator.security.files.untrusted_files import replace_file
from orchestrator.security.secrets.api_keys import new_proof

logger = logging.getLogger(__name__)

#: Timeout for the creation of a shared context, in seconds. The creation usually takes a few
#: seconds. After the timeout, workers run without the context.
CONTEXT_SECONDS = 60.0
#: Maximum bytes in a prompt for the results of all other tasks together.
RESULTS_BYTES = 16 * 1024
#: Maximum characters in a prompt for the output of the previous attempt, or of one gate.
FAILURE_CHARACTERS = 2000
#: Maximum characters in a prompt for the findings of gates.
GATE_CHARACTERS = 6000

#: Text for an agent that continues the work of another agent.
OTHER_AGENT = (
    "Another agent began this task, and then the login of that agent failed. The files of that "
    "agent are still in the directory: read them first."
)
#: Advice for an agent after a failure, by the cause of the failure. The prompt also has the facts.
ADVICE = {
    NO_CHANGES: (
        "The previous attempt failed because it changed no file. A description of the work, or "
        "code in your answer, does not count: change the files yourself."
    ),
    ASKED: (
        "The previous attempt changed no file and ended with a question. No person will answer: "
        "decide yourself, write the decision into your result, and do the work."
    ),
}
#: Text for an agent that must resolve a worker's conflicts.
CONFLICTS = (
    "The changes of this worker conflict with the changes of other workers in {paths}. Both "
    "versions are in the worktree, with conflict markers (<<<<<<<, =======, >>>>>>>) in the files "
    "that git could not merge. To find them: git grep -n '^<<<<<<<'. Binary files, links, and "
    "files that one side removed have no markers, and contain one version. To list every "
    "conflict: git merge-tree --write-tree $(git rev-parse $(git rev-list --merges -1 HEAD)^@). "
    "Keep the intent of both sides, remove every marker, and change nothing else."
)

#: Values of ``Worker.failure`` for which the worker is not responsible. After such a failure, the
#: next attempt's prompt contains no advice.
_NOT_ITS_FAULT = (HANDED_ON, SENT_BACK, FEEDBACK)

#: Function that returns a worker's remaining quota. The last argument is the current Unix time.
RemainingQuota = Callable[[Scheduler, Worker, float], Mapping[str, object]]


class SharedContextRuns:
    """Creates the shared contexts of jobs, and reads them.

    Only the supervisor's thread may call ``begin`` and ``read``.
    """

    def __init__(
        self,
        shared: SharedContexts,
        reads_prompt: Callable[[str], bool],
        launcher: Launcher,
        processes: RunningProcesses,
        workspace: Workspace,
        settings: LaunchSettings,
        post: Post,
    ) -> None:
        self._post = post
        self._shared = shared
        self._reads_prompt = reads_prompt
        self._launcher = launcher
        self._processes = processes
        self._workspace = workspace
        self._settings = settings
        self._base = allowed_environment(settings.environment)
        self._number = 0

    def begin(self, job: Job, root: Job) -> None:
        """Start the process that creates a job's shared context.

        When the process ends, ``ContextPrepared`` is posted, even after a failure.
        """
        if self._shared.exists(job):
            self._post(ContextPrepared(job.id))
            return
        try:
            directory, command = self._shared.command(job, root)
            launch = self._launch(job, directory, command)
        except OSError:
            self._do_without(job, root)
            return
        self._processes.expect(launch.attempt_id, partial(self._process_ended, job, root))
        self._launcher.start(launch)

    def _process_ended(self, job: Job, root: Job, exit: Exit) -> None:
        if exit.stop_was_requested:
            # The process was stopped with the server. The next server requests the context again.
            return
        if self._shared.exists(job):
            self._post(ContextPrepared(job.id))
        else:
            logger.warning(
                "cannot create a job's shared context with its project digest; "
                "the job's workers start without the digest and the context files",
                extra={"job_id": job.id, "exit": repr(exit)},
            )
            self._do_without(job, root)

    def read(self, job: Job, root: Job, agent: str) -> str:
        """Return the job's shared context; "" if ``agent`` is an agent that reads no prompt."""
        if not self._reads_prompt(agent):
            return ""
        # If the context does not exist, another process has removed it since its creation.
        if not self._shared.exists(job):
            self._shared.make_plain(job, root)
        return self._shared.read(job)

    def _do_without(self, job: Job, root: Job) -> None:
        try:
            self._shared.make_plain(job, root)
        except OSError:
            # Only log the error: a worker that cannot read the context reports the reason.
            logger.warning(
                "cannot write the shared context", extra={"job_id": job.id}, exc_info=True
            )
        finally:
            self._post(ContextPrepared(job.id))

    def _launch(self, job: Job, directory: Path, command: Invocation) -> Launch:
        for name, text in command.files.items():
            replace_file(directory / name, text.encode())
        self._number += 1
        name = f"context_{job.id}"
        # Name a new exit record for each process, because the process of an earlier server may
        # still write to its own record.
        record_name = f"{name}.{secrets.token_hex(4)}.exit.json"
        tree_directory = self._workspace.job_directory(job.root_id)
        for folder in ("logs", "attempts"):
            (tree_directory / folder).mkdir(mode=0o700, parents=True, exist_ok=True)
        return Launch(
            attempt_id=f"{job.root_id}/{name}/{self._number}",
            argv=command.argv,
            cwd=str(directory),
            env=self._environment(directory, command.env),
            stdin=str(directory / command.stdin) if command.stdin else None,
            log=str(tree_directory / "logs" / f"{name}.log"),
            exit_path=str(tree_directory / "attempts" / record_name),
            proof=new_proof(),
            timeout=CONTEXT_SECONDS,
            grace=self._settings.grace_seconds,
            log_limit_bytes=self._settings.log_limit_bytes,
            lease_lock=str(self._settings.server_lock),
            lease_seconds=CONTEXT_SECONDS,
            secrets=self._settings.secrets,
        )

    def _environment(self, directory: Path, extra_variables: Mapping[str, str]) -> dict[str, str]:
        own_variables = {
            "ORCHESTRATOR_WORKER_DIR": str(directory),
            "ORCHESTRATOR_PROJECT_ROOT": str(self._settings.project_root),
            "ORCHESTRATOR_HOME": str(self._settings.home),
        }
        return {**self._base, **extra_variables, **own_variables}


class AssignmentBuilder:
    """Composes assignments for workers' agents."""

    def __init__(
        self,
        workspace: Workspace,
        contexts: SharedContextRuns,
        roles: Roles,
        left: RemainingQuota,
        worktrees: Worktrees,
        without_worktree: ChangesWithoutWorktree,
        review_prompts: ReviewPrompts,
    ) -> None:
        self._workspace = workspace
        self._contexts = contexts
        self._roles = roles
        self._left = left
        self._worktrees = worktrees
        self._without_worktree = without_worktree
        self._review_prompts = review_prompts

    def assignment_for(self, scheduler: Scheduler, worker: Worker, now: float) -> Assignment:
        """Return the worker's task, with all information for its agent.

        Raise OSError if the shared context, a role, or another file cannot be read.
        """
        task, job = scheduler.view.task_of(worker), scheduler.view.job_of(worker)
        root = scheduler.view.jobs[job.root_id]
        shared = self._contexts.read(job, root, worker.agent)
        return Assignment(
            job=job,
            worker=worker,
            task=task,
            dependency_results=self._dependency_results(scheduler, worker, task),
            previous_failure=_previous_failure(worker),
            advice=_advice(worker),
            sent_back=worker.failure == SENT_BACK and not worker.is_adviser,
            feedback=open_rounds(worker.result.feedback) if worker.result else (),
            answer_schema=_answer_schema(worker),
            entries=entries_for(scheduler, self._workspace, worker) if worker.is_reviewer else (),
            shared=shared,
            gates=_gates_to_show(job, task) if shared else (),
            role=self._roles.text(task.role) if shared and task.role else "",
            left=self._left(scheduler, worker, now) if shared else {},
            previous=_previous_session(worker),
            sessions=self._workspace.sessions(worker) if shared else "",
        )

    def takes_long(self, assignment: Assignment) -> bool:
        """True if ``completed`` is slow, and must therefore run in a background thread."""
        task, worker = assignment.task, assignment.worker
        needs_worktree = self._worktrees.rule.needs_worktree(assignment.job, task, worker)
        return (
            needs_worktree
            or worker.is_reviewer
            or task.works_in_project
            or self._may_change_project(worker, task)
        )

    def completed(self, assignment: Assignment) -> tuple[Assignment, WorkerWorktree | None]:
        """Return ``assignment`` with the parts that are slow to create, and the attempt's worktree.

        The second value is None for an attempt without a worktree.

        - A reviewer's assignment gets the candidates' patches.
        - A worktree is opened, and the assignment refers to its files.
        - For an attempt that may change the user's checkout, the state of the checkout is recorded.

        Raise RepositoryError if git fails, or OSError if a file operation fails. For an attempt in
        a plain directory, only an error of a full disk is raised.
        """
        if assignment.worker.is_reviewer:
            return self._review_prompts.with_patches(assignment), None
        if assignment.task.works_in_project:
            self._without_worktree.begin(assignment.worker)
            return assignment, None
        rule = self._worktrees.rule
        if not rule.needs_worktree(assignment.job, assignment.task, assignment.worker):
            if self._may_change_project(assignment.worker, assignment.task):
                self._without_worktree.watch(assignment.worker)
            return assignment, None
        worktree = self._worktrees.open(assignment)
        return self._worktrees.assignment_in_worktree(assignment, worktree), worktree

    def _may_change_project(self, worker: Worker, task: TaskSpec) -> bool:
        """True if an attempt in a plain directory could also change files of the project."""
        builds = bool(task.writes) or self._worktrees.rule.changes_files(worker.agent, task)
        return builds and not worker.is_adviser

    def _dependency_results(
        self, scheduler: Scheduler, worker: Worker, task: TaskSpec
    ) -> dict[str, DependencyResult]:
        results: dict[str, DependencyResult] = {}
        tasks = scheduler.view.tasks_of(worker.job_id)
        # ``sources`` replaces a question by the question's dependencies, because a question has no
        # result. ``depends_on`` also has the question, whose answer the agent needs.
        for task_id in dict.fromkeys((*sources(tasks, task), *task.depends_on)):
            winner = chosen(scheduler.view.candidates_of(worker.job_id, task_id))
            assert winner is not None, "a dependency has succeeded"
            results[task_id] = self._dependency_result(
                winner, RESULTS_BYTES // max(1, len(task.depends_on))
            )
        return results

    def _dependency_result(self, worker: Worker, max_bytes: int) -> DependencyResult:
        output = worker.result.output if worker.result else ""
        commit = worker.delivery.commit if worker.delivery else ""
        return DependencyResult(
            worker_id=worker.id,
            # Name the worker's directory, because a worktree is removed after the attempt.
            directory=self._workspace.worker_directory(worker),
            branch=short(worker_branch(worker)) if commit else "",
            commit=commit,
            output=output,
            files_created=worker.result.files_created if worker.result else (),
            summary=cut_bytes(output, max_bytes),
        )


def _gates_to_show(job: Job, task: TaskSpec) -> tuple[Gate, ...]:
    has_worktree = bool(job.config.base) and task.git != GitUse.OFF
    return tuple(gate for gate in gates_of(job, task, has_worktree) if gate.run)


def _answer_schema(worker: Worker) -> str:
    # Import this when it is needed, because few jobs have planners and reviewers.
    if worker.is_reviewer:
        from orchestrator.schemas.agent_output.review import review_schema

        return review_schema()
    if worker.is_planner:
        from orchestrator.schemas.agent_output.plan import plan_schema

        return plan_schema()
    return ""


def _rejection_text(result: WorkerResult) -> str:
    """Return the text for the prompt about gates that failed on the merged changes."""
    blocking = [each for each in result.gates if each.blocks]
    lines = [
        f"Gate {each.name}: {each.status}. {', '.join(each.failures)}\n\n"
        f"{each.output[-FAILURE_CHARACTERS:]}"
        for each in blocking
    ]
    return "\n\n".join(
        [
            "The previous attempt succeeded. Merged with the changes of other workers, its changes "
            "fail the gates. Your branch now contains the other workers' changes, except "
            "conflicting changes.",
            *lines,
        ]
    )


def _previous_session(worker: Worker) -> PreviousSession | None:
    result = worker.result
    if worker.attempt < 2 or result is None or result.session is None:
        return None
    session = result.session
    failure = worker.failure_of(session.attempt)
    asked_again = worker.failure in (SENT_BACK, FEEDBACK)
    cause = worker.failure if asked_again else failure.cause if failure else ""
    rolled_back = is_rolled_back(session, result.failures, result.rollbacks)
    return PreviousSession(session=session, cause=cause, rolled_back=rolled_back)


def _previous_failure(worker: Worker) -> str:
    if worker.attempt < 2 or worker.result is None or worker.failure == FEEDBACK:
        return ""
    if worker.failure == HANDED_ON:
        return "" if worker.is_adviser else OTHER_AGENT
    if worker.is_adviser:
        return worker.result.output
    if worker.result.conflicts:
        return _conflicts_text(worker, worker.result)
    if worker.failure == SENT_BACK:
        return _rejection_text(worker.result)
    return _own_failure_text(worker, worker.result)


def _advice(worker: Worker) -> str:
    if worker.attempt < 2 or worker.result is None or worker.failure in _NOT_ITS_FAULT:
        return ""
    causes = [each.cause for each in worker.result.failures if each.cause != NEVER_RAN]
    return ADVICE.get(causes[-1], "") if causes else ""


def _conflicts_text(worker: Worker, result: WorkerResult) -> str:
    sentence = CONFLICTS.format(paths=", ".join(map(repr, result.conflicts)))
    if worker.failure == SENT_BACK:
        return sentence
    notice = "An earlier attempt to resolve these conflicts failed."
    return f"{sentence}\n\n{notice} {_own_failure_text(worker, result)}"


def _own_failure_text(worker: Worker, result: WorkerResult) -> str:
    """Return the text for the prompt about the failure of the worker's latest attempt."""
    gates_text = for_the_next_attempt(result.gates, GATE_CHARACTERS)
    if gates_text:
        return gates_text
    code, signal = result.exit_code, result.signal
    ending = f"signal {signal}" if signal else f"exit code {code}"
    if code is None and not signal:
        ending = "no exit code, because the attempt was stopped"
    # ``failure`` begins with the name of the outcome, such as "timeout". For an unknown outcome,
    # ``failure`` is empty or begins with another word.
    kind = worker.failure.partition("|")[0]
    output_end = result.output[-FAILURE_CHARACTERS:]
    missing_paths = result.delivery.missing if result.delivery else ()
    missing_text = f" Afterwards, {promised_in_words(missing_paths)}." if missing_paths else ""
    ended_text = f"The attempt ended with {ending}{f' ({kind})' if kind else ''}."
    return f"{ended_text}{missing_text} The end of its output:\n\n{output_end}"
