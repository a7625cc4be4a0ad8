"""Pages of workers, and single workers, as answers."""

from __future__ import annotations

from orchestrator.api.serializers.answer_parts import job_path, moment_or_none, seconds_between
from orchestrator.api.serializers.job import held_locks, worker_answer
from orchestrator.core.model.states import WorkerStatus
from orchestrator.core.ports.read_models import (
    JobDetail,
    TaskLabel,
    WorkerDetail,
    WorkerPage,
    WorkerRow,
)
from orchestrator.core.text.formatting import cut
from orchestrator.engine.service.service import Service
from orchestrator.schemas import answers

REASON_CHARACTERS = 200
_NO_LABEL = TaskLabel()


def workers_answer(
    worker_page: WorkerPage, page: int, page_size: int, now: float
) -> answers.workers.WorkersAnswer:
    labels = worker_page.labels
    return answers.workers.WorkersAnswer(
        workers=[
            _row(each, labels.get(each.task_id, _NO_LABEL), now) for each in worker_page.workers
        ],
        total=worker_page.total,
        page=page,
        page_size=page_size,
        seq=worker_page.last_seq,
    )


def _seconds(worker: WorkerRow, now: float) -> float | None:
    if worker.status == WorkerStatus.PENDING and worker.attempt:
        return None  # the worker waits for its next attempt
    elapsed = seconds_between(worker.started_at, worker.ended_at or now)
    return None if elapsed is None else round(max(0.0, elapsed - worker.idle_seconds), 6)


def _row(worker: WorkerRow, label: TaskLabel, now: float) -> answers.workers.WorkerRowAnswer:
    return answers.workers.WorkerRowAnswer.model_construct(
        worker_id=worker.id,
        job_id=worker.job_id,
        task_id=worker.task_id,
        title=label.title,
        agent=worker.agent,
        model=label.model,
        role=label.role,
        status=WorkerStatus(worker.status),
        reason=cut(worker.reason, REASON_CHARACTERS),
        attempt=worker.attempt,
        started_at=moment_or_none(worker.started_at),
        ended_at=moment_or_none(worker.ended_at),
        seconds=_seconds(worker, now),
        usage=answers.workers.WorkerUsage(
            steps=worker.steps, tokens=worker.tokens, cost_usd=worker.cost_usd
        ),
        gates=answers.workers.GateCountsAnswer(
            passed=worker.gates_passed,
            failed=worker.gates_failed,
            did_not_run=worker.gates_not_run,
        ),
        files=worker.files,
        child_job_ids=list(worker.child_job_ids),
        chosen=worker.chosen,
    )


def one_worker_answer(service: Service, details: WorkerDetail) -> answers.workers.OneWorkerAnswer:
    worker = details.worker
    path = job_path(worker.job_id)
    tasks = [details.task] if details.task else []
    held = held_locks(service, JobDetail(job=details.job, tasks=tasks, workers=[worker]))
    answer = worker_answer(service, details.job, worker, details.attempts, held.get(worker.id, ()))
    return answers.workers.OneWorkerAnswer(
        **dict(answer),
        job_id=worker.job_id,
        title=details.task.heading if details.task else worker.kind,
        prompt_url=f"{path}/workers/{worker.id}/prompt",
        log_url=f"{path}/logs/{worker.id}",
        can=[str(each) for each in details.can],
    )
