"""The use cases. The API and the command line call nothing else of the engine."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.events import Event
from orchestrator.core.locks.lease import Lease
from orchestrator.core.locks.lock_view import LockView
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.job import Attempt, Job, Worker
from orchestrator.core.model.submission import Accepted, Caller, ConfigRequest, Submission
from orchestrator.core.ports import Change, Page, Tree, Workspace
from orchestrator.core.ports.read_models import (
    Availability,
    Checkpoint,
    Detail,
    Health,
    RolledBack,
    Used,
)
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.engine.service.access import Access
from orchestrator.engine.service.checkpoints import CheckpointCalls
from orchestrator.engine.service.job_control import JobControl
from orchestrator.engine.service.locks import LockService
from orchestrator.engine.service.merges import MergeCalls
from orchestrator.engine.service.queries import Queries
from orchestrator.engine.service.removal import RemovalCalls
from orchestrator.engine.service.server_status import ServerStatus
from orchestrator.engine.service.submissions import SubmissionCalls
from orchestrator.engine.supervisor.lease_calls import LockCall
from orchestrator.engine.supervisor.publisher import Publisher

Listener = Callable[[Sequence[Event]], None]


class Service:
    """Every method with a caller raises NotFound for what is not the caller's.

    Those that change something raise Forbidden for what it sees and may not change.
    """

    def __init__(
        self,
        *,
        access: Access,
        submissions: SubmissionCalls,
        job_control: JobControl,
        merges: MergeCalls,
        checkpoints: CheckpointCalls,
        removal: RemovalCalls,
        locks: LockService,
        queries: Queries,
        server_status: ServerStatus,
        publisher: Publisher,
        workspace: Workspace,
    ) -> None:
        self._access = access
        self._submissions = submissions
        self._job_control = job_control
        self._merges = merges
        self._checkpoints = checkpoints
        self._removal = removal
        self._locks = locks
        self._queries = queries
        self._server_status = server_status
        self._publisher = publisher
        self._workspace = workspace

    # Who calls

    def authenticate(self, key: str | None) -> Caller:
        """Raise Unauthorized."""
        return self._access.authenticate(key)

    def check_change(self, caller: Caller) -> None:
        """Raise Forbidden when there is nothing that this caller may change."""
        self._access.check_change(caller)

    # A job, from its submission to its end

    def submit(self, caller: Caller, submission: Submission) -> Accepted:
        """Store a job. Idempotent for the same Idempotency-Key.

        Raise Forbidden, InvalidRequest, Refused, Conflict or Unavailable; nothing is stored then.
        """
        return self._submissions.submit(caller, submission)

    def approve(self, caller: Caller, job_id: str) -> Job:
        """Let the tasks of a planned job start. Raise Conflict where nothing waits for that."""
        return self._job_control.approve(caller, job_id)

    def reject(self, caller: Caller, job_id: str) -> Job:
        """End a job that waits for approval. Raise Conflict for one that does not."""
        return self._job_control.reject(caller, job_id)

    def used(self, caller: Caller, usage: Usage) -> Used:
        """A worker tells what its attempt has used so far in all; what follows from that.

        Idempotent. Raise Forbidden for a caller that is no worker.
        """
        return self._job_control.used(caller, usage)

    def cancel(self, caller: Caller, job_id: str) -> Job:
        """Stop a job and all its descendants. Idempotent; a job that has ended is left as it is."""
        return self._job_control.cancel(caller, job_id)

    def retry(self, caller: Caller, job_id: str, config: ConfigRequest) -> Job:
        """Run again what did not succeed. Raise Conflict where there is nothing to run again."""
        return self._submissions.retry(caller, job_id, config)

    # The result of a job that has ended

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        """Merge a job that has ended once more; whether that is done already.

        Raise Conflict where it cannot be, and InvalidRequest for workers that are none of its.
        """
        return self._merges.merge(caller, job_id, choice)

    def choose(self, caller: Caller, job_id: str, task_id: str, worker_id: str) -> bool:
        """Overrule the choice among a task's candidates; whether the job is merged again already.

        Raise Conflict where it cannot be, NotFound for an unknown task, and InvalidRequest for a
        worker that is none of its candidates.
        """
        return self._merges.choose(caller, job_id, task_id, worker_id)

    def remove(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a job from disk and store, as ``clean`` does.

        The names of refs in git under which work is kept that is nowhere else. Raise Forbidden for
        a worker, and Conflict for a job that is no root, runs, is merged, or is attached to a
        terminal.
        """
        return self._removal.remove(caller, job_id)

    def discard(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove branches, worktrees, and kept refs of a job that have not landed. Idempotent.

        The names of those that were there. Raise RepositoryError, and what ``remove`` raises.
        """
        return self._removal.discard(caller, job_id)

    # Checkpoints of workers; each raises RepositoryError for what git refuses

    def checkpoints(self, caller: Caller, job_id: str) -> Sequence[Checkpoint]:
        """Those of a job's own workers, as they were made; none without worktrees."""
        return self._checkpoints.checkpoints(caller, job_id)

    def roll_back(
        self, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
    ) -> RolledBack:
        """Have a worker's branch, and its worktree where there is one, as in a checkpoint.

        By default the one before its latest attempt. What was there is kept as a checkpoint.
        Raise Conflict for a worker that runs, or has no worktree.
        """
        return self._checkpoints.roll_back(caller, job_id, worker_id, checkpoint)

    def recount(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[str]:
        """Have lists and reports count what a person committed on a worker's branch since its end.

        Return all files that the branch changes. Idempotent. Raise Conflict for a worker that
        runs, or has no branch.
        """
        return self._checkpoints.recount(caller, job_id, worker_id)

    # Locks: a worker's leases, and what people see and break of them

    def lock(self, caller: Caller, names: Sequence[str], *, wait: bool) -> LockCall:
        """Ask for leases for the calling worker, all or none.

        Raise Deadlock; Locked when somebody else has one and the caller does not wait; Forbidden
        for a caller that is no worker.
        """
        return self._locks.lock(caller, names, wait=wait)

    def lock_decided(self, call: LockCall) -> bool:
        """Whether a call may be answered: a worker that lent its slot needs it back first."""
        return self._locks.lock_decided(call)

    def lock_answer(self, call: LockCall, *, final: bool) -> Sequence[Lease] | None:
        """The leases; None when the caller is to ask again soon. Raise what the call came to."""
        return self._locks.lock_answer(call, final=final)

    def lock_dropped(self, call: LockCall) -> None:
        """Its caller is gone."""
        self._locks.lock_dropped(call)

    def unlock(self, caller: Caller, names: Sequence[str]) -> Sequence[str]:
        """End the caller's own leases; those of others when a person asks. All or none.

        Raise NotFound or Forbidden.
        """
        return self._locks.unlock(caller, names)

    def locks(self, caller: Caller) -> Sequence[LockView]:
        """What is held and waited for, as far as the caller sees the jobs that it belongs to."""
        return self._locks.locks(caller)

    def leases_on(self, name: str) -> Sequence[Lease]:
        """Of exactly this name; several when workers of one line have it."""
        return self._locks.leases_on(name)

    def leases(self) -> Sequence[Lease]:
        """All that stand."""
        return self._locks.leases()

    # Reading jobs

    def job(self, caller: Caller, job_id: str) -> Job:
        """Without its tasks and workers; those are in ``detail``."""
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
        """Newest first, of those that the caller may see."""
        return self._queries.jobs(
            caller, status=status, parent=parent, depth=depth, page=page, page_size=page_size
        )

    def detail(self, caller: Caller, job_id: str, *, with_tasks: bool = True) -> Detail:
        """``tasks`` is empty unless they are asked for."""
        return self._queries.detail(caller, job_id, with_tasks=with_tasks)

    def workers_in_tree(self, caller: Caller, job_id: str) -> Sequence[Worker]:
        """Of the job's whole root tree; for a worker, of what is below it."""
        return self._queries.workers_in_tree(caller, job_id)

    def attempts(self, caller: Caller, job_id: str) -> Sequence[Attempt]:
        """Of the job's workers."""
        return self._queries.attempts(caller, job_id)

    def tree(self, caller: Caller, job_id: str) -> Tree:
        """This job, first, and its descendants."""
        return self._queries.tree(caller, job_id)

    def subtree(self, caller: Caller, job_id: str) -> frozenset[str]:
        """Ids of the job and its present descendants."""
        return self._queries.subtree(caller, job_id)

    def answer_wait(self, caller: Caller, job_id: str) -> Job | None:
        """The job when a ``wait`` for it may be answered now, else None.

        A worker that lent its slot is answered when it has it again.
        """
        return self._queries.answer_wait(caller, job_id)

    # Reading events

    def events(self, caller: Caller, job_id: str, after: int, limit: int) -> Sequence[Event]:
        """Of the job and its descendants, in order, those with ``seq`` > ``after``."""
        return self._queries.events(caller, job_id, after, limit)

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell ``listener`` of stored events, in order, from the publisher's thread.

        Answers what ends the subscription.
        """

        def observer(change: Change) -> None:
            if change.events:
                listener(change.events)

        return self._publisher.add(observer)

    # Reading what became of changes

    def merge_record(self, caller: Caller, job_id: str) -> Mapping[str, Any]:
        """What became of the changes of an ended job; empty when it had none. Raise Conflict."""
        return self._queries.merge_record(caller, job_id)

    def changes(self, caller: Caller, job: Job) -> Sequence[str]:
        """What became of the changes of an ended job, in words; nothing for any other.

        Also where only workers of its child jobs change files.
        """
        return self._queries.changes(caller, job)

    def is_merging(self, job_id: str) -> bool:
        """Whether a merge of the job is under way."""
        return self._merges.is_merging(job_id)

    # Where files are

    def log_path(self, caller: Caller, job_id: str, worker_id: str) -> Path:
        """The output of a worker's attempts."""
        return Path(self._workspace.log(self._access.worker(caller, job_id, worker_id)))

    def report_path(self, caller: Caller, job_id: str, name: str) -> Path:
        """Raise NotFound while it has not been written."""
        return self._queries.report_path(caller, job_id, name)

    def workspace(self, job: Job) -> Path:
        """The directory of the job's root."""
        return self._workspace.job_directory(job.root_id)

    def final_report(self, job: Job) -> Path:
        """The report that sums a job up; written when the job ends."""
        return self._workspace.final_report(job)

    def worker_directory(self, worker: Worker) -> Path:
        """In the directory of the job's root; also while it is not there."""
        return Path(self._workspace.worker_directory(worker))

    # Reading the server

    def stats(self, caller: Caller) -> Mapping[str, object]:
        """Counts over all jobs. Raise Forbidden for a caller that does not see all of them."""
        return self._server_status.stats(caller)

    def agents(self) -> Sequence[Availability]:
        """Every agent that a task can name, with what stands in its way."""
        return self._server_status.agents()

    def health(self) -> Health:
        """Whether jobs can be taken and carried out now, and what stands in the way."""
        return self._server_status.health()
