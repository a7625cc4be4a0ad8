"""The calls of ``/api/v1/tasks``."""

from http import HTTPStatus

from flask import Response, request
from pydantic import BaseModel

from orchestrator.api.access.authentication import caller, service
from orchestrator.api.http_messages import request as reading
from orchestrator.api.http_messages.headers import EVENT_STREAM, JSON, NO_STORE
from orchestrator.api.http_messages.problems import invalid
from orchestrator.api.routes.streams import STREAM_HEADERS, long_answers
from orchestrator.api.tasks_api import answers
from orchestrator.api.tasks_api.progress_stream import TaskProgress
from orchestrator.api.tasks_api.submission import (
    LABEL,
    is_task,
    job_id_of,
    submission_of,
    task_uuid,
)
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.model.job import Job
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.core.repository.repository import MergeChoice
from orchestrator.schemas.fields.validation_errors import Fault
from orchestrator.schemas.requests.job import EmptyRequest
from orchestrator.schemas.requests.query_parameters import NoQuery
from orchestrator.schemas.requests_with_answers.tasks_api import (
    CliQuery,
    TaskBody,
    TaskCancelled,
    TaskMergeBody,
    TaskMergeQuery,
    Tasks,
    TasksQuery,
    TaskStats,
    TaskStatus,
)


def create_task() -> Response:
    reading.query(NoQuery)
    body = reading.body(TaskBody)
    submission = submission_of(body, service().server_status.agents(), reading.idempotency_key())
    return _task(service().submissions.submit(caller(), submission).job, HTTPStatus.CREATED)


def list_tasks() -> Response:
    query = reading.query(TasksQuery)
    statuses = [job for job, task in answers.STATUS_OF.items() if task is query.status]
    page = service().job_lists.jobs(
        caller(),
        JobFilter(statuses=statuses, depth=0, labels=[LABEL]),
        page=query.page,
        page_size=query.page_size,
    )
    details = [
        service().job_details.detail(caller(), each.id, with_tasks=False) for each in page.jobs
    ]
    return _answer(
        Tasks(
            tasks=[answers.task_answer(each.job, each.workers) for each in details],
            total=page.total,
            page=query.page,
            page_size=query.page_size,
        )
    )


def get_task_stats() -> Response:
    reading.query(NoQuery)
    running = [job for job, task in answers.STATUS_OF.items() if task is TaskStatus.RUNNING]
    job_filter = JobFilter(statuses=running, depth=0, labels=[LABEL])
    page = service().job_lists.jobs(caller(), job_filter, page=1, page_size=1)
    stats = answers.executor_stats(service(), caller())
    return _answer(TaskStats(running_tasks=page.total, executor_stats=stats))


def get_task(task: str) -> Response:
    reading.query(NoQuery)
    return _task(_job(task))


def cancel_task(task: str) -> Response:
    reading.query(NoQuery)
    reading.body(EmptyRequest, optional=True)
    job = _job(task)
    task_id = task_uuid(job.id)
    if job.status.ended:
        raise Conflict(
            f"cannot cancel task {task_id}: it is already {answers.STATUS_OF[job.status]}"
        )
    service().job_control.cancel(caller(), job.id)
    return _answer(TaskCancelled(message=f"Task {task_id} cancelled successfully", task_id=task_id))


def stream_progress(task: str) -> Response:
    reading.query(NoQuery)
    after, job = reading.last_event_id(0), _job(task)
    if request.method == "HEAD":
        return Response(content_type=EVENT_STREAM, headers=STREAM_HEADERS)
    shared = long_answers()
    shared.socket_loop.check_room()
    stream = TaskProgress(shared.socket_loop, service(), caller(), job, after=after)
    return shared.response(stream, EVENT_STREAM)


def get_task_conflicts(task: str) -> Response:
    query = reading.query(CliQuery)
    job = _job(task)
    workers = service().job_details.detail(caller(), job.id, with_tasks=False).workers
    name, worker = answers.merged_cli(job, workers, query.cli_name)
    return _answer(answers.conflicts_answer(service(), caller(), job, name, worker))


def merge_task(task: str) -> Response:
    query = reading.query(TaskMergeQuery)
    body = reading.body(TaskMergeBody, optional=True)
    job = _job(task)
    if body.task_id is not None and body.task_id not in (job.id, task_uuid(job.id)):
        detail = f"must be the id in the path: {task_uuid(job.id)}"
        raise invalid([Fault(location=("task_id",), detail=detail, type="task_id")])
    workers = service().job_details.detail(caller(), job.id, with_tasks=False).workers
    name, worker = answers.merged_cli(job, workers, query.cli_name or body.cli_name)
    if worker.chosen is False:
        reason = "merge of /api/v1/tasks"
        service().merges.choose(caller(), job.id, worker.task_id, worker.id, reason)
    strategy = query.strategy or body.strategy or job.config.merge_strategy
    done = service().merges.merge(caller(), job.id, MergeChoice(strategy=strategy))
    merged = answers.merged_answer(service(), caller(), job, name, worker, done=done)
    return _answer(merged, HTTPStatus.OK if done else HTTPStatus.ACCEPTED)


def _job(task: str) -> Job:
    """Return the job of a task.

    Raise NotFound for a job that was not submitted through this API.
    """
    job = service().access.job(caller(), job_id_of(task))
    if not is_task(job):
        raise NotFound(
            f"job {job.id} was not submitted with POST /api/v1/tasks; see GET /api/v1/jobs/{job.id}"
        )
    return job


def _task(job: Job, status: HTTPStatus = HTTPStatus.OK) -> Response:
    detail = service().job_details.detail(caller(), job.id, with_tasks=False)
    return _answer(answers.task_answer(detail.job, detail.workers), status)


def _answer(answer: BaseModel, status: HTTPStatus = HTTPStatus.OK) -> Response:
    # Unlike in other answers, fields without a value are null.
    return Response(answer.model_dump_json(), status=int(status), mimetype=JSON, headers=NO_STORE)
