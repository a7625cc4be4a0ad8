"""The class ``Service``: all use cases that the API and the command line call."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from orchestrator.core.events import Event
from orchestrator.core.locks.lock_table import LockLease, LockView
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.human_input import (
    Decision,
    FeedbackGiven,
    FeedbackRequest,
    Pause,
    RunningMode,
    WorkerMessage,
)
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker
from orchestrator.core.model.submission import Accepted, Caller, ConfigRequest, Submission
from orchestrator.core.ports import Change, Page, Tree, Workspace
from orchestrator.core.ports.outbox import OutboxCalls
from orchestrator.core.ports.read_models import (
    AskedQuestion,
    Availability,
    Checkpoint,
    Detail,
    Health,
    NodeState,
    RolledBack,
    Used,
)
from orchestrator.core.repository.landing import LandPlan, LandRequest, Moved
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.service.checkpoints import CheckpointCalls
from orchestrator.engine.service.human_input.job_control import BudgetCalls, JobControlCalls
from orchestrator.engine.service.human_input.plan_approval import PlanCalls
from orchestrator.engine.service.human_input.questions import QuestionCalls
from orchestrator.engine.service.human_input.worker_messages import WorkerMessageCalls
from orchestrator.engine.service.landings import LandingCalls
from orchestrator.engine.service.locks import LockService
from orchestrator.engine.service.merges import MergeCalls
from orchestrator.engine.service.read_models.job_lists import ReadModels
from orchestrator.engine.service.read_models.queries import Queries
from orchestrator.engine.service.removal import RemovalCalls
from orchestrator.engine.service.reruns.feedback import FeedbackCalls
from orchestrator.engine.service.reruns.worker_control import WorkerRetryCalls
from orchestrator.engine.service.server_status import ServerStatus
from orchestrator.engine.service.submissions import SubmissionCalls
from orchestrator.engine.supervisor.lock_calls import LockCall
from orchestrator.engine.supervisor.supervisor import Publisher

Listener = Callable[[Sequence[Event]], None]


class Service:
    """The use cases.

    Each method with a ``caller`` raises NotFound for an object that the caller may not see. Methods
    that change an object raise Forbidden for an object that the caller may see but not change.
    """

    def __init__(
        self,
        *,
        access: Access,
        submissions: SubmissionCalls,
        worker_messages: WorkerMessageCalls,
        job_control: JobControlCalls,
        questions: QuestionCalls,
        budgets: BudgetCalls,
        plans: PlanCalls,
        merges: MergeCalls,
        checkpoints: CheckpointCalls,
        feedback: FeedbackCalls,
        workers: WorkerRetryCalls,
        removal: RemovalCalls,
        landings: LandingCalls,
        locks: LockService,
        queries: Queries,
        reads: ReadModels,
        server_status: ServerStatus,
        publisher: Publisher,
        workspace: Workspace,
        outbox: OutboxCalls,
    ) -> None:
        self._access = access
        #: Calls about messages to webhooks and people. Call ``check_admin`` first.
        self.outbox: Final = outbox
        self._submissions = submissions
        self._worker_messages = worker_messages
        self._job_control = job_control
        self._questions = questions
        self._budgets = budgets
        self._plans = plans
        self._merges = merges
        self._checkpoints = checkpoints
        self._feedback = feedback
        self._workers = workers
        self._removal = removal
        self._landings = landings
        self._locks = locks
        self._queries = queries
        #: Lists of many jobs or workers, and parts of one.
        self.reads: Final = reads
        self._server_status = server_status
        self._publisher = publisher
        self._workspace = workspace

    # Callers

    def authenticate(self, key: str | None) -> Caller:
        """Return the caller. Raise Unauthorized."""
        return self._access.authenticate(key)

    def holder_of_key(self, key_hash: str) -> Caller:
        """Return the holder of the API key with this SHA-256. Raise Unauthorized if unknown."""
        return self._access.holder_of_key(key_hash)

    def keys(self, caller: Caller) -> Sequence[Caller]:
        """Return the holders of all API keys, by name. Raise Forbidden without scope admin."""
        return self._access.keys(caller)

    def check_person(self, caller: Caller) -> None:
        """Raise Forbidden for a worker."""
        self._access.check_person(caller)

    def check_admin(self, caller: Caller, what: str) -> None:
        """Raise Forbidden if the caller lacks the scope admin.

        ``what``: the name of the object to change, for the error message.
        """
        self._access.check_admin(caller, what)

    def check_change(self, caller: Caller) -> None:
        """Raise Forbidden if the caller may change nothing at all."""
        self._access.check_change(caller)

    # A job, from its submission to its end

    def submit(self, caller: Caller, submission: Submission) -> Accepted:
        """Store a job. Idempotent for the same Idempotency-Key.

        Raise Forbidden, InvalidRequest, Refused, Conflict or Unavailable; no job is stored then.
        """
        return self._submissions.submit(caller, submission)

    def job_of_key(self, caller: Caller, idempotency_key: str) -> Job | None:
        """Return the job that this caller submitted with this Idempotency-Key, or None."""
        return self._submissions.find(caller, idempotency_key)

    def approve(self, caller: Caller, job_id: str, comment: str = "") -> Job:
        """Start the tasks of a planned job.

        Raise Conflict if the job does not wait for approval.
        """
        return self._plans.approve(caller, job_id, comment)

    def reject(self, caller: Caller, job_id: str, comment: str = "") -> Job:
        """End a job that waits for approval.

        Raise Conflict if the job does not wait for approval.
        """
        return self._plans.reject(caller, job_id, comment)

    def edit_plan(
        self,
        caller: Caller,
        job_id: str,
        tasks: Sequence[TaskSpec],
        version: int,
        keeps_env: frozenset[str] = frozenset(),
    ) -> Job:
        """Replace the plan of a job that waits for approval.

        ``version``: the version of the plan that the caller edited. ``keeps_env``: ids of tasks
        that keep their environment. Raise Conflict if the job does not wait for approval, or its
        plan has another version. Raise InvalidRequest or Refused for tasks that the job cannot
        have.
        """
        return self._plans.edit(caller, job_id, tasks, version, keeps_env)

    def used(self, caller: Caller, usage: Usage) -> Used:
        """Record the usage of the calling worker's attempt: the total since the attempt's start.

        The answer states whether the attempt must stop. Idempotent. Raise Forbidden if the caller
        is not a worker.
        """
        return self._worker_messages.used(caller, usage)

    def answer(
        self, caller: Caller, job_id: str, task_id: str, decision: Decision, comment: str
    ) -> Job:
        """Answer the question of a task that waits for a person.

        Raise NotFound for an unknown task, and Conflict for a task that does not wait for an
        answer.
        """
        return self._questions.answer(caller, job_id, task_id, decision, comment)

    def question(self, caller: Caller, job_id: str, task_id: str) -> AskedQuestion:
        """Return a task's question with the results of its dependencies. Raise NotFound."""
        return self._questions.question(caller, job_id, task_id)

    def pause(self, caller: Caller, job_id: str, running: RunningMode) -> Job:
        """Start nothing new in a job and its descendants. Idempotent.

        ``running`` decides whether running attempts finish or stop. The pause does not count as
        wall time. Raise Conflict for a job that has ended.
        """
        return self._job_control.pause(caller, job_id, running)

    def resume(self, caller: Caller, job_id: str) -> Job:
        """Idempotent. Raise Conflict if a limit or ``pause_all`` paused the job."""
        return self._job_control.resume(caller, job_id)

    def raise_budget(self, caller: Caller, job_id: str, limits: ConfigRequest) -> Job:
        """Raise limits of a job that has not ended. A job that waits because of a limit continues.

        Raise InvalidRequest if a new limit is not larger than the present limit. Raise Refused if a
        new limit exceeds a ceiling.
        """
        return self._budgets.raise_budget(caller, job_id, limits)

    def pause_all(self, caller: Caller, running: RunningMode) -> Pause | None:
        """Pause every job, including jobs that are submitted later. Return the pause. Idempotent.

        Raise Forbidden without the scope admin.
        """
        return self._job_control.pause_all(caller, running)

    def resume_all(self, caller: Caller) -> Pause | None:
        """End the pause of all jobs. Idempotent. Raise Forbidden without the scope admin."""
        return self._job_control.resume_all(caller)

    def message(
        self, caller: Caller, job_id: str, worker_id: str, text: str, message_id: str
    ) -> WorkerMessage:
        """Send a message to a worker that has not ended.

        The worker's agent reads the message before its next step. Idempotent by ``message_id``, a
        UUID. Raise Forbidden if the caller is a worker. Raise Conflict if the worker has ended, or
        its agent reads no messages.
        """
        return self._worker_messages.message(caller, job_id, worker_id, text, message_id)

    def messages_read(self, caller: Caller, ids: Sequence[str]) -> None:
        """Record that the calling worker's agent has read messages. Idempotent.

        Raise Forbidden if the caller is not a worker.
        """
        self._worker_messages.messages_read(caller, ids)

    def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop a job and all its descendants. Idempotent: a job that has ended stays unchanged."""
        return self._job_control.cancel(caller, job_id)

    def retry(self, caller: Caller, job_id: str, config: ConfigRequest) -> Job:
        """Retry the unsuccessful tasks of a job. Raise Conflict if there are none."""
        return self._submissions.retry(caller, job_id, config)

    def give_feedback(
        self, caller: Caller, job_id: str, worker_id: str, request: FeedbackRequest
    ) -> FeedbackGiven:
        """Send comments on an ended worker's change back to the worker, as one more attempt.

        Idempotent for the same Idempotency-Key. Raise Forbidden for a caller that is a worker.
        Raise Outdated if the worker's branch has moved. Raise InvalidRequest for lines that do not
        exist. Raise Conflict if the worker has not ended, has no branch, or cannot run again.
        """
        return self._feedback.give(caller, job_id, worker_id, request)

    def retry_worker(self, caller: Caller, job_id: str, worker_id: str) -> Job:
        """Run one unsuccessful worker again, and the tasks that were skipped because of it.

        The job may be running or ended. Raise Forbidden if the caller is a worker. Raise Conflict
        if the worker succeeded, has not ended, or cannot run again.
        """
        return self._workers.retry(caller, job_id, worker_id)

    def cancel_worker(self, caller: Caller, job_id: str, worker_id: str) -> Job:
        """Stop one worker and its child jobs. Its job continues. Idempotent.

        An ended worker is unchanged. Raise Forbidden if the caller is a worker, and Conflict for a
        planner or reviewer.
        """
        return self._workers.cancel(caller, job_id, worker_id)

    # The result of an ended job

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        """Merge an ended job again. Return True if the merge has ended, and False if it still runs.

        Raise Conflict if no merge is possible, and InvalidRequest if the choice names workers of
        other jobs.
        """
        return self._merges.merge(caller, job_id, choice)

    def choose(
        self, caller: Caller, job_id: str, task_id: str, worker_id: str, reason: str = ""
    ) -> bool:
        """Select another candidate of a task, with the person's reason, and merge the job again.

        Return True if the merge has ended, and False if it still runs. Raise NotFound for an
        unknown task. Raise InvalidRequest for a worker that is not a candidate of the task. Raise
        Conflict if a selection is not possible.
        """
        return self._merges.choose(caller, job_id, task_id, worker_id, reason)

    def plan_landing(self, caller: Caller, job_id: str, request: LandRequest) -> LandPlan:
        """Return a preview of ``land``, without changing anything.

        Raise the same errors as ``land``, except OtherBranch.
        """
        return self._landings.plan_landing(caller, job_id, request)

    def land(self, caller: Caller, job_id: str, request: LandRequest) -> tuple[LandPlan, Moved]:
        """Land a job's result on the branch that the user has checked out. Idempotent.

        Raise Forbidden without the scope admin, and NotFound if there is no result. Raise InTheWay,
        Incomplete, OtherBranch, or another Conflict. After an error, nothing has changed.
        """
        return self._landings.land(caller, job_id, request)

    def undo(self, caller: Caller, job_id: str) -> Moved:
        """Undo a landing: restore the user's branch to its commit before ``land``.

        Raise Forbidden without the scope admin. Raise NotFound if the result was not landed. Raise
        Conflict if the branch has moved since the landing, or its checkout has changes.
        """
        return self._landings.undo(caller, job_id)

    def remove(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a job from the disk and the store, as the command ``clean`` does.

        Return the git refs that remain: they have work that no other ref has. Raise Forbidden if
        the caller is a worker. Raise Conflict if the job is not a root job, is running, is being
        merged, or is attached to a terminal.
        """
        return self._removal.remove(caller, job_id)

    def discard(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a job's branches, worktrees, and other refs, except refs of landed work.

        Return the names of the removed refs. Idempotent. Raise RepositoryError, and the errors of
        ``remove``.
        """
        return self._removal.discard(caller, job_id)

    # Checkpoints of workers; each call raises RepositoryError for errors of git

    def checkpoints(self, caller: Caller, job_id: str) -> Sequence[Checkpoint]:
        """Return the checkpoints of the job's own workers, oldest first for each worker.

        Empty if the job has no worktrees.
        """
        return self._checkpoints.checkpoints(caller, job_id)

    def roll_back(
        self, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
    ) -> RolledBack:
        """Restore a worker's branch, and its worktree if there is one, to a checkpoint.

        If ``checkpoint`` is None, restore the checkpoint before the latest attempt. The present
        state is saved as a checkpoint first. Raise Conflict if the worker is running, is attached
        to a terminal, or has no branch.
        """
        return self._checkpoints.roll_back(caller, job_id, worker_id, checkpoint)

    def recount(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[str]:
        """Update the list of a worker's changed files, after a person committed on its branch.

        Also rewrite the reports. Return the new list, without files that only child jobs changed.
        Idempotent. Raise Conflict if the worker is running, is attached to a terminal, or has no
        branch.
        """
        return self._checkpoints.recount(caller, job_id, worker_id)

    # Locks: a worker's leases, and listing and ending leases by people

    def lock(self, caller: Caller, names: Sequence[str], *, wait: bool) -> LockCall:
        """Request leases for the calling worker: all of them or none.

        Raise Deadlock. Raise Locked if another worker holds one of the locks and ``wait`` is False.
        Raise Forbidden if the caller is not a worker.
        """
        return self._locks.lock(caller, names, wait=wait)

    def lock_decided(self, call: LockCall) -> bool:
        """True if the lock call can be answered.

        A worker that released its slot gets its leases only when it has a slot again.
        """
        return self._locks.lock_decided(call)

    def lock_answer(self, call: LockCall, *, final: bool) -> Sequence[LockLease] | None:
        """Return the acquired leases, or None while the call waits. Raise the call's error.

        ``final``: True if the client will not wait any longer.
        """
        return self._locks.lock_answer(call, final=final)

    def lock_dropped(self, call: LockCall) -> None:
        """Release the leases of a lock call whose client has disconnected."""
        self._locks.lock_dropped(call)

    def unlock(self, caller: Caller, names: Sequence[str]) -> Sequence[str]:
        """End leases, all of the named leases or none of them.

        A worker ends its own leases. A person ends leases of a worker. Raise NotFound or Forbidden.
        """
        return self._locks.unlock(caller, names)

    def locks(self, caller: Caller) -> Sequence[LockView]:
        """Return held and requested locks of jobs that the caller may see."""
        return self._locks.locks(caller)

    def leases_on(self, name: str) -> Sequence[LockLease]:
        """Return the leases on exactly this name.

        Several leases exist if a worker and its descendants hold the lock.
        """
        return self._locks.leases_on(name)

    def leases(self) -> Sequence[LockLease]:
        """Return all active leases."""
        return self._locks.leases()

    # Reading jobs

    def job(self, caller: Caller, job_id: str) -> Job:
        """Return a job without its tasks and workers; see ``detail`` for them."""
        return self._access.job(caller, job_id)

    def jobs(
        self,
        caller: Caller,
        *,
        status: str | None,
        parent: str | None,
        depth: int | None,
        page: int,
        page_size: int,
    ) -> Page:
        """Return the jobs that the caller may see, newest first."""
        return self._queries.jobs(
            caller, status=status, parent=parent, depth=depth, page=page, page_size=page_size
        )

    def detail(
        self,
        caller: Caller,
        job_id: str,
        *,
        with_tasks: bool = True,
        names: Collection[str] | None = None,
    ) -> Detail:
        """Return the job with its workers, and with its tasks if ``with_tasks``.

        ``names``: ids of the tasks to return; None means all tasks. For a job that awaits approval,
        all tasks are returned.
        """
        return self._queries.detail(caller, job_id, with_tasks=with_tasks, names=names)

    def workers_in_tree(self, caller: Caller, job_id: str) -> Sequence[Worker]:
        """Return all workers of the job's tree.

        If the caller is a worker, return only the workers of its child jobs and of jobs below them.
        """
        return self._queries.workers_in_tree(caller, job_id)

    def attempts(
        self, caller: Caller, job_id: str, worker_ids: Collection[str]
    ) -> Sequence[Attempt]:
        """Return the attempts of some of the job's workers."""
        return self._queries.attempts(caller, job_id, worker_ids)

    def tree(self, caller: Caller, job_id: str) -> Tree:
        """Return the job and its descendants. The job comes first."""
        return self._queries.tree(caller, job_id)

    def subtree(self, caller: Caller, job_id: str) -> frozenset[str]:
        """Return the ids of the job and its present descendants."""
        return self._queries.subtree(caller, job_id)

    def answer_wait(self, caller: Caller, job_id: str, run: int = 1) -> Job | None:
        """Return the job if a ``wait`` for it may end now, otherwise None.

        ``run``: the run of the job that the caller waits for. A wait ends when this run, or a later
        run, has ended. If the caller is a worker, the wait ends only after the worker has its slot
        again.
        """
        return self._queries.answer_wait(caller, job_id, run)

    # Reading events

    def events(self, caller: Caller, job_id: str, after: int, limit: int) -> Sequence[Event]:
        """Return events of the job and its descendants in order, with ``seq`` > ``after``."""
        return self._queries.events(caller, job_id, after, limit)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with stored events, in order, in the publisher's thread.

        Return a function that ends the subscription.
        """

        def observer(change: Change) -> None:
            if change.events:
                listener(change.events)

        return self._publisher.add(observer)

    # Outcomes of changes

    def merge_record(self, caller: Caller, job_id: str) -> Mapping[str, Any]:
        """Return the merge record of an ended job; empty if nothing was merged.

        Raise Conflict if the job has not ended.
        """
        return self._queries.merge_record(caller, job_id)

    def changes(self, caller: Caller, job: Job) -> Sequence[str]:
        """Describe the outcome of an ended job's changes as text; empty for a job without changes.

        The changes of child jobs are included, even if the job's own workers change no files.
        """
        return self._queries.changes(caller, job)

    def is_merging(self, job_id: str) -> bool:
        """True if a merge of the job runs."""
        return self._merges.is_merging(job_id)

    # Paths of files

    def log_path(self, caller: Caller, job_id: str, worker_id: str) -> Path:
        """Return the path of the file with a worker's output of all attempts."""
        return Path(self._workspace.log(self._access.worker(caller, job_id, worker_id)))

    def report_path(self, caller: Caller, job_id: str, name: str) -> Path:
        """Return the path of a report. Raise NotFound if the report has not been written yet."""
        return self._queries.report_path(caller, job_id, name)

    def workspace(self, job: Job) -> Path:
        """Return the directory of the job's root job."""
        return self._workspace.job_directory(job.root_id)

    def final_report(self, job: Job) -> Path:
        """Return the path of a job's summary report, which is written when the job ends."""
        return self._workspace.final_report(job)

    def worker_directory(self, worker: Worker) -> str:
        """Return the path of the worker's directory, which may not exist."""
        return self._workspace.worker_directory(worker)

    # Reading the server

    def stats(self, caller: Caller) -> Mapping[str, object]:
        """Return counts over all jobs. Raise Forbidden for a caller that does not see all jobs."""
        return self._server_status.stats(caller)

    def nodes(self, caller: Caller) -> Sequence[NodeState]:
        """Return the nodes of the cluster.

        Raise NotFound for a worker, and Forbidden for another caller that does not see all jobs.
        """
        return self._server_status.nodes(caller)

    def drain_node(self, caller: Caller, name: str, *, drained: bool) -> NodeState:
        """Start no more workers on a node of the cluster; if not ``drained``, start workers again.

        Idempotent. Running workers continue. The state survives restarts of the server. Raise
        Forbidden without the scope admin, and NotFound, with the known names, for an unknown node.
        """
        return self._server_status.drain_node(caller, name, drained=drained)

    def agents(self) -> Sequence[Availability]:
        """Return every agent that a task can name, with the reasons if it is unavailable."""
        return self._server_status.agents()

    def health(self) -> Health:
        """Return the server's health: whether it can accept and run jobs now, and why not."""
        return self._server_status.health()
