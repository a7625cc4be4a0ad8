"""The routes of ``/api/v1/tasks``.

The first request loads the calls and their models, because few servers get such requests.
"""

from dataclasses import replace
from http import HTTPStatus

from flask import Blueprint, Response, request

from orchestrator.api.access.auth import authenticate, given_key
from orchestrator.api.http.problems import ProblemError

blueprint = Blueprint("tasks", __name__, url_prefix="/api/v1/tasks")


@blueprint.before_request
def check_caller() -> None:
    """Identify the caller. Raise a 401 without a key, and a 403 for a wrong key.

    Clients of ``/api/v1/tasks`` expect these statuses.
    """
    try:
        authenticate()
    except ProblemError as error:
        if error.status is not HTTPStatus.UNAUTHORIZED:
            raise
        raise _unauthorized(error) from None


def _unauthorized(error: ProblemError) -> ProblemError:
    if given_key(request) is None:
        detail, headers = f"API key required: {error.detail}", {"WWW-Authenticate": "ApiKey"}
        return replace(error, detail=detail, headers=headers)
    detail = error.detail.replace("invalid API key", "Invalid API key")
    return replace(error, status=HTTPStatus.FORBIDDEN, detail=detail, headers={})


@blueprint.post("")
def create_task() -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.create_task()


@blueprint.get("")
def list_tasks() -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.list_tasks()


@blueprint.get("/stats")
def get_task_stats() -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.get_task_stats()


@blueprint.get("/<task>")
def get_task(task: str) -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.get_task(task)


@blueprint.delete("/<task>")
def cancel_task(task: str) -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.cancel_task(task)


@blueprint.get("/<task>/progress")
def stream_progress(task: str) -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.stream_progress(task)


@blueprint.get("/<task>/conflicts")
def get_task_conflicts(task: str) -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.get_task_conflicts(task)


@blueprint.post("/<task>/merge")
def merge_task(task: str) -> Response:
    from orchestrator.api.tasks_api import calls

    return calls.merge_task(task)
