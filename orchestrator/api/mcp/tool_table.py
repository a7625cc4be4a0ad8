"""The table of MCP tools, and the description of the tools for clients.

After a change, write the output of ``python -m orchestrator.api.mcp.tool_table`` to
``tools.generated.json``. ``orchestrator mcp`` lists the tools from that file, without loading this
module.
"""

import json
import sys
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from orchestrator.api.mcp.tools_file import FOR_PEOPLE
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.schemas.fields.bounded_types import StrictModel
from orchestrator.schemas.requests import mcp_tool_arguments

Schema = dict[str, Any]

#: Arguments that tools accept but do not list. The server has better values, or the argument is an
#: alias of another argument, or its description is not worth a caller's tokens.
OMITTED = frozenset(
    {
        "current_depth",
        "gates",
        "locks",
        "description",
        "execution_mode",
        "labels",
        "retry_backoff_seconds",
    }
)

#: Schemas omit a maximum of this number or more, and a maximum length of this many characters or
#: more, because few callers reach such a maximum, and its text would cost tokens.
FAR_AWAY, LONG_TEXT = 10_000, 200


@dataclass(frozen=True, kw_only=True)
class McpTool:
    """One tool. ``example`` is shown to a caller with wrong arguments."""

    name: str
    description: str
    arguments: type[StrictModel]
    example: Mapping[str, Any]
    reads_only: bool = True
    #: True for a tool that changes something and can do damage.
    destructive: bool = field(default=False)
    #: True for a tool of administrators: only keys with the scope admin can list and call the tool.
    for_people: bool = field(default=False)

    def definition(self) -> Schema:
        return {
            "name": self.name,
            "description": self.description,
            **({"_meta": FOR_PEOPLE} if self.for_people else {}),
            "inputSchema": input_schema(self.arguments),
            "annotations": {
                "readOnlyHint": self.reads_only,
                "destructiveHint": self.destructive,
                "idempotentHint": self.reads_only or self.destructive,
                "openWorldHint": not self.reads_only and not self.destructive,
            },
        }


JOB = {"job_id": "abc123"}

TOOLS = (
    McpTool(
        name="orchestrate",
        description=(
            "Start a job, and return its job_id at once. Workers run its tasks in parallel, each "
            "in its own process. In a worker, the job becomes a child job. Pass tasks if you know "
            "them (id, prompt or command, depends_on); otherwise the request is split into tasks. "
            "Then call wait. The answer has the remaining depth, time, workers, and child jobs."
        ),
        arguments=mcp_tool_arguments.OrchestrateArguments,
        example={
            "request": "Review every module of src",
            "tasks": [{"prompt": "Review src/a.py"}, {"command": "make test"}],
        },
        reads_only=False,
    ),
    McpTool(
        name="status",
        description=(
            "Get the status of a job: its workers by status and by name, and the remaining quota. "
            "Without job_id: the newest jobs. To wait for the end, call wait instead."
        ),
        arguments=mcp_tool_arguments.StatusArguments,
        example=JOB,
    ),
    McpTool(
        name="wait",
        description=(
            'Wait for the end of a job, at most 44 seconds. {"retry": true}: the job is running; '
            'call wait again. {"retry": false}: the job has ended; the answer has its results.'
        ),
        arguments=mcp_tool_arguments.WaitArguments,
        example={**JOB, "timeout_seconds": 40},
    ),
    McpTool(
        name="cancel",
        description="Cancel a job, or a worker with its child jobs. Finished work is kept.",
        arguments=mcp_tool_arguments.CancelArguments,
        example=JOB,
        reads_only=False,
        destructive=True,
    ),
    McpTool(
        name="result",
        description=(
            "Get the results of a job's workers so far: status, shortened output, created files, "
            "directory, and log. The answer also has the path of the final report. Read these "
            "files for details, or pass worker_id for more of one worker's output."
        ),
        arguments=mcp_tool_arguments.ResultArguments,
        example={**JOB, "worker_id": "worker_1"},
    ),
    McpTool(
        name="logs",
        description="Get the last lines of a worker's log, also while the worker runs.",
        arguments=mcp_tool_arguments.LogsArguments,
        example={**JOB, "worker_id": "worker_1", "lines": 50},
    ),
    McpTool(
        name="report",
        description="Get a report of an ended job, in Markdown; a long report is shortened.",
        arguments=mcp_tool_arguments.ReportArguments,
        example={**JOB, "name": "FINAL_RESULT.md"},
    ),
    McpTool(
        name="diff",
        description=(
            "Get the changes of a job: the merged result, or the changes of one worker, such as a "
            "worker that is not merged. The answer lists the changed files, then their lines. A "
            "long answer is shortened: pass path to get the rest file by file."
        ),
        arguments=mcp_tool_arguments.DiffArguments,
        example={**JOB, "worker_id": "worker_1", "path": "src/app.py"},
    ),
    McpTool(
        name="feedback",
        description=(
            "Send comments on lines of a worker's change to the worker, which must have ended. The "
            "worker starts another attempt on its branch. An ended job runs again, and is merged "
            "again. Then call wait."
        ),
        arguments=mcp_tool_arguments.FeedbackArguments,
        example={
            **JOB,
            "worker_id": "worker_1",
            "comments": [{"path": "src/app.py", "line": 12, "text": "Use the constant."}],
        },
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="retry",
        description=(
            "Retry the unsuccessful tasks of a job, with other settings if needed, such as a "
            "longer timeout or a higher cap. With worker_id: retry only this worker, and the tasks "
            "that were skipped because of it. Then call wait."
        ),
        arguments=mcp_tool_arguments.RetryArguments,
        example={**JOB, "worker_id": "worker_1"},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="merge",
        description=(
            "Repeat the merge of an ended job: resolve its conflicts, include unmerged workers, or "
            "exclude workers. With resolve, the job runs again: then call wait."
        ),
        arguments=mcp_tool_arguments.MergeArguments,
        example={**JOB, "resolve": "worker"},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="choose",
        description=(
            "Choose another candidate for a task, and repeat the merge. The job must have ended."
        ),
        arguments=mcp_tool_arguments.ChooseArguments,
        example={**JOB, "task_id": "api", "worker_id": "worker_2", "reason": "simpler"},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="answer",
        description=(
            "Approve or reject the question of a task that waits for a person, or the plan of a "
            "job. Call this tool only if your user made the decision."
        ),
        arguments=mcp_tool_arguments.AnswerArguments,
        example={**JOB, "task_id": "ok", "decision": "approve", "comment": "only to staging"},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="pause",
        description=(
            "Pause a job and its child jobs: nothing new starts until resume. The pause does not "
            "count as wall time."
        ),
        arguments=mcp_tool_arguments.PauseArguments,
        example=JOB,
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="resume",
        description="Resume a paused job and its child jobs.",
        arguments=mcp_tool_arguments.JobArguments,
        example=JOB,
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="budget",
        description=(
            "Raise a job's caps or maximum wall time. A job that was paused at such a limit "
            "continues."
        ),
        arguments=mcp_tool_arguments.BudgetArguments,
        example={**JOB, "max_cost_usd": 5.0},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="message",
        description=(
            "Send a message to a worker that has not ended. The worker's agent reads the message "
            "before its next step."
        ),
        arguments=mcp_tool_arguments.MessageArguments,
        example={**JOB, "worker_id": "worker_1", "text": "Use the helper in src/paths.py."},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="land",
        description=(
            "Land the result of a job on the branch that is checked out. Call this tool only if "
            "your user asked for it."
        ),
        arguments=mcp_tool_arguments.LandArguments,
        example={**JOB, "check": True},
        reads_only=False,
        for_people=True,
    ),
    McpTool(
        name="undo",
        description="Undo the landing of a job. Call this tool only if your user asked for it.",
        arguments=mcp_tool_arguments.JobArguments,
        example=JOB,
        reads_only=False,
        destructive=True,
        for_people=True,
    ),
)

