"""Calls that show the workers of a job."""

from __future__ import annotations

from flask import Blueprint, Response, current_app

from orchestrator.api.access.authentication import caller, check_request, service
from orchestrator.api.http_messages import request
from orchestrator.api.http_messages.headers import PLAIN_TEXT
from orchestrator.api.http_messages.log_response import text_file
from orchestrator.api.http_messages.request import checked_job_id, checked_worker_id
from orchestrator.api.routes.json_answers import tagged_answer, tagged_bytes
from orchestrator.api.serializers.worker_columns import LatestColumns, columns_answer
from orchestrator.api.serializers.workers import one_worker_answer, workers_answer
from orchestrator.core.ports.read_models import WorkerFilter
from orchestrator.engine.runtime import clock
from orchestrator.schemas import answers
from orchestrator.schemas.requests.query_parameters import NoQuery, WorkersQuery

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1/jobs/<job_id>")
blueprint.before_request(check_request)


@blueprint.get("/workers")
def list_workers(job_id: str) -> Response:
    query = request.query(WorkersQuery)
    worker_filter = WorkerFilter(
        job_id=checked_job_id(job_id),
        statuses=query.status,
        agents=query.agent,
        text=query.q,
        order=query.order,
    )
    this_caller = caller()

    def answer() -> answers.workers.WorkersAnswer:
        page = service().job_lists.workers(
            this_caller, worker_filter, page=query.page, page_size=query.page_size
        )
        return workers_answer(page, query.page, query.page_size, clock.now())

    return tagged_answer(answer)


@blueprint.get("/workers/<worker_id>")
def get_worker(job_id: str, worker_id: str) -> Response:
    request.query(NoQuery)
    checked_id, name, this_caller = checked_job_id(job_id), checked_worker_id(worker_id), caller()
    return tagged_answer(
        lambda: one_worker_answer(
            service(), service().job_details.worker(this_caller, checked_id, name)
        )
    )


@blueprint.get("/workers/<worker_id>/prompt")
def get_prompt(job_id: str, worker_id: str) -> Response:
    request.query(NoQuery)
    checked_id, name, this_caller = checked_job_id(job_id), checked_worker_id(worker_id), caller()
    path = service().job_lists.files.prompt_path(this_caller, checked_id, name)
    within = service().job_details.workspace(service().access.job(this_caller, checked_id)).parent
    return text_file(path, PLAIN_TEXT, within=within)


@blueprint.get("/workers/<worker_id>/transcript")
def get_transcript(job_id: str, worker_id: str) -> Response:
    request.query(NoQuery)
    checked_id, name, this_caller = checked_job_id(job_id), checked_worker_id(worker_id), caller()

    def answer() -> answers.workers.TranscriptAnswer:
        steps = service().job_lists.files.transcript(this_caller, checked_id, name)
        return answers.workers.TranscriptAnswer(
            steps=[
                answers.workers.StepAnswer(kind=step.kind, text=step.text, tool=step.tool or None)
                for step in steps
            ]
        )

    return tagged_answer(answer)


@blueprint.get("/columns")
def get_columns(job_id: str) -> Response:
    request.query(NoQuery)
    checked_id, this_caller = checked_job_id(job_id), caller()
    columns: LatestColumns = current_app.extensions["orchestrator.columns"]
    version = service().job_lists.version(service().access.job(this_caller, checked_id))
    return tagged_bytes(
        lambda: columns.of(
            checked_id,
            version,
            lambda: columns_answer(service().job_lists.snapshot(this_caller, checked_id)),
        )
    )
