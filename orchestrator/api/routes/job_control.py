"""Calls that retry, pause, stop, and remove jobs, and that change their limits."""

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.request import checked_job_id
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.routes.submission import accepted_response
from orchestrator.api.serializers.answer_parts import (
    cancel_answer,
    decided_answer,
    job_path,
    links,
    paused_answer,
)
from orchestrator.core.model.human_input.pause import RunningMode
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Accepted
from orchestrator.schemas import answers, requests
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("job_control", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)


@blueprint.post("/jobs/<job_id>/retry")
def retry_job(job_id: str) -> Response:
    reading.query(NoQuery)
    request = reading.body(requests.job.RetryRequest, optional=True)
    job = service().job_retry.retry(caller(), checked_job_id(job_id), request.config.to_config())
    left = service().job_details.detail(caller(), job.id, with_tasks=False).left
    return accepted_response(Accepted(job=job, left=left))


@blueprint.post("/jobs/<job_id>/pause")
def pause_job(job_id: str) -> Response:
    return job_accepted(
        service().job_control.pause(caller(), checked_job_id(job_id), _requested_mode())
    )


@blueprint.post("/jobs/<job_id>/resume")
def resume_job(job_id: str) -> Response:
    _check_is_empty()
    return job_accepted(service().job_control.resume(caller(), checked_job_id(job_id)))


@blueprint.post("/pause")
def pause_everything() -> Response:
    paused = service().job_control.pause_all(caller(), _requested_mode())
    return json_answer(answers.job_control.ServerPauseAnswer(paused=paused_answer(paused)))


@blueprint.post("/resume")
def resume_everything() -> Response:
    _check_is_empty()
    service().job_control.resume_all(caller())
    return json_answer(answers.job_control.ServerPauseAnswer(paused=None))


@blueprint.post("/jobs/<job_id>/budget")
def raise_budget(job_id: str) -> Response:
    reading.query(NoQuery)
    limits = reading.body(requests.job_control.BudgetRequest).to_limits()
    return job_accepted(service().budgets.raise_budget(caller(), checked_job_id(job_id), limits))


@blueprint.post("/jobs/<job_id>/cancel")
def cancel_job(job_id: str) -> Response:
    return _cancel(job_id)


@blueprint.delete("/jobs/<job_id>")
def delete_job(job_id: str) -> Response:
    return _cancel(job_id)


@blueprint.post("/jobs/<job_id>/remove")
def remove_job(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    remaining_refs = service().removal.remove(caller(), checked_job_id(job_id))
    return json_answer(answers.job_control.RemovedAnswer(job_id=job_id, kept=list(remaining_refs)))


@blueprint.post("/jobs/<job_id>/discard")
def discard_job(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    removed = service().removal.discard(caller(), checked_job_id(job_id))
    return json_answer(
        answers.job_control.DiscardedAnswer(
            job_id=job_id, removed=list(removed), links=links(job_id)
        )
    )


def _requested_mode() -> RunningMode:
    reading.query(NoQuery)
    return RunningMode(reading.body(requests.job_control.PauseRequest, optional=True).running)


def _check_is_empty() -> None:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)


def job_accepted(job: Job) -> Response:
    """Return an answer 202 with the job's new status, after a person's call such as pause."""
    return json_answer(decided_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job.id)}/status")


def _cancel(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    previous = service().access.job(caller(), checked_job_id(job_id))
    job = service().job_control.cancel(caller(), job_id)
    if previous.status.ended:
        return json_answer(cancel_answer(previous))
    return json_answer(cancel_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job_id)}/status")
