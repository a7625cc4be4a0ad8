"""Calls that show the workers of a job."""

from flask import Blueprint, Response

from orchestrator.api.access.auth import authenticate, caller, service
from orchestrator.api.http import request
from orchestrator.api.http.path_ids import checked_job_id, checked_worker_id
from orchestrator.api.routes.response import tagged_answer, tagged_bytes
from orchestrator.api.serializers.columns import columns_answer
from orchestrator.api.serializers.workers import one_worker_answer, workers_answer
from orchestrator.core.ports.listings import WorkerFilter
from orchestrator.engine.runtime import clock
from orchestrator.schemas.answers.workers import WorkersAnswer
from orchestrator.schemas.requests.queries import NoQuery, WorkersQuery

blueprint = Blueprint("workers", __name__, url_prefix="/api/v1/jobs/<job_id>")
blueprint.before_request(authenticate)


@blueprint.get("/workers")
def list_workers(job_id: str) -> Response:
    query = request.query(WorkersQuery)
    wanted = WorkerFilter(
        job_id=checked_job_id(job_id),
        statuses=query.status,
        agents=query.agent,
        text=query.q,
        order=query.order,
    )
    who = caller()

    def answer() -> WorkersAnswer:
        found = service().reads.workers(who, wanted, page=query.page, page_size=query.page_size)
        return workers_answer(found, query.page, query.page_size, clock.now())

    return tagged_answer(answer)


@blueprint.get("/workers/<worker_id>")
def get_worker(job_id: str, worker_id: str) -> Response:
    request.query(NoQuery)
    asked, name, who = checked_job_id(job_id), checked_worker_id(worker_id), caller()
    return tagged_answer(
        lambda: one_worker_answer(service(), service().reads.worker(who, asked, name))
    )


@blueprint.get("/columns")
def get_columns(job_id: str) -> Response:
    request.query(NoQuery)
    asked, who = checked_job_id(job_id), caller()
    return tagged_bytes(lambda: columns_answer(service().reads.snapshot(who, asked)))
