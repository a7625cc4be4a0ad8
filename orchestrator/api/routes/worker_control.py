"""Calls about one worker.

With these calls, people comment on the worker's change, send messages to the worker, retry or
cancel it, or roll it back to a checkpoint. A running worker reports its usage with its own key.
"""

from http import HTTPStatus

from flask import Blueprint, Response

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.request import checked_job_id, checked_worker_id
from orchestrator.api.routes.json_answers import json_answer
from orchestrator.api.serializers.answer_parts import (
    accepted_answer,
    cancel_answer,
    job_path,
    links,
    message_id_of,
)
from orchestrator.api.serializers.checkpoints import (
    checkpoints_answer,
    recounted_answer,
    rolled_back_answer,
)
from orchestrator.core.model.submission import Accepted
from orchestrator.schemas import answers, requests
from orchestrator.schemas.requests.query_parameters import NoQuery

blueprint = Blueprint("worker_control", __name__, url_prefix="/api/v1")
blueprint.before_request(check_request)

_WORKER = "/jobs/<job_id>/workers/<worker_id>"


@blueprint.post(f"{_WORKER}/feedback")
def give_feedback(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    # Check the access before the body: a caller that may not see the job gets a 404, and no errors
    # about the body.
    service().access.job(caller(), job)
    feedback_request = reading.text_body(requests.messages_and_feedback.FeedbackBody).to_request(
        reading.idempotency_key()
    )
    feedback = service().feedback.give(caller(), job, worker, feedback_request)
    answer = answers.messages_and_feedback.FeedbackGivenAnswer(
        job_id=feedback.job_id,
        worker_id=feedback.worker_id,
        attempt=feedback.attempt,
        run=feedback.run,
        landed=list(feedback.landed),
        duplicate=feedback.duplicate,
        links=links(feedback.job_id),
    )
    return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(feedback.job_id)}/status")


@blueprint.post(f"{_WORKER}/retry")
def retry_worker(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    job = service().workers.retry(caller(), checked_job_id(job_id), checked_worker_id(worker_id))
    left = service().job_details.detail(caller(), job.id, with_tasks=False).left
    answer = accepted_answer(Accepted(job=job, left=left))
    return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(job.id)}/status")


@blueprint.post(f"{_WORKER}/cancel")
def cancel_worker(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    reading.body(requests.job.EmptyRequest, optional=True)
    job = service().workers.cancel(caller(), checked_job_id(job_id), checked_worker_id(worker_id))
    return json_answer(cancel_answer(job), HTTPStatus.ACCEPTED, f"{job_path(job.id)}/status")


@blueprint.post(f"{_WORKER}/message")
def message_worker(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    # Check the access before the body: a caller that may not see the job gets a 404, and no errors
    # about the body.
    service().access.job(caller(), job)
    text = reading.text_body(requests.messages_and_feedback.MessageBody).text
    message_id = message_id_of(caller(), job, worker, reading.idempotency_key())
    message = service().worker_messages.message(caller(), job, worker, text, message_id)
    answer = answers.messages_and_feedback.MessageSentAnswer(
        job_id=job, worker_id=worker, message_id=message.id, delivery="next_step", links=links(job)
    )
    return json_answer(answer, HTTPStatus.ACCEPTED, f"{job_path(job)}/status")


@blueprint.get("/jobs/<job_id>/checkpoints")
def get_checkpoints(job_id: str) -> Response:
    reading.query(NoQuery)
    return json_answer(checkpoints_answer(service(), caller(), checked_job_id(job_id)))


@blueprint.post(f"{_WORKER}/rollback")
def roll_back(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    name = reading.body(requests.worker_control.RollbackRequest, optional=True).checkpoint
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    return json_answer(rolled_back_answer(service(), caller(), job, worker, name))


@blueprint.post(f"{_WORKER}/recount")
def recount(job_id: str, worker_id: str) -> Response:
    reading.query(NoQuery)
    job, worker = checked_job_id(job_id), checked_worker_id(worker_id)
    return json_answer(recounted_answer(service(), caller(), job, worker))


@blueprint.post("/usage")
def report_usage() -> Response:
    reading.query(NoQuery)
    usage = reading.body(requests.worker_control.UsageRequest).to_usage()
    used = service().reports_from_workers.record_usage(caller(), usage)
    return json_answer(
        answers.status.UsedAnswer(stop=used.stop, waiting=used.waiting, capped=used.capped)
    )


@blueprint.post("/messages")
def report_messages_read() -> Response:
    reading.query(NoQuery)
    ids = reading.body(requests.messages_and_feedback.MessagesReadBody).delivered
    service().reports_from_workers.record_read_messages(caller(), ids)
    return json_answer(answers.messages_and_feedback.MessagesReadAnswer(delivered=len(ids)))
