"""Runs MCP tools on the service of the REST API, with the access rights of the caller.

A worker's key therefore grants access only to the worker's child jobs and their descendants.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.api.http_messages.log_response import open_regular
from orchestrator.api.http_messages.problems import problem_of
from orchestrator.api.http_messages.request import (
    checked_job_id,
    checked_report_name,
    checked_worker_id,
)
from orchestrator.api.mcp import changes, summaries
from orchestrator.api.mcp.protocol import RpcCall, Values, text_result
from orchestrator.api.mcp.tool_context import ToolContext, printable
from orchestrator.api.mcp.tool_table import BY_NAME, McpTool
from orchestrator.api.serializers.answer_parts import message_id_of
from orchestrator.core.errors import Conflict, Forbidden, InvalidRequest, NotFound
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.caller import Caller
from orchestrator.core.model.human_input.pause import RunningMode
from orchestrator.core.model.human_input.question import Decision
from orchestrator.core.model.job import Job
from orchestrator.core.ports.read_models import JobFilter
from orchestrator.core.text.formatting import cut
from orchestrator.core.text.unknown_names import unknown_name
from orchestrator.schemas import requests
from orchestrator.schemas.fields.validation_errors import faults
from orchestrator.schemas.requests import mcp_tool_arguments
from orchestrator.security.files.untrusted_files import tail_offset

LISTED_JOBS = 10
SHOWN_FAULTS = 5
LOG_CHARACTERS = 16_000
REPORT_CHARACTERS = 24_000


class WrongCall(Exception):
    """The tool is unknown, or its arguments are wrong. The message has an example of a call."""


@dataclass(frozen=True, kw_only=True)
class ToolCall:
    """A call of a tool, with validated arguments."""

    tool: McpTool
    arguments: Any


def validated_call(call: RpcCall) -> ToolCall:
    """Return ``call`` with its tool and its validated arguments.

    Raise WrongCall for an unknown tool or wrong arguments.
    """
    tool = BY_NAME.get(call.tool)
    if tool is None:
        raise WrongCall(f"{call.tool[:100]!r}: {unknown_name('tool', call.tool, list(BY_NAME))}")
    try:
        return ToolCall(tool=tool, arguments=tool.arguments.model_validate(call.arguments))
    except ValidationError as error:
        wrong = "; ".join(str(each) for each in faults(error, tool.arguments)[:SHOWN_FAULTS])
        example = summaries.as_text(tool.example)
        raise WrongCall(f"{tool.name}: {wrong}. Example of a call: {example}") from None


def check_caller(caller: Caller, tool: McpTool) -> None:
    """Raise Forbidden if the tool needs the scope admin, and the caller's key lacks it."""
    if not tool.for_people or caller.is_admin:
        return
    subject = "a worker" if caller.attempt is not None else f"key {caller.name!r}"
    raise Forbidden(
        f"{subject} may not call the tool {tool.name}; use a key with the scope admin (api.keys in "
        "config.yaml)"
    )


def run_tool(context: ToolContext, call: ToolCall) -> Values:
    """Run the tool of a call, and return the result. Raise the errors of the service."""
    return text_result(TOOL_FUNCTIONS[call.tool.name](context, call.arguments))


def error_result(error: BaseException) -> Values:
    """Return a tool result that describes ``error``, so that the model can read the error."""
    if isinstance(error, WrongCall):
        return text_result(str(error), is_error=True)
    problem = problem_of(error)
    remaining = problem.more.get("left")
    more = f"; remaining: {summaries.as_text(remaining)}" if remaining else ""
    return text_result(f"{problem.type}: {problem.detail}{more}", is_error=True)


def _orchestrate(context: ToolContext, arguments: mcp_tool_arguments.OrchestrateArguments) -> str:
    submission = arguments.to_submission(context.idempotency_key)
    return summaries.as_text(
        summaries.accepted_job(context.service.submissions.submit(context.caller, submission))
    )


def _status(context: ToolContext, arguments: mcp_tool_arguments.StatusArguments) -> str:
    if arguments.job_id is None:
        lists = context.service.job_lists
        number, size = arguments.page, LISTED_JOBS
        page = lists.jobs(context.caller, JobFilter(), page=number, page_size=size)
        cards = {card.job.id: card for card in lists.cards([each.id for each in page.jobs])}
        shown = [cards[each.id] for each in page.jobs if each.id in cards]
        return summaries.as_text(summaries.job_list(shown, page.total))
    job_id = checked_job_id(arguments.job_id)
    detail = context.service.job_details.detail(context.caller, job_id, names=())
    status = summaries.job_status(context.service, context.caller, detail, arguments.page)
    return summaries.as_text(status)


