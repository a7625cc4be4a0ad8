"""The use cases that read one job: its workers, tree, events, report, logs, and merge record."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from orchestrator.core.candidates.reviewer import FEWEST_REVIEWED
from orchestrator.core.errors import Conflict, NoSuchJob, NotFound
from orchestrator.core.events import Event
from orchestrator.core.limits.plan_estimate import Estimate, estimate
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Attempt, Job, TaskSpec, Worker, with_descendants
from orchestrator.core.outcome.job.human_needs import actions_on
from orchestrator.core.ports import StateChange, Store, Tree, Workspace
from orchestrator.core.ports.read_models import JobDetail, WorkerDetail
from orchestrator.core.repository.repository import record_name
from orchestrator.core.text.command_name import COMMAND
from orchestrator.core.text.formatting import listed
from orchestrator.engine.merge.record.merge_record import record_of
from orchestrator.engine.merge.record.merge_report_text import outcome_lines
from orchestrator.engine.runtime import clock
from orchestrator.engine.service.access.authorization import Access
from orchestrator.engine.submission.job_creation import SubmissionBuilder
from orchestrator.engine.supervisor.publisher import Publisher
from orchestrator.engine.supervisor.supervisor import Supervisor
from orchestrator.security.files.json_file import read_object

#: Maximum seconds for which an answer waits until observers have written their files.
CATCH_UP_SECONDS = 5.0
#: Number of an agent's latest workers from which an estimate is computed.
EARLIER_WORKERS = 50
#: Maximum bytes of a merge record.
RECORD_BYTES = 64 * 1024 * 1024
#: Maximum number of a job's tasks that an error lists.
MOST_TASKS = 20

Listener = Callable[[Sequence[Event]], None]


def no_such_task(job_id: str, task_id: str, task_ids: Iterable[str]) -> NotFound:
    """Return the error for an unknown task.

    ``task_ids``: the tasks of the job; duplicates are ignored.
    """
    tasks = listed(list(dict.fromkeys(task_ids)), MOST_TASKS) or "none"
    return NotFound(f"job {job_id} has no task {task_id!r}; its tasks: {tasks}")


class JobDetails:
    def __init__(
        self,
        *,
        supervisor: Supervisor,
        store: Store,
        workspace: Workspace,
        publisher: Publisher,
        access: Access,
        submission_builder: SubmissionBuilder,
        reads_messages: Callable[[Job, Worker], bool],
    ) -> None:
        self._supervisor = supervisor
        self._store = store
        self._workspace = workspace
        self._publisher = publisher
        self._access = access
        self._submission_builder = submission_builder
        self._reads_messages = reads_messages

    def detail(
        self,
        caller: Caller,
        job_id: str,
        *,
        with_tasks: bool = True,
        names: Collection[str] | None = None,
    ) -> JobDetail:
        """Return the job with its workers, and with its tasks if ``with_tasks``.

        ``names``: ids of the tasks to return; None: return all tasks. If the job waits for
        approval, always return all tasks.
        """
        job = self._access.job(caller, job_id)
        workers = self._store.workers(job_id)
        if job.awaits_approval:
            names = None  # The estimate of a plan needs all tasks.
        tasks = self._store.tasks(job_id, names) if with_tasks else ()
        return JobDetail(
            job=job,
            tasks=tasks,
            workers=workers,
            estimate=self._estimate(tasks, workers) if tasks and job.awaits_approval else None,
            planner=self._store.planner(job_id) if with_tasks else None,
            reviewers=self._store.reviewers(job_id)
            if with_tasks or _has_candidates(workers)
            else (),
            left=self._submission_builder.remaining_quota_of(
                job, self._supervisor.view.size_of(job), clock.now()
            ),
        )

    def _estimate(self, tasks: Sequence[TaskSpec], workers: Sequence[Worker]) -> Estimate:
        candidates = Counter(worker.task_id for worker in workers)
        compared_tasks = [task for task in tasks if candidates[task.id] >= FEWEST_REVIEWED]
        return estimate(
            [worker.agent for worker in workers],
            self._submission_builder.uses_model,
            lambda agent: self._store.recent_usage(agent, EARLIER_WORKERS),
            [task.review for task in compared_tasks if task.review],
        )

    def worker(self, caller: Caller, job_id: str, worker_id: str) -> WorkerDetail:
        """Return a worker of the job; for a root job, also a worker of its descendants."""
        worker = self._access.worker(caller, job_id, worker_id)
        job = self._access.job(caller, worker.job_id)
        actions = actions_on(job, worker, reads_messages=self._reads_messages(job, worker))
        return WorkerDetail(
            job=job,
            worker=worker,
            task=None if worker.is_adviser else self._store.task(job.id, worker.task_id),
            attempts=self._store.attempts(worker.key),
            can=list(actions) if self._access.may_change(caller, job) else (),
        )

    def workers_in_tree(self, caller: Caller, job_id: str) -> Sequence[Worker]:
        """Return all workers of the job tree to which the job belongs.

        If the caller is a worker, return only the workers of its child jobs and their descendants.
        """
        job = self._access.job(caller, job_id)
        workers = self._store.workers_in_tree(job.root_id)
        if caller.worker_key is None:
            return workers
        return [each for each in workers if each.id.startswith(f"{caller.worker_key.worker_id}_")]

    def attempts(
        self, caller: Caller, job_id: str, worker_ids: Collection[str]
    ) -> Sequence[Attempt]:
        """Return the attempts of the workers ``worker_ids`` of the job's tree."""
        job = self._access.job(caller, job_id)
        return self._store.attempts_of(job.root_id, worker_ids)

    def tree(self, caller: Caller, job_id: str) -> Tree:
        """Return the job and its descendants. The job comes first."""
        job = self._access.job(caller, job_id)
        root_tree = self._store.tree(job.root_id)
        if root_tree is None:
            raise NoSuchJob(repr(job_id))
        return root_tree if job.is_root else _subtree_of(root_tree, job_id)

    def events(self, caller: Caller, job_id: str, after: int, limit: int) -> Sequence[Event]:
        """Return events of the job and its descendants with ``seq`` > ``after``, in order.

        The result has at most ``limit`` events. It is empty only if there are no such events.
        """
        job = self._access.job(caller, job_id)
        events = self._store.events(job.root_id, after, limit)
        if job.is_root:
            return events
        job_ids = self.subtree(caller, job_id)
        while events:
            subtree_events = [event for event in events if event.job_id in job_ids]
            if subtree_events:
                return subtree_events
            events = self._store.events(job.root_id, events[-1].seq, limit)
        return []

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call ``listener`` with stored events, in order, in the publisher's thread.

        Return a function that ends the subscription.
        """

        def observer(change: StateChange) -> None:
            if change.events:
                listener(change.events)

        return self._publisher.add(observer)

    def subtree(self, caller: Caller, job_id: str) -> frozenset[str]:
        """Return the ids of the job and its current descendants."""
        job = self._access.job(caller, job_id)
        return frozenset(
            each.id for each in with_descendants(job_id, self._access.jobs_of(job.root_id))
        )

    def report_path(self, caller: Caller, job_id: str, name: str) -> Path:
        """Return the path of a report. Raise NotFound if the report has not been written yet."""
        job = self._access.job(caller, job_id)
        path = self._workspace.report(job, name)
        if path is None or path.is_symlink() or not path.is_file():
            if not job.status.ended:
                raise NotFound(
                    f"job {job_id} has not ended ({job.status}), and has no report yet; wait for "
                    f"it: {COMMAND} wait {job_id}"
                )
            raise NotFound(
                f"job {job_id} has no report {name!r}; reports are written when a job ends"
            )
        final = self._workspace.final_report(job)
        if caller.attempt is not None and path != final:
            raise NotFound(
                f"report {name!r} is not available to a worker; read {final.name!r} instead"
            )
        return path

    def log_path(self, caller: Caller, job_id: str, worker_id: str) -> Path:
        """Return the path of the file with the output of all attempts of a worker."""
        return Path(self._workspace.log(self._access.worker(caller, job_id, worker_id)))

    def workspace(self, job: Job) -> Path:
        """Return the directory of the job's root job."""
        return self._workspace.job_directory(job.root_id)

    def final_report(self, job: Job) -> Path:
        """Return the path of a job's summary report. The report is written when the job ends."""
        return self._workspace.final_report(job)

    def worker_directory(self, worker: Worker) -> str:
        """Return the path of the worker's directory, which may not exist."""
        return self._workspace.worker_directory(worker)

    def merge_record(self, caller: Caller, job_id: str) -> Mapping[str, Any]:
        """Return the merge record of an ended job; empty if nothing was merged.

        Raise Conflict if the job has not ended.
        """
        job = self._access.job(caller, job_id)
        if not job.status.ended:
            raise Conflict(
                f"job {job_id} has not ended; its changes are merged when it ends; wait for it: "
                f"{COMMAND} wait {job_id}"
            )
        directory = self._workspace.job_directory(job.root_id)
        path = directory / "reports" / record_name(job_id)
        # The content may be invalid, because a worker may have written the file.
        return read_object(path, RECORD_BYTES, within=directory) or {}

    def changes(self, caller: Caller, job: Job) -> Sequence[str]:
        """Return lines of text about the merge of an ended job; empty for a job without changes.

        The changes of child jobs are included, even if the job's own workers change no files.
        """
        if not job.status.ended:
            return ()
        if job.facts.discarded:
            return ()  # The reason of the job already states that the changes were discarded.
        record = record_of(self.merge_record(caller, job.id))
        return (
            list(outcome_lines(record, job.status, list(self._jobs_above(job)))) if record else ()
        )

    def _jobs_above(self, job: Job) -> Iterator[str]:
        job_id = job.parent_job_id
        while job_id:
            yield job_id
            parent = self._store.job(job_id)
            job_id = parent.parent_job_id if parent else None

    def answer_wait(self, caller: Caller, job_id: str, run: int = 1) -> Job | None:
        """Return the job if its run number ``run``, or a later run, has ended; otherwise None.

        None means that the caller must wait. A calling worker releases its slot during the wait,
        and may continue only with a slot. After the run's end, the result is therefore None until
        the worker has a slot again.
        """
        job = self._access.job(caller, job_id)
        key = caller.worker_key
        if not job.status.ended or job.run < run:
            return None
        # Wait for the observers, so that status.json and the log are complete when the caller gets
        # the answer.
        self._publisher.catch_up(CATCH_UP_SECONDS)
        return None if key is not None and self._supervisor.view.waits_for_slot(key) else job


def _has_candidates(workers: Sequence[Worker]) -> bool:
    return len({worker.task_id for worker in workers}) < len(workers)


def _subtree_of(tree: Tree, job_id: str) -> Tree:
    jobs = with_descendants(job_id, tree.jobs)
    ids = {job.id for job in jobs}
    return Tree(
        jobs=jobs,
        tasks={each: tree.tasks[each] for each in ids},
        workers=[worker for worker in tree.workers if worker.job_id in ids],
        planners=[planner for planner in tree.planners if planner.job_id in ids],
        reviewers=[reviewer for reviewer in tree.reviewers if reviewer.job_id in ids],
        attempts=[attempt for attempt in tree.attempts if attempt.job_id in ids],
        last_seq=tree.last_seq,
    )
