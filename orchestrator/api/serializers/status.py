"""A job's status as an answer, with the results of its workers so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from operator import attrgetter

from orchestrator.api.serializers.answer_parts import (
    DEEPEST_NESTING,
    SUMMARY_CHARACTERS,
    counts,
    links,
    log_file,
    moment,
    moment_or_none,
    paused_answer,
    plan_fallback_answer,
    result_of,
    worker_seconds,
)
from orchestrator.api.serializers.json_encoding import encoded
from orchestrator.core.model.attempt.agent_session import Session
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.job import Job, Worker, wall_seconds
from orchestrator.core.outcome.job.human_needs import NeedKind, kind_of_worker
from orchestrator.core.outcome.job.job_outcome import outcome_fields
from orchestrator.core.outcome.job.unmerged_changes import (
    UnmergedChanges,
    has_worktree,
    merge_command,
)
from orchestrator.core.ports.read_models import JobDetail
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers

WorkersByJob = Mapping[str, Sequence[Worker]]
_child_jobs_of = attrgetter("child_job_ids")


def status_answer(service: Service, caller: Caller, job_id: str) -> answers.status.StatusAnswer:
    detail = service.job_details.detail(caller, job_id, with_tasks=False)
    by_job = workers_by_job(service, caller, detail)
    return _status(service, caller, detail, by_job, _results(service, caller, detail, by_job))


class StatusParts:
    """A job's status in parts: the fields of the job, and one row for each worker.

    The parts are separate, so that unchanged rows are not encoded again.
    """

    def __init__(self, service: Service, caller: Caller, job_id: str) -> None:
        self._service = service
        self._caller = caller
        #: Number of the latest event. Read before the workers, which may therefore be newer.
        self.seq = service.job_lists.last_seq(caller, job_id)
        version = service.job_lists.version(service.access.job(caller, job_id))
        self.detail = service.job_details.detail(caller, job_id, with_tasks=False)
        #: Version of the tree; 0 if two answers for the same version may differ. Answers may differ
        #: after the job's end, because the files of a merge may change. Answers to a worker may
        #: differ from other answers, because a worker sees only a part of the tree.
        may_differ = self.detail.job.status.ended or self._caller.attempt is not None
        self.version = 0 if may_differ else version
        self._by_job = workers_by_job(service, caller, self.detail) if not self.version else None

    @property
    def _workers(self) -> WorkersByJob:
        if self._by_job is None:
            self._by_job = workers_by_job(self._service, self._caller, self.detail)
        return self._by_job

    @cached_property
    def workers(self) -> Sequence[Worker]:
        """The job's workers; empty until a worker has ended."""
        all_workers = self.detail.workers
        return all_workers if any(worker.status.ended for worker in all_workers) else ()

    @cached_property
    def has_child_jobs(self) -> bool:
        return any(map(_child_jobs_of, self.detail.workers))

    def answer(self) -> answers.status.StatusAnswer:
        """Return the status without the workers' rows."""
        job_results = None
        if self.workers:
            job_results = _results_without_workers(self._service, self._caller, self.detail, [])
        answer = _status(self._service, self._caller, self.detail, self._workers, job_results)
        return answer.model_copy(update={"seq": self.seq})

    def encode_row(self, worker: Worker) -> bytes:
        """Return the encoded row of a worker, with the results of its child jobs."""
        row = _one_result(self._service, self.detail.job, self._workers, worker, 0)
        return encoded(row)


def _status(
    service: Service,
    caller: Caller,
    detail: JobDetail,
    by_job: WorkersByJob,
    job_results: answers.status.Results | None,
) -> answers.status.StatusAnswer:
    job = detail.job
    worker_counts = counts(detail.workers)
    return answers.status.StatusAnswer(
        job_id=job.id,
        status=job.status,
        run=job.run,
        reason=job.reason,
        paused=paused_answer(job.pause),
        **outcome_fields(job),
        plan_fallback=plan_fallback_answer(job),
        request=job.request[:SUMMARY_CHARACTERS],
        results=job_results,
        workers=worker_counts,
        missing=missing_changes(service, caller, job),
        not_in_parent=list(job.facts.not_in_parent),
        made_not_in_result=changes_outside_result(service, caller, job, by_job),
        repository_changes=[
            answers.status.RepositoryChangeAnswer(**asdict(each))
            for each in job.facts.repository_changes
        ],
        landed=landed_branches(job),
        counts=counts(_workers_in_tree(job.id, by_job)) if len(by_job) > 1 else dict(worker_counts),
        remaining=dict(detail.left),
        left=dict(detail.left),
        created_at=moment(job.created_at),
        started_at=moment_or_none(job.started_at),
        ended_at=moment_or_none(job.ended_at),
        seconds=wall_seconds(job, [*detail.workers, *detail.reviewers]),
        links=links(job.id),
    )


def landed_branches(job: Job) -> list[answers.status.LandedAnswer]:
    """Return the branches on which the job's result has landed."""
    return [
        answers.status.LandedAnswer(**{**asdict(each), "at": moment(each.at)})
        for each in job.facts.landed
    ]


def missing_changes(
    service: Service, caller: Caller, job: Job
) -> list[answers.status.MissingAnswer]:
    """Return the changes that the job's result lacks, each with the commands to merge it."""

    def ancestors(job_id: str) -> Iterator[str]:
        while job_id != job.id:
            job_id = service.access.job(caller, job_id).parent_job_id or job.id
            yield job_id

    return [
        answers.status.MissingAnswer(
            **asdict(each), **asdict(merge_command(each, job, list(ancestors(each.job_id))))
        )
        for each in job.facts.lacking
    ]