def _wait(context: ToolContext, arguments: mcp_tool_arguments.WaitArguments) -> str:
    """Return a job's results if it has ended, otherwise its status.

    Does not wait: the HTTP route waits, and then calls this function.
    """
    job_id = checked_job_id(arguments.job_id)
    detail = context.service.job_details.detail(context.caller, job_id, names=())
    if not detail.job.status.ended:
        return summaries.as_text(summaries.job_status(context.service, context.caller, detail))
    return summaries.as_text(summaries.job_results(context.service, context.caller, detail))


def _cancel(context: ToolContext, arguments: mcp_tool_arguments.CancelArguments) -> str:
    job_id = checked_job_id(arguments.job_id)
    if arguments.worker_id is not None:
        worker_id = checked_worker_id(arguments.worker_id)
        job = context.service.workers.cancel(context.caller, job_id, worker_id)
        return summaries.as_text({"job_id": job.id, "cancelled": worker_id, "status": job.status})
    job = context.service.job_control.cancel(context.caller, job_id)
    more = {} if job.status.ended else {"next": "call wait until the job has ended"}
    return summaries.as_text({"job_id": job.id, "status": job.status, "reason": job.reason, **more})


def _result(context: ToolContext, arguments: mcp_tool_arguments.ResultArguments) -> str:
    job_id = checked_job_id(arguments.job_id)
    if arguments.worker_id is not None:
        return _result_of_worker(context, job_id, checked_worker_id(arguments.worker_id))
    detail = context.service.job_details.detail(context.caller, job_id, names=())
    return summaries.as_text(summaries.job_results(context.service, context.caller, detail))


def _result_of_worker(context: ToolContext, job_id: str, worker_id: str) -> str:
    # The worker may belong to a child job.
    worker = context.service.access.worker(context.caller, job_id, worker_id)
    detail = context.service.job_details.detail(context.caller, worker.job_id, with_tasks=False)
    return summaries.as_text(
        summaries.job_results(context.service, context.caller, detail, worker.id)
    )


def _logs(context: ToolContext, arguments: mcp_tool_arguments.LogsArguments) -> str:
    job = context.service.access.job(context.caller, checked_job_id(arguments.job_id))
    worker_id = checked_worker_id(arguments.worker_id)
    path = context.service.job_details.log_path(context.caller, job.id, worker_id)
    try:
        text = _tail(path, context.service.job_details.workspace(job).parent, arguments.lines)
    except FileNotFoundError:
        text = ""
    shown = text if len(text) <= LOG_CHARACTERS else f"... {text[-LOG_CHARACTERS:]}"
    return shown or f"(no output yet in {path})"


def _tail(path: Path, within: Path, lines: int) -> str:
    """Return the last ``lines`` lines of a file, without control characters.

    Raise FileNotFoundError if the file is missing, and NotFound if it is not a regular file.
    """
    with open_regular(path, within) as opened:
        end = os.fstat(opened.fileno()).st_size
        start = max(tail_offset(opened, lines), end - LOG_CHARACTERS * 4)
        return printable(os.pread(opened.fileno(), end - start, start).decode("utf-8", "replace"))


def _report(context: ToolContext, arguments: mcp_tool_arguments.ReportArguments) -> str:
    job = context.service.access.job(context.caller, checked_job_id(arguments.job_id))
    name = checked_report_name(arguments.name or context.service.job_details.final_report(job).name)
    path = context.service.job_details.report_path(context.caller, job.id, name)
    try:
        opened = open_regular(path, context.service.job_details.workspace(job).parent)
    except FileNotFoundError:
        raise NotFound(
            f"report {path.name} does not exist yet; reports are written when a job ends"
        ) from None
    with opened:
        raw = os.pread(opened.fileno(), REPORT_CHARACTERS * 4, 0)
    text = printable(raw.decode("utf-8", "replace"))
    return cut(text, REPORT_CHARACTERS, f"\n... (shortened; whole report: {path})")


def _feedback(context: ToolContext, arguments: mcp_tool_arguments.FeedbackArguments) -> str:
    job_id, worker_id = checked_job_id(arguments.job_id), checked_worker_id(arguments.worker_id)
    commit = arguments.commit or _latest_commit(context, job_id, worker_id)
    try:
        body = requests.messages_and_feedback.FeedbackBody(
            comments=arguments.comments, summary=arguments.summary, commit=commit
        )
    except ValidationError as error:
        raise InvalidRequest(
            "; ".join(map(str, faults(error, requests.messages_and_feedback.FeedbackBody)))
        ) from None
    request = body.to_request(context.idempotency_key)
    feedback = context.service.feedback.give(context.caller, job_id, worker_id, request)
    return summaries.as_text({**asdict(feedback), "next": "call wait"})


