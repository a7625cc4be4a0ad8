"""The engine's service in memory, with the same rules, but without processes."""

import itertools
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from orchestrator.core.errors import Conflict, Forbidden, NotFound, Outdated, Unauthorized
from orchestrator.core.events import Event, EventKind
from orchestrator.core.locks.lock_table import LockLease, LockView
from orchestrator.core.model.attempt.attempt_result import EndedBy, Exit, Usage
from orchestrator.core.model.caller import Caller, Scope
from orchestrator.core.model.human_input.feedback import FeedbackGiven, FeedbackRequest
from orchestrator.core.model.human_input.question import PERSON, Question
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, WorkerKey
from orchestrator.core.model.job_settings import JobConfig
from orchestrator.core.model.states import JobStatus, WorkerStatus
from orchestrator.core.model.submission import Accepted, ConfigRequest, Submission
from orchestrator.core.model.worker_result import CandidateRank, WorkerResult
from orchestrator.core.outcome.job.human_needs import needs_of
from orchestrator.core.ports import Tree
from orchestrator.core.ports.agent_availability import Availability
from orchestrator.core.ports.read_models import (
    Checkpoint,
    Health,
    JobCard,
    JobDetail,
    JobFilter,
    ListedJob,
    ListedPage,
    NodeState,
    Progress,
    RolledBack,
    WorkerDetail,
)
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.engine.supervisor.lock_calls import LockCall
from orchestrator.security.secrets.api_keys import hash_key

KEY = "a-key-for-tests-only"
READ_KEY = "a-key-that-only-reads"
SUBMIT_KEY = "submit-key-of-a-program"
LEFT = {"depth": 3, "child_jobs": 20}
#: The head of every worker's branch.
TIP = "0123456789abcdef" * 2 + "01234567"


class FakeJobLists:
    """The queries of jobs and workers that streams need. Other queries need a store."""

    def __init__(self, service: "FakeService") -> None:
        self._service = service
        self._versions = itertools.count(1)

    def last_seq(self, caller: Caller, job_id: str) -> int:
        return len(self._service.job_details.events(caller, job_id, 0, 1_000_000))

    def version(self, job: Job | ListedJob) -> int:
        """Return a new version on each call, so that no answer is cached."""
        return next(self._versions)

    def jobs(
        self, caller: Caller, wanted: JobFilter, kinds: object = (), *, page: int, page_size: int
    ) -> ListedPage:
        status = next(iter(wanted.statuses), None)
        found = [
            job
            for job in reversed(self._service._jobs.values())
            if self._service._may_see(caller, job)
            and status in (None, job.status)
            and wanted.parent in (None, job.parent_job_id)
            and wanted.depth in (None, job.depth)
        ]
        start = (page - 1) * page_size
        listed = [ListedJob(job.id, job.root_id) for job in found[start : start + page_size]]
        return ListedPage(jobs=listed, total=len(found))

    def cards(self, job_ids: Collection[str]) -> Sequence[JobCard]:
        jobs = [self._service._jobs[job_id] for job_id in job_ids]
        return [
            JobCard(
                job=job,
                own=Progress(),
                tree=Progress(),
                needs=needs_of(job, self._service.workers_of(job)),
            )
            for job in jobs
        ]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def read(caller: Caller, job_id: str, *given: object, **named: object) -> Any:
            self._service.access.job(caller, job_id)
            raise AssertionError(f"{name} needs a store")

        return read


class _Part:
    def __init__(self, service: "FakeService") -> None:
        self._service = service


class FakeCallers(_Part):
    def of_key(self, key: str | None) -> Caller:
        if key not in self._service._keys:
            raise Unauthorized()
        return self._service._keys[key]

    def of_key_hash(self, key_hash: str) -> Caller:
        for key, caller in self._service._keys.items():
            if hash_key(key) == key_hash and caller.attempt is None:
                return caller
        raise Unauthorized("the API key of this session was removed; log in again")


