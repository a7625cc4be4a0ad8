"""The calls of ``/api/v1/tasks``."""

from http import HTTPStatus

from orchestrator.api.openapi.operations.operation import ACCEPTED, CONFLICT, OK, Operation
from orchestrator.schemas.requests.job import EmptyRequest
from orchestrator.schemas.requests_with_answers import tasks_api

TASKS = "/api/v1/tasks"
TASK = f"{TASKS}/{{task}}"

OF_TASKS = (
    Operation(
        method="post",
        path=TASKS,
        id="createTask",
        tag="tasks",
        summary="Submit one description to several tools",
        description=(
            "The tools work in parallel, and the best result is merged. If a tool cannot work on "
            "this machine, it fails, and its result names the command that repairs the tool. 422: "
            "no tool can work."
        ),
        body=tasks_api.TaskBody,
        body_required=True,
        examples={
            "two tools": {
                "description": "Add error handling to the login function",
                "cli_assignments": [
                    {"cli_name": "claude_code", "context": {}, "timeout": 600},
                    {"cli_name": "ollama", "context": {}, "timeout": 600},
                ],
                "merge_strategy": "theirs",
            }
        },
        answers={HTTPStatus.CREATED: tasks_api.Task},
        errors=(CONFLICT,),
        headers={
            "Idempotency-Key": "Unique key (1 to 200 characters) of the task; a repeated call with "
            "the same key starts no second task. 422: the key was used for another request."
        },
    ),
    Operation(
        method="get",
        path=TASKS,
        id="listTasks",
        tag="tasks",
        summary="List tasks, newest first",
        query=tasks_api.TasksQuery,
        answers={OK: tasks_api.Tasks},
    ),
    Operation(
        method="get",
        path=f"{TASKS}/stats",
        id="getTaskStats",
        tag="tasks",
        summary="Get the number of running tasks, and the executions and cost of each tool",
        answers={OK: tasks_api.TaskStats},
    ),
    Operation(
        method="get",
        path=TASK,
        id="getTask",
        tag="tasks",
        summary="Get a task",
        answers={OK: tasks_api.Task},
    ),
    Operation(
        method="delete",
        path=TASK,
        id="cancelTask",
        tag="tasks",
        summary="Cancel a task, and stop its tools",
        description="409: the task has ended.",
        body=EmptyRequest,
        answers={OK: tasks_api.TaskCancelled},
        errors=(CONFLICT,),
    ),
    Operation(
        method="get",
        path=f"{TASK}/progress",
        id="streamTaskProgress",
        tag="tasks",
        summary="Stream the progress of a task",
        description=(
            "Server-Sent Events with JSON: `connected`, `progress` of each tool, `heartbeat` after "
            "each second of silence, `task_complete` at the end, `error`."
        ),
        answers={OK: ("text/event-stream",)},
        headers={"Last-Event-ID": "Id of the last received event."},
    ),
    Operation(
        method="get",
        path=f"{TASK}/conflicts",
        id="getTaskConflicts",
        tag="tasks",
        summary="List a tool's files that conflict with the result",
        description="409: the task is not completed, or has no successful result.",
        query=tasks_api.CliQuery,
        answers={OK: tasks_api.TaskConflicts},
        errors=(CONFLICT,),
    ),
    Operation(
        method="post",
        path=f"{TASK}/merge",
        id="mergeTask",
        tag="tasks",
        summary="Merge the result of a tool into the result branch",
        description="202: the merge is still running. 409: the task is not completed, or has no "
        "successful result.",
        query=tasks_api.TaskMergeQuery,
        body=tasks_api.TaskMergeBody,
        examples={"the best result": {"strategy": "theirs"}},
        answers={OK: tasks_api.TaskMerged, ACCEPTED: tasks_api.TaskMerged},
        errors=(CONFLICT,),
    ),
)
