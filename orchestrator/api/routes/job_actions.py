"""Calls that change something: submit, approve, cancel, retry, report usage."""

from collections.abc import Callable
from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request as reading
from orchestrator.api.http.request import checked_job_id
from orchestrator.api.routes.response import json_answer
from orchestrator.api.serializers.common import (
    accepted_answer,
    cancel_answer,
    decided_answer,
    job_path,
    links,
)
from orchestrator.core.model.job import Job
from orchestrator.core.model.submission import Accepted, Caller
from orchestrator.schemas.answers.common import UsedAnswer
from orchestrator.schemas.answers.human_input import MessagesReadAnswer
from orchestrator.schemas.answers.job import DiscardedAnswer, RemovedAnswer
from orchestrator.schemas.requests.human_input import AnswerRequest, MessagesReadBody
from orchestrator.schemas.requests.job import (
    EmptyRequest,
    OrchestrateRequest,
    RetryRequest,
    UsageRequest,
)
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint("job_actions", __name__, url_prefix="/api/v1")
blueprint.before_request(authenticate)


@blueprint.post("/orchestrate")
def orchestrate() -> Response:
    reading.query(NoQuery)
    request = reading.body(OrchestrateRequest)
    submission = request.to_submission(reading.idempotency_key())
    return _accepted(service().submit(caller(), submission))


@blueprint.post("/usage")
def tell_usage() -> Response:
    reading.query(NoQuery)
    usage = reading.body(UsageRequest).to_usage()
    used = service().used(caller(), usage)
    return json_answer(UsedAnswer(stop=used.stop, waiting=used.waiting, capped=used.capped))


@blueprint.post("/messages")
def tell_messages_read() -> Response:
    reading.query(NoQuery)
    ids = reading.body(MessagesReadBody).delivered
    service().messages_read(caller(), ids)
    return json_answer(MessagesReadAnswer(delivered=len(ids)))


@blueprint.post("/jobs/<job_id>/retry")
def retry_job(job_id: str) -> Response:
    reading.query(NoQuery)
    request = reading.body(RetryRequest, optional=True)
    job = service().retry(caller(), checked_job_id(job_id), request.config.to_config())
    left = service().detail(caller(), job.id, with_tasks=False).left
    return _accepted(Accepted(job=job, left=left))


@blueprint.post("/jobs/<job_id>/approve")
def approve_job(job_id: str) -> Response:
    return _decided(job_id, service().approve)


@blueprint.post("/jobs/<job_id>/reject")
def reject_job(job_id: str) -> Response:
    return _decided(job_id, service().reject)


def _decided(job_id: str, decide: Callable[[Caller, str, str], Job]) -> Response:
    reading.query(NoQuery)
    comment = reading.body(AnswerRequest, optional=True).comment
    job = decide(caller(), checked_job_id(job_id), comment)
    return json_answer(decided_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job_id)}/status")


@blueprint.post("/jobs/<job_id>/cancel")
def cancel_job(job_id: str) -> Response:
    return _cancelled(job_id)


@blueprint.delete("/jobs/<job_id>")
def delete_job(job_id: str) -> Response:
    return _cancelled(job_id)


@blueprint.post("/jobs/<job_id>/remove")
def remove_job(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)
    kept = service().remove(caller(), checked_job_id(job_id))
    return json_answer(RemovedAnswer(job_id=job_id, kept=list(kept)))


@blueprint.post("/jobs/<job_id>/discard")
def discard_job(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)
    removed = service().discard(caller(), checked_job_id(job_id))
    return json_answer(DiscardedAnswer(job_id=job_id, removed=list(removed), links=links(job_id)))


def _cancelled(job_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)
    before = service().job(caller(), checked_job_id(job_id))
    job = service().cancel(caller(), job_id)
    if before.status.ended:
        return json_answer(cancel_answer(before))
    return json_answer(cancel_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job_id)}/status")


def _accepted(accepted: Accepted) -> Response:
    location = f"{job_path(accepted.job.id)}/status"
    return json_answer(accepted_answer(accepted), HTTPStatus.ACCEPTED, location)