class FakeAccess(_Part):
    def keys(self, caller: Caller) -> Sequence[Caller]:
        if Scope.ADMIN not in caller.scopes:
            raise Forbidden("a key of scope admin is needed")
        return sorted(self._service._keys.values(), key=lambda each: each.name)

    def check_person(self, caller: Caller) -> None:
        if caller.attempt is not None:
            raise Forbidden("this call is not allowed with the key of a worker")

    def check_change(self, caller: Caller) -> None:
        if not caller.may_change:
            raise Forbidden(f"the key {caller.name!r} has read access only")

    def job(self, caller: Caller, job_id: str) -> Job:
        with self._service._lock:
            job = self._service._jobs.get(job_id)
        if job is None or not self._service._may_see(caller, job):
            raise NotFound(f"there is no job {job_id}")
        return job

    def worker(self, caller: Caller, job_id: str, worker_id: str) -> Worker:
        for worker in self._service.workers_of(self.job(caller, job_id)):
            if worker.id == worker_id:
                return worker
        raise NotFound(f"job {job_id} has no worker {worker_id!r}")


class FakeSubmissions(_Part):
    def submit(self, caller: Caller, submission: Submission) -> Accepted:
        if self._service.failure is not None:
            raise self._service.failure
        with self._service._lock:
            known = self._service._idempotent.get(submission.idempotency_key or "")
            if known:
                return Accepted(job=self._service._jobs[known], duplicate=True, left=LEFT)
            self._service.submitted.append(submission)
            job = self._service._new_job(caller, submission)
            if submission.idempotency_key:
                self._service._idempotent[submission.idempotency_key] = job.id
        self._service.publish(job, EventKind.JOB_SUBMITTED, data={"request": job.request})
        return Accepted(job=job, left=LEFT)

    def find(self, caller: Caller, idempotency_key: str) -> Job | None:
        known = self._service._idempotent.get(idempotency_key)
        return self._service._jobs[known] if known else None


class FakeJobRetry(_Part):
    def retry(self, caller: Caller, job_id: str, config: ConfigRequest) -> Job:
        job = self._service.access.job(caller, job_id)
        if not job.status.ended:
            raise Conflict(f"job {job_id} has not ended")
        if job.status is JobStatus.COMPLETED:
            raise Conflict(f"everything in job {job_id} succeeded; there is nothing to retry")
        settings = replace(job.config, **{name: config.get(name) for name in config.fields_set})
        self._service._jobs[job.id] = replace(
            job, status=JobStatus.RUNNING, ended_at=None, config=settings
        )
        self._service.publish(job, EventKind.JOB_RETRIED)
        return self._service._jobs[job.id]


