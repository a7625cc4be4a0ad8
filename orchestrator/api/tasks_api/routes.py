"""The routes of ``/api/v1/tasks``.

The first request imports the modules that answer it, because few servers get such requests.
"""

from collections.abc import Callable
from dataclasses import replace
from http import HTTPStatus

from flask import Blueprint, Response, request

from orchestrator.api.access.authentication import api_key_of, caller, check_request, service
from orchestrator.api.http_messages.problems import ProblemError

blueprint = Blueprint("tasks", __name__, url_prefix="/api/v1/tasks")


@blueprint.before_request
def check_caller() -> None:
    """Identify the caller. Raise a 401 without a key, and a 403 for a wrong or a worker's key.

    Clients of ``/api/v1/tasks`` expect a 403 for a wrong key. A worker's key also gets a 403,
    because a worker starts child jobs, not tasks.
    """
    try:
        check_request()
    except ProblemError as error:
        if error.status is not HTTPStatus.UNAUTHORIZED:
            raise
        raise _unauthorized(error) from None
    service().access.check_person(caller())


def _unauthorized(error: ProblemError) -> ProblemError:
    # Without the advice to use a worker's key, because these calls reject workers' keys.
    problem = error.detail.partition(";")[0]
    detail = f"{problem}; use api.api_key from config.yaml"
    if api_key_of(request) is None:
        headers = {"WWW-Authenticate": "ApiKey"}
        return replace(error, detail=f"API key required: {detail}", headers=headers)
    detail = detail.replace("invalid API key", "Invalid API key")
    return replace(error, status=HTTPStatus.FORBIDDEN, detail=detail, headers={})


def _call(name: str) -> Callable[..., Response]:
    def answer(**arguments: str) -> Response:
        from orchestrator.api.tasks_api import task_calls

        call: Callable[..., Response] = getattr(task_calls, name)
        return call(**arguments)

    return answer


for _method, _path, _name in (
    ("POST", "", "create_task"),
    ("GET", "", "list_tasks"),
    ("GET", "/stats", "get_task_stats"),
    ("GET", "/<task>", "get_task"),
    ("DELETE", "/<task>", "cancel_task"),
    ("GET", "/<task>/progress", "stream_progress"),
    ("GET", "/<task>/conflicts", "get_task_conflicts"),
    ("POST", "/<task>/merge", "merge_task"),
):
    blueprint.add_url_rule(_path, _name, _call(_name), methods=[_method])