BY_NAME: Mapping[str, McpTool] = {tool.name: tool for tool in TOOLS}


def input_schema(model: type[StrictModel]) -> Schema:
    """Return a JSON Schema without references, titles, and nulls.

    Some AI models cannot read schemas that contain these three.
    """
    full_schema = model.model_json_schema()
    definitions = full_schema.pop("$defs", {})
    client_schema: Schema = _for_clients(full_schema, definitions)
    client_schema.pop("description", None)
    return client_schema


def _for_clients(schema: Any, definitions: Mapping[str, Any]) -> Any:
    if isinstance(schema, list):
        return [_for_clients(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if reference := schema.get("$ref"):
        # The field's own description takes precedence over its type's description.
        target = definitions[reference.rsplit("/", 1)[1]]
        return _for_clients(
            {**target, **{k: v for k, v in schema.items() if k != "$ref"}}, definitions
        )
    fields = {name: value for name, value in _without_null(schema).items() if name != "title"}
    if properties := fields.pop("properties", None):
        shown = {k: _for_clients(v, definitions) for k, v in properties.items() if k not in OMITTED}
        return {**{k: _for_clients(v, definitions) for k, v in fields.items()}, "properties": shown}
    return {name: _for_clients(value, definitions) for name, value in fields.items()}


def _without_null(schema: Schema) -> Schema:
    # A model learns nothing from null, from empty defaults, and from limits that no caller reaches.
    fields = {name: value for name, value in schema.items() if not _is_irrelevant(name, value)}
    choices = [choice for choice in fields.pop("anyOf", ()) if choice != {"type": "null"}]
    if len(choices) == 1:
        return {**_without_null(choices[0]), **fields}
    return {**fields, "anyOf": choices} if choices else fields


def _is_irrelevant(name: str, value: object) -> bool:
    if name == "default":
        return value in (None, "", [], {})
    most = {"maximum": FAR_AWAY, "maxLength": LONG_TEXT, "maxItems": FAR_AWAY}.get(name)
    return most is not None and isinstance(value, int | float) and value >= most


def definitions_text() -> str:
    return json.dumps([tool.definition() for tool in TOOLS], indent=1) + "\n"


if __name__ == "__main__":
    sys.stdout.write(definitions_text())