class FakeJobDetails(_Part):
    def detail(
        self,
        caller: Caller,
        job_id: str,
        *,
        with_tasks: bool = True,
        names: Collection[str] | None = None,
    ) -> JobDetail:
        job = self._service.access.job(caller, job_id)
        tasks = self._service._tasks[job.id] if with_tasks else []
        return JobDetail(
            job=job, tasks=tasks, workers=self._service.workers_of(job), left=self._service.left
        )

    def workers_in_tree(self, caller: Caller, job_id: str) -> Sequence[Worker]:
        return self.tree(caller, job_id).workers

    def attempts(
        self, caller: Caller, job_id: str, worker_ids: Collection[str]
    ) -> Sequence[Attempt]:
        workers = self._service.workers_of(self._service.access.job(caller, job_id))
        return [one for worker in workers for one in self._service._attempts.get(worker.key, ())]

    def tree(self, caller: Caller, job_id: str) -> Tree:
        jobs = [
            self._service._jobs[one]
            for one in self._service._below(self._service.access.job(caller, job_id))
        ]
        return Tree(
            jobs=jobs,
            tasks={job.id: self._service._tasks[job.id] for job in jobs},
            workers=[worker for job in jobs for worker in self._service.workers_of(job)],
        )

    def events(self, caller: Caller, job_id: str, after: int, limit: int) -> Sequence[Event]:
        job = self._service.access.job(caller, job_id)
        members = self.subtree(caller, job_id)
        with self._service._lock:
            stored = self._service._events[job.root_id][after:]
        for start in range(0, len(stored), limit):
            # A page covers events of the whole tree, so it may have fewer events of this job.
            page = [event for event in stored[start : start + limit] if event.job_id in members]
            if page:
                return page
        return []

    def subtree(self, caller: Caller, job_id: str) -> frozenset[str]:
        return frozenset(self._service._below(self._service.access.job(caller, job_id)))

    def worker(self, caller: Caller, job_id: str, worker_id: str) -> WorkerDetail:
        self._service.access.job(caller, job_id)
        raise AssertionError("worker needs a store")

    def log_path(self, caller: Caller, job_id: str, worker_id: str) -> Path:
        job = self._service.access.job(caller, job_id)
        for worker in self._service.workers_of(job):
            if worker.id == worker_id:
                name = f"depth_{worker.depth}_{worker.id}.log"
                return self.workspace(job) / "logs" / name
        raise NotFound(f"job {job_id} has no worker {worker_id}")

    def report_path(self, caller: Caller, job_id: str, name: str) -> Path:
        job = self._service.access.job(caller, job_id)
        if name == "FINAL_RESULT.md":
            return self.final_report(job)
        return self.workspace(job) / "reports" / name

    def merge_record(self, caller: Caller, job_id: str) -> Mapping[str, Any]:
        self._service.access.job(caller, job_id)
        return {}

    def changes(self, caller: Caller, job: Job) -> Sequence[str]:
        return ()

    def workspace(self, job: Job) -> Path:
        return self._service.folder / f"job_{job.root_id}"

    def final_report(self, job: Job) -> Path:
        name = "FINAL_RESULT.md" if job.is_root else f"reports/job_{job.id}.md"
        return self.workspace(job) / name

    def worker_directory(self, worker: Worker) -> str:
        return f"{self._service.folder}/job_{worker.root_id}/depth_{worker.depth}/{worker.id}"

    def answer_wait(self, caller: Caller, job_id: str, run: int = 1) -> Job | None:
        job = self._service.access.job(caller, job_id)
        waiting = caller.worker_key and (
            self._service._workers[caller.worker_key].status is WorkerStatus.WAITING
        )
        over = job.status.ended and job.run >= run
        return job if over and not waiting else None

    def subscribe(self, listener: Callable[[Sequence[Event]], None]) -> Callable[[], None]:
        self._service._listeners.append(listener)
        return lambda: self._service._listeners.remove(listener)


class FakeCheckpoints(_Part):
    def of_job(self, caller: Caller, job_id: str) -> Sequence[Checkpoint]:
        self._service.access.job(caller, job_id)
        return [
            Checkpoint(
                worker_id="worker_1",
                name="1-before",
                attempt=1,
                at=1.0,
                commit="c" * 40,
                files_changed=0,
                has_ignored=True,
                not_kept={"node_modules": "it is too large"},
                gates="",
                is_current=True,
            )
        ]

    def roll_back(
        self, caller: Caller, job_id: str, worker_id: str, checkpoint: str | None
    ) -> RolledBack:
        self._service.access.job(caller, job_id)
        return RolledBack(checkpoint=checkpoint or "1-before", commit="c" * 40, kept="1-left-1")


class FakeRemoval(_Part):
    def remove(self, caller: Caller, job_id: str) -> Sequence[str]:
        if not self._service.access.job(caller, job_id).status.ended:
            raise Conflict(f"job {job_id} has not ended")
        return [f"refs/orchestrator-kept/{job_id}/worker_1"]

    def discard(self, caller: Caller, job_id: str) -> Sequence[str]:
        if not self._service.access.job(caller, job_id).status.ended:
            raise Conflict(f"job {job_id} has not ended")
        return [f"refs/heads/orchestrator/{job_id}/result"]