def changes_outside_result(
    service: Service, caller: Caller, job: Job, workers: WorkersByJob
) -> list[answers.status.OutsideAnswer]:
    """Return the changes of an ended job that are not in its result; [] before the job's end.

    ``workers``: the workers of the job and of its descendants.
    """
    if not job.status.ended:
        return []
    all_workers = [worker for own in workers.values() for worker in own]
    if not (job.facts.lacking or any(map(has_worktree, all_workers))):
        return []
    descendant_ids = {each.job_id for each in _workers_in_tree(job.id, workers)} - {job.id}
    jobs = {job.id: job, **{each: service.access.job(caller, each) for each in descendant_ids}}
    changes = UnmergedChanges(jobs, workers).made_not_in_result(job)
    return [answers.status.OutsideAnswer(**asdict(each)) for each in changes]


def wait_answer(
    service: Service, caller: Caller, job_id: str, run: int
) -> answers.status.WaitAnswer:
    status = status_answer(service, caller, job_id)
    has_ended = status.status.ended and status.run >= run
    return answers.status.WaitAnswer.model_construct(**dict(status), timed_out=not has_ended)


def results(service: Service, caller: Caller, detail: JobDetail) -> answers.status.Results | None:
    """Return a job's results; None until a worker has ended."""
    return _results(service, caller, detail, workers_by_job(service, caller, detail))


def _results(
    service: Service, caller: Caller, detail: JobDetail, by_job: WorkersByJob
) -> answers.status.Results | None:
    if not any(worker.status.ended for worker in detail.workers):
        return None
    return _results_without_workers(
        service, caller, detail, _task_results(service, detail.job, by_job)
    )


def _results_without_workers(
    service: Service, caller: Caller, detail: JobDetail, tasks: list[answers.status.TaskResult]
) -> answers.status.Results:
    job = detail.job
    return answers.status.Results(
        tasks=tasks,
        workspace=str(service.job_details.workspace(job)),
        final_report=str(service.job_details.final_report(job)),
        changes=list(service.job_details.changes(caller, job)),
    )


def workers_by_job(service: Service, caller: Caller, detail: JobDetail) -> WorkersByJob:
    """Map the ids of a job and of its descendants to the workers of each job."""
    if not any(map(_child_jobs_of, detail.workers)):
        return {detail.job.id: detail.workers}
    tree = by_job(service.job_details.workers_in_tree(caller, detail.job.id))
    # For the job itself, use the workers that were read together with the job's status.
    return {**tree, detail.job.id: detail.workers}


def by_job(workers: Sequence[Worker]) -> WorkersByJob:
    grouped: dict[str, list[Worker]] = defaultdict(list)
    for worker in workers:
        grouped[worker.job_id].append(worker)
    return {job_id: sorted(own, key=lambda each: each.index) for job_id, own in grouped.items()}


def _workers_in_tree(job_id: str, workers: WorkersByJob) -> Iterator[Worker]:
    jobs = [job_id]
    for each in jobs:
        for worker in workers.get(each, ()):
            yield worker
            jobs += worker.child_job_ids


def _task_results(
    service: Service, job: Job, workers: WorkersByJob, job_id: str = "", depth: int = 0
) -> list[answers.status.TaskResult]:
    """Return the task results of ``job``, or of its descendant ``job_id``.

    The list is empty if no worker has ended yet, or if the job is nested deeper than
    DEEPEST_NESTING.
    """
    workers_of_job = workers.get(job_id or job.id, ()) if depth <= DEEPEST_NESTING else ()
    if not any(worker.status.ended for worker in workers_of_job):
        return []
    return [_one_result(service, job, workers, worker, depth) for worker in workers_of_job]


def _one_result(
    service: Service, job: Job, workers: WorkersByJob, worker: Worker, depth: int
) -> answers.status.TaskResult:
    children = worker.child_job_ids
    child_results = (
        _task_results(service, job, workers, children[-1], depth + 1) if children else []
    )
    return _task_result(service, job, worker, child_results)


def _task_result(
    service: Service, job: Job, worker: Worker, child_results: list[answers.status.TaskResult]
) -> answers.status.TaskResult:
    result = result_of(worker)
    children = worker.child_job_ids
    delivery = result.delivery
    return answers.status.TaskResult.model_construct(
        worker_id=worker.id,
        task_id=worker.task_id,
        status=worker.status,
        output=result.output,
        files_created=list(result.files_created),
        agent=worker.agent,
        reason=worker.reason,
        unchanged=not delivery.changed if delivery else None,
        missing=list(delivery.missing) if delivery else [],
        saved=list(delivery.saved) if delivery else [],
        outside=list(delivery.outside) if delivery else [],
        asked=True if kind_of_worker(worker) is NeedKind.ASKED else None,
        chosen=worker.chosen,
        attempts=worker.attempt,
        session=session_answer(result.session),
        seconds=worker_seconds(worker),
        exit_code=result.exit_code,
        workspace=service.job_details.worker_directory(worker),
        log=log_file(service, job, worker),
        child_job_id=children[-1] if children else None,
        child_job_ids=list(children),
        child_results=child_results,
    )


def session_answer(session: Session | None) -> answers.status.SessionAnswer | None:
    if session is None:
        return None
    return answers.status.SessionAnswer(
        id=session.id, attempt=session.attempt, resumed=session.resumed
    )
