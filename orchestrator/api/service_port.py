"""The use cases that the API offers, as the engine's Service carries them out."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from orchestrator.core.events import Event
from orchestrator.core.evidence import Usage
from orchestrator.core.lease import Lease
from orchestrator.core.lock_view import LockView
from orchestrator.core.model import Attempt, Job, Worker, WorkerKey
from orchestrator.core.ports import Page, Tree
from orchestrator.core.repository import MergeChoice
from orchestrator.core.submission import Accepted, Caller, ConfigRequest, Submission
from orchestrator.core.views import Availability, Checkpoint, Detail, Health, RolledBack, Used

Listener = Callable[[Sequence[Event]], None]


class LockCall(Protocol):
    """A worker's call for leases."""

    #: Called when something has become of it, from any thread.
    tell: Callable[[], None]

    @property
    def key(self) -> WorkerKey: ...

    @property
    def job(self) -> Job:
        """The worker's own job."""

    @property
    def why(self) -> str:
        """Why it waits."""


class Locks(Protocol):
    """The use cases of locks."""

    def lock(self, caller: Caller, names: Sequence[str], *, wait: bool) -> Any:
        """A LockCall. Raise Deadlock, Locked, or Forbidden for a caller that is no worker."""

    def lock_decided(self, call: Any) -> bool:
        """Whether a call may be answered."""

    def lock_answer(self, call: Any, *, final: bool) -> Sequence[Lease] | None:
        """The leases; None: the caller is to ask again. Raise what the call came to."""

    def lock_dropped(self, call: Any) -> None:
        """Its caller is gone."""

    def unlock(self, caller: Caller, names: Sequence[str]) -> Sequence[str]:
        """Raise NotFound or Forbidden; nothing has changed then."""

    def locks(self, caller: Caller) -> Sequence[LockView]: ...

    def leases(self) -> Sequence[Lease]:
        """All that stand."""

    def leases_on(self, name: str) -> Sequence[Lease]: ...


class Service(Protocol):
    """Every method with a caller raises NotFound for what the caller may not see.

    Those that change something raise Forbidden for what it sees and may not change.
    """

    @property
    def locks(self) -> Locks: ...

    def authenticate(self, key: str | None) -> Caller:
        """Raise Unauthorized."""

    def check_change(self, caller: Caller) -> None:
        """Raise Forbidden when there is nothing that this caller may change."""

    def submit(self, caller: Caller, submission: Submission) -> Accepted:
        """Store a job. Raise InvalidRequest, Refused, NotFound, Conflict or Unavailable."""

    def used(self, caller: Caller, usage: Usage) -> Used:
        """What follows for the calling worker; raise Forbidden for a caller that is none."""

    def job(self, caller: Caller, job_id: str) -> Job: ...

    def jobs(
        self,
        caller: Caller,
        *,
        status: str | None,
        parent: str | None,
        depth: int | None,
        page: int,
        page_size: int,
    ) -> Page: ...

    def detail(self, caller: Caller, job_id: str, *, with_tasks: bool = True) -> Detail:
        """``tasks`` is empty unless they are asked for."""

    def workers_in_tree(self, caller: Caller, job_id: str) -> Sequence[Worker]:
        """Of the job's whole root tree, as far as the caller may see them."""

    def attempts(self, caller: Caller, job_id: str) -> Sequence[Attempt]:
        """Of the job's workers."""

    def tree(self, caller: Caller, job_id: str) -> Tree:
        """This job (``jobs[0]``) and its descendants."""

    def events(self, caller: Caller, job_id: str, after: int, limit: int) -> Sequence[Event]:
        """Of the job and its descendants, in order, those with ``seq`` > ``after``."""

    def subtree(self, caller: Caller, job_id: str) -> frozenset[str]:
        """Ids of the job and its present descendants."""

    def log_path(self, caller: Caller, job_id: str, worker_id: str) -> Path: ...

    def report_path(self, caller: Caller, job_id: str, name: str) -> Path: ...

    def remove(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove a root job that has ended; the refs that keep its work. Raise Conflict."""

    def discard(self, caller: Caller, job_id: str) -> Sequence[str]:
        """Remove what has not landed of a root job; the refs that are gone. Raise Conflict."""

    def merge_record(self, caller: Caller, job_id: str) -> Mapping[str, Any]:
        """What became of the changes of an ended job; empty when it had none. Raise Conflict."""

    def checkpoints(self, caller: Caller, job_id: str) -> Sequence[Checkpoint]:
        """Of the job's own workers, as they were made. Raise RepositoryError."""

    def roll_back(
        self, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
    ) -> RolledBack:
        """Raise Conflict for a worker that runs, NotFound for a checkpoint it does not have."""

    def recount(self, caller: Caller, job_id: str, worker_id: str) -> Sequence[str]:
        """The files that its branch changes now. Raise Conflict for a worker that runs."""

    def changes(self, caller: Caller, job: Job) -> Sequence[str]:
        """What became of the changes of an ended job, in words; nothing for any other."""

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        """Merge a job that has ended once more; whether that is done already.

        Raise Conflict where it cannot be, and InvalidRequest for workers that are none of its.
        """

    def choose(self, caller: Caller, job_id: str, task_id: str, worker_id: str) -> bool:
        """Overrule the choice among a task's candidates; whether the job is merged again already.

        Raise Conflict where it cannot be, NotFound for an unknown task, and InvalidRequest for a
        worker that is none of its candidates.
        """

    def is_merging(self, job_id: str) -> bool: ...

    def workspace(self, job: Job) -> Path:
        """The directory of the job's root."""

    def final_report(self, job: Job) -> Path: ...

    def worker_directory(self, worker: Worker) -> Path: ...

    def answer_wait(self, caller: Caller, job_id: str) -> Job | None:
        """The job when a ``wait`` for it may be answered now, else None."""

    def cancel(self, caller: Caller, job_id: str) -> Job: ...

    def approve(self, caller: Caller, job_id: str) -> Job:
        """Raise Conflict for a job that does not wait for it, Forbidden for a worker."""

    def reject(self, caller: Caller, job_id: str) -> Job:
        """Raise Conflict for a job that does not wait for it, Forbidden for a worker."""

    def retry(self, caller: Caller, job_id: str, config: ConfigRequest) -> Job: ...

    def stats(self, caller: Caller) -> Mapping[str, object]: ...

    def agents(self) -> Sequence[Availability]:
        """Every agent that a task can name: the AI agents first, best first."""

    def health(self) -> Health: ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` after every commit, in order, from the publisher's thread.

        Answers what ends the subscription.
        """