class FakeMerges(_Part):
    def choose(
        self, caller: Caller, job_id: str, task_id: str, worker_id: str, reason: str = ""
    ) -> bool:
        self._service.access.job(caller, job_id)
        self._service.chosen = (task_id, worker_id)
        return True

    def merge(self, caller: Caller, job_id: str, choice: MergeChoice) -> bool:
        if not self._service.access.job(caller, job_id).status.ended:
            raise Conflict(f"job {job_id} has not ended")
        self._service.merged = choice
        return choice.strategy != "theirs"

    def is_merging(self, job_id: str) -> bool:
        return False


class FakeJobControl(_Part):
    def cancel(self, caller: Caller, job_id: str) -> Job:
        job = self._service.access.job(caller, job_id)
        if job.status.ended:
            return job
        self._service._jobs[job.id] = replace(
            job, cancelled_by=caller.name, reason="cancel asked for"
        )
        self._service.publish(job, EventKind.JOB_CANCEL_REQUESTED)
        return self._service._jobs[job.id]


class FakeFeedback(_Part):
    def give(
        self, caller: Caller, job_id: str, worker_id: str, request: FeedbackRequest
    ) -> FeedbackGiven:
        job = self._service.access.job(caller, job_id)
        if not job.status.ended:
            raise Conflict(f"{worker_id} has not ended", kind="running")
        if not TIP.startswith(request.commit):
            raise Outdated(f"the branch of {worker_id} has moved to {TIP[:12]}", TIP)
        self._service.given = request
        job = replace(job, status=JobStatus.RUNNING, ended_at=None, run=job.run + 1)
        self._service._jobs[job.id] = job
        self._service.publish(job, EventKind.JOB_REOPENED)
        return FeedbackGiven(job_id=job.id, worker_id=worker_id, attempt=2, run=job.run)


class FakeWorkers(_Part):
    def retry(self, caller: Caller, job_id: str, worker_id: str) -> Job:
        return self._service.job_retry.retry(caller, job_id, ConfigRequest())

    def cancel(self, caller: Caller, job_id: str, worker_id: str) -> Job:
        return self._service.access.job(caller, job_id)


class FakeNodes(_Part):
    def drain_node(self, caller: Caller, name: str, *, drained: bool) -> NodeState:
        for at, each in enumerate(self._service.node_states):
            if each.name == name:
                self._service.node_states[at] = replace(each, drained=drained)
                return self._service.node_states[at]
        raise NotFound(f"unknown node {name!r}")


class FakeServerStatus(_Part):
    def agents(self) -> Sequence[Availability]:
        return [Availability(name="shell", description="runs a command")]

    def nodes(self, caller: Caller) -> Sequence[NodeState]:
        return self._service.node_states

    def stats(self, caller: Caller) -> Mapping[str, object]:
        jobs: dict[str, int] = {}
        for job in self._service._jobs.values():
            jobs[job.status] = jobs.get(job.status, 0) + 1
        return {"jobs": jobs, "workers": {"pending": len(self._service._workers)}, "attempts": 0}

    def health(self) -> Health:
        checks = {"store": "ok" if self._service.ready else "cannot be written"}
        return Health(ready=self._service.ready, checks=checks, containment="none", version="test")


class FakeLocks(_Part):
    """Locks without any lease."""

    def leases(self) -> Sequence[LockLease]:
        return []

    def leases_on(self, name: str) -> Sequence[LockLease]:
        return []

    def visible(self, caller: Caller) -> Sequence[LockView]:
        return []

    def lock(self, caller: Caller, names: Sequence[str], *, wait: bool) -> LockCall:
        raise Forbidden(
            "only a worker, with its own key, may acquire leases; to lock names for a task, set "
            "locks in the task"
        )

    def can_be_answered(self, call: LockCall) -> bool:
        return True

    def answer(self, call: LockCall, *, final: bool) -> Sequence[LockLease] | None:
        return []

    def drop(self, call: LockCall) -> None: ...

    def unlock(self, caller: Caller, names: Sequence[str]) -> Sequence[str]:
        raise NotFound(f"no lease on {names[0]} exists")


