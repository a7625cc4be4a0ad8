"""Parts of answers about jobs and workers: times, links, usage, settings, tasks, decisions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from operator import attrgetter
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4, uuid5

from orchestrator.core.model.attempt.attempt_result import Usage
from orchestrator.core.model.attempt.usage_sums import usage_fields
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.pause import Pause
from orchestrator.core.model.human_input.question import Decision, Question
from orchestrator.core.model.job import Job, TaskSpec, Worker
from orchestrator.core.model.job_settings import SETTINGS, JobConfig
from orchestrator.core.model.submission import Accepted
from orchestrator.core.model.worker_result import WorkerResult
from orchestrator.core.ports.read_models import CompletedDependency
from orchestrator.schemas import answers
from orchestrator.schemas.answers.answer import Links

if TYPE_CHECKING:  # commands without a server import this module, and must start fast
    from orchestrator.engine.service.service import Service

SUMMARY_CHARACTERS = 300
#: Maximum nesting of child_results and child_jobs. Deeper lists are empty, because JSON parsers
#: limit the nesting.
DEEPEST_NESTING = 50
_NO_RESULT = WorkerResult()
_FIELDS = {each.wire: each.name for each in SETTINGS}


@cache
def _config_fields() -> Mapping[str, str]:
    fields = answers.job.ConfigAnswer.model_fields
    return {answer: _FIELDS.get(answer, answer) for answer in fields}


def moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def plan_fallback_answer(job: Job) -> answers.status.PlanFallbackAnswer | None:
    fallback = job.facts.plan_fallback
    return (
        answers.status.PlanFallbackAnswer(agent=fallback.agent, reason=fallback.reason)
        if fallback
        else None
    )


def moment_or_none(seconds: float | None) -> datetime | None:
    return None if seconds is None else moment(seconds)


def seconds_between(started_at: float | None, ended_at: float | None) -> float | None:
    """Return the seconds between two times; None if one of them is None."""
    if started_at is None or ended_at is None:
        return None
    return round(max(0.0, ended_at - started_at), 6)


def worker_seconds(worker: Worker) -> float | None:
    """Return how long an ended worker ran, in seconds, without the time between its attempts.

    None if the worker has not ended, or if it never started.
    """
    if worker.attempt > 1 and worker.result is not None and worker.ended_at is not None:
        return round(worker.result.work_seconds, 6)
    return seconds_between(worker.started_at, worker.ended_at)


def result_of(worker: Worker) -> WorkerResult:
    return worker.result or _NO_RESULT


#: Namespace of the UUIDs that are derived from Idempotency-Keys.
_KEY_NAMESPACE = UUID("0f7a3a5e-2c2b-5b0e-9f0a-6d0c7c1f9b11")


def message_id_of(caller: Caller, job_id: str, worker_id: str, key: str | None) -> str:
    """Return the id of a message to a worker.

    ``key``: the Idempotency-Key. Calls with the same key get the same id; None: a new id.
    """
    return str(
        uuid5(_KEY_NAMESPACE, f"{caller.full_name} {job_id} {worker_id} {key}") if key else uuid4()
    )


def job_path(job_id: str) -> str:
    return f"/api/v1/jobs/{job_id}"


def links(job_id: str) -> Links:
    path = job_path(job_id)
    names = ("status", "results", "tree", "events", "wait", "cancel", "retry")
    return {"self": path, **{name: f"{path}/{name}" for name in names}}


def log_file(service: Service, job: Job, worker: Worker) -> str | None:
    """Return the path of a worker's log in the workspace.

    None if the worker has not run and never will.
    """
    if not worker.attempt and (worker.status.ended or worker.is_question):
        return None
    return f"{service.job_details.workspace(job)}/logs/depth_{worker.depth}_{worker.id}.log"


_status_of = attrgetter("status")


def counts(workers: Iterable[Worker]) -> dict[str, int]:
    # Each poll of a large job counts all workers. ``map`` is three times as fast as a generator.
    return dict(Counter(map(str, map(_status_of, workers))))


def accepted_answer(accepted: Accepted) -> answers.submission.AcceptedAnswer:
    return answers.submission.AcceptedAnswer(
        job_id=accepted.job.id,
        status=accepted.job.status,
        links=links(accepted.job.id),
        duplicate=accepted.duplicate,
        remaining=dict(accepted.left),
        left=dict(accepted.left),
        caller_remaining=dict(accepted.caller_left),
        caller_left=dict(accepted.caller_left),
        git_note=accepted.job.config.git_note or None,
        limits_notice=accepted.limits_notice or None,
    )


def cancel_answer(job: Job) -> answers.job_control.CancelAnswer:
    return answers.job_control.CancelAnswer(
        job_id=job.id, status=job.status, reason=job.reason, links=links(job.id)
    )


def decided_answer(job: Job) -> answers.job_control.DecidedAnswer:
    return answers.job_control.DecidedAnswer(
        job_id=job.id,
        status=job.status,
        reason=job.reason,
        paused=paused_answer(job.pause),
        links=links(job.id),
    )


def paused_answer(pause: Pause | None) -> answers.status.PausedAnswer | None:
    if pause is None:
        return None
    return answers.status.PausedAnswer(
        at=moment(pause.at),
        by=pause.by,
        running=pause.running,
        cause=pause.cause,
        job_id=pause.job_id or None,
        limit=pause.limit or None,
        until=moment_or_none(pause.until),
    )


def question_answer(
    question: Question, text: str = "", made: Sequence[CompletedDependency] = ()
) -> answers.status.QuestionAnswer:
    return answers.status.QuestionAnswer(
        question=text,
        asked_at=moment(question.asked_at),
        due_at=moment_or_none(question.due_at),
        decision=question.decision,
        by=question.by,
        comment=question.comment,
        answered_at=moment_or_none(question.answered_at),
        made=[_dependency_answer(each) for each in made],
    )


def _dependency_answer(dependency: CompletedDependency) -> answers.status.MadeAnswer:
    worker, result = dependency.worker, result_of(dependency.worker)
    return answers.status.MadeAnswer(
        task_id=dependency.task_id,
        worker_id=worker.id,
        status=worker.status,
        output=result.output,
        files_created=list(result.files_created),
        commit=result.delivery.commit if result.delivery else "",
    )


def job_summary(job: Job) -> answers.job_list.JobSummary:
    return answers.job_list.JobSummary(
        run=job.run,
        job_id=job.id,
        status=job.status,
        reason=job.reason,
        request=job.request[:SUMMARY_CHARACTERS],
        depth=job.depth,
        root_job_id=job.root_id,
        parent_job_id=job.parent_job_id,
        parent_worker_id=job.parent_worker_id,
        created_at=moment(job.created_at),
        started_at=moment_or_none(job.started_at),
        ended_at=moment_or_none(job.ended_at),
        seconds=seconds_between(job.started_at, job.ended_at),
        paused=paused_answer(job.pause),
        labels=dict(job.config.labels),
        links=links(job.id),
    )


def task_answer(
    task: TaskSpec, candidates: Sequence[str] = (), chosen: str | None = None
) -> answers.job.TaskAnswer:
    return answers.job.TaskAnswer(
        id=task.id,
        title=task.title,
        prompt=task.prompt,
        command=list(task.command) if isinstance(task.command, tuple) else task.command,
        approve=task.approve or None,
        on_timeout=Decision(task.on_timeout) if task.on_timeout else None,
        agents=list(task.agents),
        candidate_settings=[
            answers.job.CandidateSettingsAnswer(name=name, **asdict(settings))
            for name, settings in zip(task.agents, task.candidate_settings, strict=False)
        ],
        depends_on=list(task.depends_on),
        timeout=task.timeout,
        retries=task.retries,
        role=task.role,
        model=task.model,
        files=list(task.files),
        writes=list(task.writes),
        locks=list(task.locks),
        context=task.context,
        # Show only the names, because a value may be a secret.
        env=sorted(task.env),
        max_steps=task.max_steps,
        max_tokens=task.max_tokens,
        max_cost_usd=task.max_cost_usd,
        git=task.git,
        workdir=task.workdir,
        requires=dict(task.requires),
        node=task.node,
        gates=[answers.gates.gate_answer(gate) for gate in task.gates],
        review=task.review,
        candidates=list(candidates),
        chosen=chosen,
    )


def config_answer(config: JobConfig) -> answers.job.ConfigAnswer:
    values: dict[str, Any] = {
        answer: getattr(config, name) for answer, name in _config_fields().items()
    }
    return answers.job.ConfigAnswer(
        **{**values, "gates": [answers.gates.job_gate_answer(gate) for gate in config.gates]}
    )


def usage_answer(usages: Sequence[Usage]) -> answers.job.UsageAnswer:
    """Return the sum of known usage. A value that is unknown for all workers is omitted."""
    return answers.job.UsageAnswer(**usage_fields(usages))
