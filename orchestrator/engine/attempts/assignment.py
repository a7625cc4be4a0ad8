"""Composes assignments: workers' tasks, with all information for the agents."""

from collections.abc import Callable, Mapping

from orchestrator.core.candidates.selection import chosen
from orchestrator.core.gates.gate import Gate
from orchestrator.core.model.attempt.agent_session import is_rolled_back
from orchestrator.core.model.attempt.failure import FEEDBACK, SENT_BACK
from orchestrator.core.model.dag import sources
from orchestrator.core.model.human_input.feedback import open_rounds
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import GitUse
from orchestrator.core.ports import Assignment, DependencyResult, PreviousSession, Roles, Workspace
from orchestrator.core.repository.git_refs import short, worker_branch
from orchestrator.core.scheduler.scheduler import Scheduler
from orchestrator.core.text.formatting import cut_bytes
from orchestrator.engine.attempts.attempt_gates import gates_of
from orchestrator.engine.attempts.retry_prompt import advice, previous_failure
from orchestrator.engine.attempts.review_prompt import ReviewPrompts, entries_for
from orchestrator.engine.attempts.shared_context_runs import SharedContextRuns
from orchestrator.engine.worktrees.changes_without_worktree import ChangesWithoutWorktree
from orchestrator.engine.worktrees.worker_changes import WorkerWorktree
from orchestrator.engine.worktrees.worker_worktrees import Worktrees

#: Maximum bytes in a prompt for the results of all dependencies together.
RESULTS_BYTES = 16 * 1024

#: Function that returns a worker's remaining quota. The last argument is the current Unix time.
RemainingQuota = Callable[[Scheduler, Worker, float], Mapping[str, object]]


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
        """Return the worker's task, with the information for its agent that is fast to create.

        ``completed`` adds the other information. Raise OSError if the shared context, a role, or
        another file cannot be read.
        """
        task, job = scheduler.view.task_of(worker), scheduler.view.job_of(worker)
        root = scheduler.view.jobs[job.root_id]
        shared = self._contexts.read(job, root, worker.agent)
        return Assignment(
            job=job,
            worker=worker,
            task=task,
            dependency_results=self._dependency_results(scheduler, worker, task),
            previous_failure=previous_failure(worker),
            advice=advice(worker),
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
        """True if the method ``completed`` is slow for this assignment.

        Call the method in a background thread in this case.
        """
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
        a plain directory, raise an error only if the disk is full.
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
        # A question (a task that a person answers) changes no files, so ``sources`` has the
        # question's dependencies instead. ``depends_on`` adds the question with its answer.
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