class FakeService:
    """Jobs change only when a test calls ``finish``, ``spawn``, or ``publish``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.job_lists = FakeJobLists(self)
        self.callers = FakeCallers(self)
        self.access = FakeAccess(self)
        self.submissions = FakeSubmissions(self)
        self.job_retry = FakeJobRetry(self)
        self.job_details = FakeJobDetails(self)
        self.checkpoints = FakeCheckpoints(self)
        self.removal = FakeRemoval(self)
        self.merges = FakeMerges(self)
        self.job_control = FakeJobControl(self)
        self.feedback = FakeFeedback(self)
        self.workers = FakeWorkers(self)
        self.server_status = FakeServerStatus(self)
        self.nodes = FakeNodes(self)
        self.locks = FakeLocks(self)
        self.ready = True
        self.left: dict[str, object] = {**LEFT}
        self.failure: Exception | None = None
        self.node_states: list[NodeState] = []
        self.submitted: list[Submission] = []
        self.given: FeedbackRequest | None = None
        self._jobs: dict[str, Job] = {}
        self._tasks: dict[str, tuple[TaskSpec, ...]] = {}
        self._workers: dict[WorkerKey, Worker] = {}
        self._attempts: dict[WorkerKey, list[Attempt]] = {}
        self._events: dict[str, list[Event]] = {}
        self._keys: dict[str, Caller] = {
            KEY: Caller(name="main", scopes=frozenset({Scope.ADMIN})),
            READ_KEY: Caller(name="watcher", scopes=frozenset({Scope.READ})),
            SUBMIT_KEY: Caller(name="program", scopes=frozenset({Scope.SUBMIT})),
        }
        self._idempotent: dict[str, str] = {}
        self._numbers = itertools.count(1)
        self._listeners: list[Callable[[Sequence[Event]], None]] = []
        self._lock = threading.RLock()

    def remove_key(self, key: str) -> None:
        del self._keys[key]

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def workers_of(self, job: Job) -> Sequence[Worker]:
        return [worker for worker in self._workers.values() if worker.job_id == job.id]

    def worker_key(self, worker: Worker) -> str:
        """Return the key of the worker's running attempt."""
        attempt = Attempt(
            root_id=worker.root_id,
            worker_id=worker.id,
            number=1,
            job_id=worker.job_id,
            started_at=time.time(),
        )
        self._attempts.setdefault(worker.key, []).append(attempt)
        key = f"key-of-{worker.root_id}-{worker.id}"
        self._keys[key] = Caller(name=worker.id, attempt=attempt)
        return key

    def move(self, worker: Worker, status: WorkerStatus) -> None:
        self._workers[worker.key] = replace(self._workers[worker.key], status=status)
        kinds = {
            WorkerStatus.WAITING: EventKind.WORKER_WAITING,
            WorkerStatus.RUNNING: EventKind.WORKER_RESUMED,
        }
        self.publish(self._jobs[worker.job_id], kinds[status], worker)

    def finish(
        self,
        worker: Worker,
        output: str = "done",
        status: WorkerStatus = WorkerStatus.SUCCESS,
        files: tuple[str, ...] = (),
        standing: CandidateRank | None = None,
    ) -> None:
        now = time.time()
        result = WorkerResult(output=output, files_created=files, exit_code=0, standing=standing)
        exit = Exit(ended_by=EndedBy.EXIT, code=0, started_at=now, ended_at=now)
        for attempt in self._attempts.get(worker.key, []):
            ended = replace(attempt, ended_at=now, exit=exit)
            self._attempts[worker.key] = [ended]
        self._workers[worker.key] = replace(
            self._workers[worker.key],
            status=status,
            result=result,
            attempt=1,
            started_at=now,
            ended_at=now,
        )
        self.publish(self._jobs[worker.job_id], EventKind.WORKER_ENDED, worker)

    def use(self, worker: Worker, usage: Usage) -> None:
        result = WorkerResult(usage=usage)
        self._workers[worker.key] = replace(self._workers[worker.key], result=result)

    def ask(self, worker: Worker, question: Question) -> None:
        asks = {"status": WorkerStatus.WAITING, "agent": PERSON, "question": question}
        self._workers[worker.key] = replace(self._workers[worker.key], **asks)

    def change(self, job: Job, **fields: Any) -> None:
        self._jobs[job.id] = replace(self._jobs[job.id], **fields)

    def end(self, job: Job, status: JobStatus = JobStatus.COMPLETED) -> None:
        now = time.time()
        self._jobs[job.id] = replace(self._jobs[job.id], status=status, ended_at=now)
        self.publish(job, EventKind.JOB_ENDED, data={"status": status})

    def end_and_retry(self, caller: Caller, job: Job) -> None:
        """End and retry the job in one step, so that no reader sees its end."""
        with self._lock:
            self.end(job, JobStatus.FAILED)
            self.job_retry.retry(caller, job.id, Submission(request="x").config)

    def publish(
        self,
        job: Job,
        kind: EventKind,
        worker: Worker | None = None,
        data: Mapping[str, object] | None = None,
    ) -> None:
        with self._lock:
            stored = self._events.setdefault(job.root_id, [])
            event = Event(
                root_id=job.root_id,
                seq=len(stored) + 1,
                job_id=job.id,
                kind=kind,
                at=time.time(),
                worker_id=worker.id if worker else None,
                data=data or {},
            )
            stored.append(event)
            for listener in tuple(self._listeners):
                listener([event])

    def _new_job(self, caller: Caller, submission: Submission) -> Job:
        parent = caller.worker_key and self._workers[caller.worker_key]
        job_id = f"job{next(self._numbers)}"
        job = Job(
            id=job_id,
            root_id=parent.root_id if parent else job_id,
            depth=parent.depth + 1 if parent else 0,
            request=submission.request,
            config=JobConfig(
                max_workers=5,
                default_timeout=300,
                max_retries=2,
                max_depth=3,
                max_wall_seconds=86400,
                labels=submission.config.values.labels,
            ),
            parent_worker_id=parent.id if parent else None,
            parent_job_id=parent.job_id if parent else None,
            submitted_by=caller.name,
            created_at=time.time(),
        )
        self._jobs[job.id] = job
        tasks = submission.tasks or (TaskSpec(id="task_1", title=submission.request),)
        self._tasks[job.id] = tasks
        self._add_workers(job, tasks, parent)
        if parent:
            children = (*parent.child_job_ids, job.id)
            self._workers[parent.key] = replace(parent, child_job_ids=children)
        return job

    def _add_workers(self, job: Job, tasks: Sequence[TaskSpec], parent: Worker | None) -> None:
        prefix = parent.id if parent else "worker"
        offset = 0
        if parent:
            jobs = (self._jobs[one] for one in parent.child_job_ids)
            offset = sum(len(self.workers_of(one)) for one in jobs)
        for index, task in enumerate(tasks):
            worker = Worker(
                id=f"{prefix}_{offset + index + 1}",
                job_id=job.id,
                root_id=job.root_id,
                task_id=task.id,
                index=index,
                depth=job.depth,
                agent="shell",
            )
            self._workers[worker.key] = worker

    def _below(self, job: Job) -> list[str]:
        found = [job.id]
        for job_id in found:
            found += [one.id for one in self._jobs.values() if one.parent_job_id == job_id]
        return found

    def _may_see(self, caller: Caller, job: Job) -> bool:
        """True if a worker may see the job: its own job, or a job that it started."""
        if caller.attempt is None:
            return True
        own = self._jobs[caller.attempt.job_id]
        return job.id in self._below(own)