def _latest_commit(context: ToolContext, job_id: str, worker_id: str) -> str:
    """Return the last commit on the worker's branch, as recorded when the worker ended.

    Raise NotFound for an unknown worker, and Conflict for a worker without a commit.
    """
    context.service.access.job(context.caller, job_id)
    workers = context.service.job_details.workers_in_tree(context.caller, job_id)
    worker = next((each for each in workers if each.id == worker_id), None)
    if worker is None:
        raise NotFound(
            f"job {job_id} has no worker {worker_id!r}; list its workers with the tool 'status'"
        )
    delivery = worker.delivery
    if delivery is None or not delivery.commit:
        raise Conflict(
            f"{worker_id} has no commit to comment on; read its result with the tool 'result'",
            kind="no-repository",
        )
    return delivery.commit


def _retry(context: ToolContext, arguments: mcp_tool_arguments.RetryArguments) -> str:
    job_id = checked_job_id(arguments.job_id)
    config = arguments.to_config()
    if arguments.worker_id is None:
        job = context.service.job_retry.retry(context.caller, job_id, config)
    elif config.fields_set:
        raise InvalidRequest(
            "new settings apply to the whole job; omit worker_id, or omit the settings: "
            f"{', '.join(sorted(config.fields_set))}"
        )
    else:
        worker_id = checked_worker_id(arguments.worker_id)
        job = context.service.workers.retry(context.caller, job_id, worker_id)
    return summaries.as_text(
        {"job_id": job.id, "status": job.status, "run": job.run, "next": "call wait"}
    )


def _answer(context: ToolContext, arguments: mcp_tool_arguments.AnswerArguments) -> str:
    job_id, decision = checked_job_id(arguments.job_id), Decision(arguments.decision)
    if arguments.task_id is not None:
        task_id, comment = arguments.task_id, arguments.comment
        return _state_of_job(
            context.service.questions.answer(context.caller, job_id, task_id, decision, comment)
        )
    decide = (
        context.service.plans.approve
        if decision is Decision.APPROVE
        else context.service.plans.reject
    )
    return _state_of_job(decide(context.caller, job_id, arguments.comment))


def _pause(context: ToolContext, arguments: mcp_tool_arguments.PauseArguments) -> str:
    job_id, running = checked_job_id(arguments.job_id), RunningMode(arguments.running)
    return _state_of_job(context.service.job_control.pause(context.caller, job_id, running))


def _resume(context: ToolContext, arguments: mcp_tool_arguments.JobArguments) -> str:
    return _state_of_job(
        context.service.job_control.resume(context.caller, checked_job_id(arguments.job_id))
    )


def _budget(context: ToolContext, arguments: mcp_tool_arguments.BudgetArguments) -> str:
    job_id = checked_job_id(arguments.job_id)
    return _state_of_job(
        context.service.budgets.raise_budget(context.caller, job_id, arguments.to_limits())
    )


def _state_of_job(job: Job) -> str:
    return summaries.as_text({"job_id": job.id, "status": job.status, "reason": job.reason})


def _message(context: ToolContext, arguments: mcp_tool_arguments.MessageArguments) -> str:
    job_id, worker_id = checked_job_id(arguments.job_id), checked_worker_id(arguments.worker_id)
    message_id = message_id_of(context.caller, job_id, worker_id, context.idempotency_key)
    message = context.service.worker_messages.message(
        context.caller, job_id, worker_id, arguments.text, message_id
    )
    payload = {"message_id": message.id, "delivery": "next_step"}
    return summaries.as_text({"job_id": job_id, "worker_id": worker_id, **payload})


ToolFunction = Callable[[ToolContext, Any], str]
TOOL_FUNCTIONS: Mapping[str, ToolFunction] = {
    "orchestrate": _orchestrate,
    "status": _status,
    "wait": _wait,
    "cancel": _cancel,
    "result": _result,
    "logs": _logs,
    "report": _report,
    "diff": changes.diff,
    "feedback": _feedback,
    "retry": _retry,
    "merge": changes.merge,
    "choose": changes.choose,
    "answer": _answer,
    "pause": _pause,
    "resume": _resume,
    "budget": _budget,
    "message": _message,
    "land": changes.land,
    "undo": changes.undo,
}
