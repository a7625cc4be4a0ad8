"""Answers that describe a job tree, or all details of one job, such as its workers' locks."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from orchestrator.api.serializers.answer_parts import (
    DEEPEST_NESTING,
    SUMMARY_CHARACTERS,
    config_answer,
    links,
    log_file,
    moment,
    moment_or_none,
    paused_answer,
    plan_fallback_answer,
    question_answer,
    result_of,
    seconds_between,
    task_answer,
    usage_answer,
    worker_seconds,
)
from orchestrator.api.serializers.status import by_job, landed_branches, session_answer
from orchestrator.core.candidates.comparison import comparisons
from orchestrator.core.limits.usage_caps import caps_of, usage_by_job
from orchestrator.core.locks.lock_table import LockKind
from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.failure import Failure
from orchestrator.core.model.attempt.usage_sums import is_known
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.feedback import Feedback
from orchestrator.core.model.human_input.messages import WorkerMessage
from orchestrator.core.model.job import Attempt, Job, Worker, wall_seconds
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.outcome.job.job_outcome import outcome_fields
from orchestrator.core.outcome.job.reason import remarks_beside_workers
from orchestrator.core.ports import Tree
from orchestrator.core.ports.read_models import JobDetail
from orchestrator.engine.runtime import clock
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import MOST_WORKERS_PER_ANSWER, JobQuery

_AT_WORK = (WorkerStatus.RUNNING, WorkerStatus.WAITING)


def held_locks(service: Service, detail: JobDetail) -> Mapping[str, Sequence[answers.job.HeldLock]]:
    """Map the id of each worker to the locks that the worker holds. Omit workers without locks."""
    claimed = {task.id: task.locks for task in detail.tasks if task.locks}
    held: dict[str, list[answers.job.HeldLock]] = {}
    for worker in detail.workers:
        if claimed and worker.status in _AT_WORK:
            names = claimed.get(worker.task_id, ())
            claims = [answers.job.HeldLock(name=name, kind=LockKind.CLAIM) for name in names]
            held.setdefault(worker.id, []).extend(claims)
    if any(worker.status in _AT_WORK for worker in detail.workers):
        _add_leases(service, detail.workers, held)
    return held


def _add_leases(
    service: Service, workers: Sequence[Worker], held: dict[str, list[answers.job.HeldLock]]
) -> None:
    keys = {worker.key for worker in workers}
    for lease in service.locks.leases():
        if lease.key in keys:
            lock = answers.job.HeldLock(name=lease.name, kind=LockKind.LEASE, number=lease.number)
            held.setdefault(lease.worker_id, []).append(lock)


def job_answer(
    service: Service, caller: Caller, job_id: str, query: JobQuery
) -> answers.job.JobAnswer:
    shown = _page(service.job_details.detail(caller, job_id, with_tasks=False), query).workers
    names = {worker.task_id for worker in shown}
    detail = service.job_details.detail(caller, job_id, names=names)
    part = _page(detail, query)
    attempts = _attempts(service, caller, part)
    job, planner = detail.job, detail.planner
    held = held_locks(service, part)
    is_whole = part is detail
    all_workers = [*detail.workers, *([planner] if planner else []), *detail.reviewers]
    return answers.job.JobAnswer(
        job_id=job.id,
        root_job_id=job.root_id,
        depth=job.depth,
        parent_job_id=job.parent_job_id,
        parent_worker_id=job.parent_worker_id,
        request=job.request,
        **_state_of(job),
        config=config_answer(job.config),
        created_at=moment(job.created_at),
        started_at=moment_or_none(job.started_at),
        ended_at=moment_or_none(job.ended_at),
        seconds=wall_seconds(job, [*detail.workers, *detail.reviewers]),
        tasks=list(_tasks(part)),
        workers=[
            worker_answer(service, job, worker, attempts[worker.id], held.get(worker.id, ()))
            for worker in part.workers
        ],
        page=None if is_whole else query.page or 1,
        page_size=None if is_whole else query.page_size,
        total_workers=None if is_whole else len(detail.workers),
        planner=worker_answer(service, job, planner, attempts[planner.id]) if planner else None,
        reviewers=[
            worker_answer(service, job, worker, attempts[worker.id]) for worker in detail.reviewers
        ],
        estimate=answers.job.EstimateAnswer(**asdict(detail.estimate)) if detail.estimate else None,
        landed=landed_branches(job),
        child_job_ids=[child for worker in detail.workers for child in worker.child_job_ids],
        usage=usage_answer([worker.lower_bound_of_usage for worker in all_workers]),
        remaining=dict(detail.left),
        left=dict(detail.left),
        workspace=str(service.job_details.workspace(job)),
        final_report=str(service.job_details.final_report(job)),
        links=links(job.id),
    )


def _state_of(job: Job) -> dict[str, Any]:
    return {
        "status": job.status,
        "run": job.run,
        "reason": job.reason,
        "remarks": remarks_beside_workers(job),
        "submitted_by": job.submitted_by,
        "cancelled_by": job.cancelled_by,
        "stop_cause": job.stop_cause,
        **outcome_fields(job),
        "paused": paused_answer(job.pause),
        "lacks_promised_files": sorted(job.facts.half_done),
        "awaits_approval": job.awaits_approval,
        "plan_source": job.plan_source,
        "plan_fallback": plan_fallback_answer(job),
    }


def _page(detail: JobDetail, query: JobQuery) -> JobDetail:
    """Return the requested page of workers, with their tasks.

    If the query names no page, return all workers of a small job, or the first page of a large job.
    """
    if query.page is None and len(detail.workers) <= MOST_WORKERS_PER_ANSWER:
        return detail
    start = ((query.page or 1) - 1) * query.page_size
    workers = detail.workers[start : start + query.page_size]
    task_ids = {worker.task_id for worker in workers}
    tasks = [task for task in detail.tasks if task.id in task_ids]
    return replace(detail, tasks=tasks, workers=workers)


def _attempts(service: Service, caller: Caller, detail: JobDetail) -> Mapping[str, list[Attempt]]:
    worker_ids = {worker.id for worker in detail.workers}
    worker_ids |= {worker.id for worker in (detail.planner, *detail.reviewers) if worker}
    by_worker: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in service.job_details.attempts(caller, detail.job.id, worker_ids):
        by_worker[attempt.worker_id].append(attempt)
    return by_worker


def _tasks(detail: JobDetail) -> Iterator[answers.job.TaskAnswer]:
    for task, comparison in zip(
        detail.tasks, comparisons(detail.tasks, detail.workers, detail.reviewers), strict=True
    ):
        names = [row.worker_id for row in comparison.candidates]
        yield task_answer(task, names, comparison.chosen)


def worker_answer(
    service: Service,
    job: Job,
    worker: Worker,
    attempts: Sequence[Attempt],
    locks: Sequence[answers.job.HeldLock] = (),
) -> answers.job.WorkerAnswer:
    result = result_of(worker)
    leftovers = [
        answers.job.StrayAnswer(pid=each.pid, command=each.command) for each in result.strays
    ]
    ran = worker.result is not None
    # The attempts were read after the worker: omit an attempt that began between the two reads.
    begun_attempts = [each for each in attempts if each.number <= worker.attempt]
    return answers.job.WorkerAnswer(
        worker_id=worker.id,
        task_id=worker.task_id,
        index=worker.index,
        kind=worker.kind,
        depth=worker.depth,
        agent=worker.agent,
        status=worker.status,
        reason=worker.reason,
        waiting_for=_waiting_answer(worker),
        started_at=moment_or_none(worker.started_at),
        ended_at=moment_or_none(worker.ended_at),
        seconds=_seconds(worker, begun_attempts),
        work_seconds=result.work_seconds if ran else None,
        cpu_seconds=result.cpu_seconds if ran else None,
        peak_memory_bytes=result.peak_memory_bytes if ran else None,
        exit_code=result.exit_code,
        signal=result.signal,
        output=result.output,
        files_created=list(result.files_created),
        usage=usage_answer([result.usage]),
        log_truncated=result.log_truncated,
        locks=list(locks),
        refused_child_jobs=result.refused_child_jobs,
        gates=[answers.gates.gate_result_answer(each) for each in result.gates],
        leftover_processes=leftovers,
        strays=leftovers,
        attempts=[_attempt(each, worker.failure_of(each.number)) for each in begun_attempts],
        child_job_ids=list(worker.child_job_ids),
        commit=result.delivery.commit if result.delivery else "",
        messages=[_message(each) for each in result.messages],
        feedback=[_feedback(each) for each in result.feedback],
        question=question_answer(worker.question) if worker.question else None,
        workspace=service.job_details.worker_directory(worker),
        log=log_file(service, job, worker),
    )


def _seconds(worker: Worker, attempts: Sequence[Attempt]) -> float | None:
    if len(attempts) < 2:
        return seconds_between(worker.started_at, worker.ended_at)
    now = clock.now()
    times = ((attempt.started_at, attempt.ended_at or now) for attempt in attempts)
    return round(sum(max(0.0, end - start) for start, end in times), 6)


def _message(message: WorkerMessage) -> answers.messages_and_feedback.MessageAnswer:
    return answers.messages_and_feedback.MessageAnswer(
        id=message.id,
        at=moment(message.at),
        by=message.by,
        text=message.text,
        attempt=message.attempt or None,
        delivered_at=moment_or_none(message.delivered_at),
    )


def _feedback(feedback: Feedback) -> answers.messages_and_feedback.FeedbackAnswer:
    return answers.messages_and_feedback.FeedbackAnswer(
        at=moment(feedback.at),
        by=feedback.by,
        attempt=feedback.attempt,
        answered_by=feedback.answered_by or None,
        commit=feedback.commit,
        summary=feedback.summary,
        comments=[
            answers.messages_and_feedback.CommentAnswer(**asdict(each))
            for each in feedback.comments
        ],
    )


def _waiting_answer(worker: Worker) -> answers.job.WaitingAnswer | None:
    waiting = worker.waiting_for
    return answers.job.WaitingAnswer(kind=waiting.kind, name=waiting.name) if waiting else None


def _attempt(attempt: Attempt, failure: Failure | None) -> answers.job.AttemptAnswer:
    exit = attempt.exit
    return answers.job.AttemptAnswer(
        number=attempt.number,
        started_at=moment(attempt.started_at),
        ended_at=moment_or_none(attempt.ended_at),
        seconds=seconds_between(attempt.started_at, attempt.ended_at),
        reason=attempt.reason,
        ended_by=exit.ended_by if exit else None,
        exit_code=exit.code if exit else None,
        signal=exit.signal if exit else None,
        stopped_by=exit.stopped_by or None if exit else None,
        cpu_seconds=exit.cpu_seconds if exit else None,
        peak_memory_bytes=exit.peak_memory_bytes if exit else None,
        failure=_failure(failure) if failure else None,
        session=session_answer(attempt.session),
    )


def _failure(failure: Failure) -> answers.job.FailureAnswer:
    return answers.job.FailureAnswer(
        kind=failure.kind,
        cause=failure.cause,
        strategy=failure.strategy,
        reason=failure.reason,
        confidence=failure.confidence,
        checkpoint=failure.checkpoint,
        saved_as=failure.kept,
        kept=failure.kept,
    )


def tree_answer(tree: Tree) -> answers.job.TreeAnswer:
    jobs = {job.id: job for job in tree.jobs}
    workers = by_job(tree.workers)
    # Planners and reviewers count, too.
    used = usage_by_job(tree.jobs, (*tree.workers, *tree.advisers))

    def of_job(job: Job, depth: int) -> answers.job.TreeAnswer:
        own = workers.get(job.id, ()) if depth <= DEEPEST_NESTING else ()
        return _tree_job(job, [of_worker(worker, depth) for worker in own], used.get(job.id))

    def of_worker(worker: Worker, depth: int) -> answers.job.TreeWorker:
        children = [jobs[child] for child in worker.child_job_ids if child in jobs]
        return _tree_worker(worker, [of_job(child, depth + 1) for child in children])

    return of_job(tree.jobs[0], 0)


def _tree_job(
    job: Job, workers: list[answers.job.TreeWorker], used: Sequence[Usage] | None
) -> answers.job.TreeAnswer:
    return answers.job.TreeAnswer.model_construct(
        job_id=job.id,
        status=job.status,
        reason=job.reason,
        depth=job.depth,
        request=job.request[:SUMMARY_CHARACTERS],
        created_at=moment(job.created_at),
        ended_at=moment_or_none(job.ended_at),
        seconds=seconds_between(job.started_at, job.ended_at),
        usage=usage_answer(used) if used else None,
        caps=caps_of(job.config) or None,
        workers=workers,
    )


def _tree_worker(
    worker: Worker, child_jobs: list[answers.job.TreeAnswer]
) -> answers.job.TreeWorker:
    used = result_of(worker).usage
    return answers.job.TreeWorker.model_construct(
        worker_id=worker.id,
        task_id=worker.task_id,
        agent=worker.agent,
        status=worker.status,
        reason=worker.reason,
        waiting_for=_waiting_answer(worker),
        seconds=worker_seconds(worker),
        usage=usage_answer([used]) if is_known(used) else None,
        child_jobs=child_jobs,
    )
