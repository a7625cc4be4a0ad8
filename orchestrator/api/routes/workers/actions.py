"""Calls of a person about one worker: comments on its change, messages, retry, cancel."""

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request as reading
from orchestrator.api.http.request import checked_job_id, checked_worker_id
from orchestrator.api.routes.response import json_answer
from orchestrator.api.serializers.answer_parts import (
    accepted_answer,
    cancel_answer,
    job_path,
    links,
    message_id_of,
)
from orchestrator.core.model.submission import Accepted
from orchestrator.schemas.answers.human_input import FeedbackGivenAnswer, MessageSentAnswer
from orchestrator.schemas.requests.human_input import FeedbackBody, MessageBody
from orchestrator.schemas.requests.job import EmptyRequest
from orchestrator.schemas.requests.queries import NoQuery

blueprint = Blueprint(
    "worker_actions", __name__, url_prefix="/api/v1/jobs/<job_id>/workers/<worker_id>"
)
blueprint.before_request(authenticate)


@blueprint.post("/feedback")
def give_feedback(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    # A caller that may not see the job gets no information about its calls either.
    service().job(caller(), job)
    asked = reading.text_body(FeedbackBody).to_request(reading.idempotency_key())
    given = service().give_feedback(caller(), job, worker, asked)
    answer = FeedbackGivenAnswer(
        job_id=given.job_id,
        worker_id=given.worker_id,
        attempt=given.attempt,
        run=given.run,
        landed=list(given.landed),
        duplicate=given.duplicate,
        links=links(given.job_id),
    )
    return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(given.job_id)}/status")


@blueprint.post("/retry")
def retry_worker(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)
    job = service().retry_worker(caller(), checked_job_id(job_id), checked_worker_id(worker_id))
    left = service().detail(caller(), job.id, with_tasks=False).left
    answer = accepted_answer(Accepted(job=job, left=left))
    return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(job.id)}/status")


@blueprint.post("/cancel")
def cancel_worker(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)
    job = service().cancel_worker(caller(), checked_job_id(job_id), checked_worker_id(worker_id))
    return json_answer(cancel_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job.id)}/status")


@blueprint.post("/message")
def message_worker(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    # A caller that may not see the job gets no information about its calls either.
    service().job(caller(), job)
    text = reading.text_body(MessageBody).text
    named = message_id_of(caller(), job, worker, reading.idempotency_key())
    sent = service().message(caller(), job, worker, text, named)
    answer = MessageSentAnswer(
        job_id=job, worker_id=worker, message_id=sent.id, delivery="next_step", links=links(job)
    )
    return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(job)}/status")
