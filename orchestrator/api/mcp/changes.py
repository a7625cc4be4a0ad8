"""The MCP tools that read, merge, and land the changes of jobs."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from orchestrator.api.http_messages.request import checked_job_id, checked_worker_id
from orchestrator.api.mcp import summaries
from orchestrator.api.mcp.tool_context import ToolContext, printable
from orchestrator.api.serializers.landing import land_answer, landing_plan_answer, undo_answer
from orchestrator.core.errors import TooLarge
from orchestrator.core.repository.change_reader import ChangedFile, ChangedHunk, DiffRequest
from orchestrator.core.repository.landing import LandOptions, LandRequest
from orchestrator.core.text.formatting import cut, plural
from orchestrator.schemas.requests import mcp_tool_arguments

LISTED_FILES = 50
DIFF_CHARACTERS = 24_000


def diff(context: ToolContext, arguments: mcp_tool_arguments.DiffArguments) -> str:
    """Return the list of changed files, and their changed lines, bounded in size."""
    job_id, reads = checked_job_id(arguments.job_id), context.service.job_lists.changes
    worker_id = checked_worker_id(arguments.worker_id) if arguments.worker_id else ""
    request = DiffRequest(worker_id=worker_id, path=arguments.path)
    try:
        files = reads.difference(context.caller, job_id, request).files
    except TooLarge:
        listing = replace(request, stat=True)
        files = reads.difference(context.caller, job_id, listing).files
        return f"{_file_list(files)}\n{_SHORTENED}"
    if arguments.path and not files:
        return (
            f"no changed file at {arguments.path!r}; omit path to list the changed files, whose "
            "paths are relative to the root of the repository"
        )
    lines = "\n".join(line for file in files for line in _patch_lines(file))
    return cut(f"{_file_list(files)}\n{printable(lines)}", DIFF_CHARACTERS, f"\n{_SHORTENED}")


_SHORTENED = "... (shortened; to get one file or directory, pass path)"


def _file_list(files: Sequence[ChangedFile]) -> str:
    added, removed = sum(each.additions for each in files), sum(each.deletions for each in files)
    more = len(files) - LISTED_FILES
    return "\n".join(
        [
            f"{plural(len(files), 'file')} changed, +{added} -{removed}",
            *(f"{each.status} {_path(each)} ({_size(each)})" for each in files[:LISTED_FILES]),
            *([f"... and {more} more files"] if more > 0 else []),
            "",
        ]
    )


def _path(file: ChangedFile) -> str:
    return printable(f"{file.old_path} -> {file.path}" if file.old_path else file.path)


def _size(file: ChangedFile) -> str:
    return "binary" if file.binary else f"+{file.additions} -{file.deletions}"


def _patch_lines(file: ChangedFile) -> Iterator[str]:
    yield f"--- {_path(file)}"
    if file.too_big:
        yield "(too large to show)"
    for hunk in file.hunks:
        yield _range(hunk)
        yield from hunk.lines


def _range(hunk: ChangedHunk) -> str:
    old, new = f"{hunk.old_start},{hunk.old_lines}", f"{hunk.new_start},{hunk.new_lines}"
    return f"@@ -{old} +{new} @@ {hunk.header}".rstrip()


def merge(context: ToolContext, arguments: mcp_tool_arguments.MergeArguments) -> str:
    job_id, choice = checked_job_id(arguments.job_id), arguments.to_choice()
    is_merged = context.service.merges.merge(context.caller, job_id, choice)
    if choice.resolve:
        return summaries.as_text({"job_id": job_id, "merged": False, "next": "call wait"})
    return _merge_answer(context, job_id, is_merged)


def _merge_answer(context: ToolContext, job_id: str, is_merged: bool, **fields: str) -> str:
    payload = {"job_id": job_id, **fields, "merged": is_merged}
    if not is_merged:
        advice = 'the merge still runs: call result until "merging" is absent'
        return summaries.as_text({**payload, "next": advice})
    detail = context.service.job_details.detail(context.caller, job_id, names=())
    return summaries.as_text(
        {**payload, **summaries.merge_outcome(context.service, context.caller, detail)}
    )


def choose(context: ToolContext, arguments: mcp_tool_arguments.ChooseArguments) -> str:
    job_id, worker_id = checked_job_id(arguments.job_id), checked_worker_id(arguments.worker_id)
    is_merged = context.service.merges.choose(
        context.caller, job_id, arguments.task_id, worker_id, arguments.reason
    )
    return _merge_answer(context, job_id, is_merged, chosen=worker_id)


def land(context: ToolContext, arguments: mcp_tool_arguments.LandArguments) -> str:
    job_id = checked_job_id(arguments.job_id)
    answer = landing_plan_answer if arguments.check else land_answer
    how = LandOptions.SQUASH if arguments.squash else LandOptions.ANY
    request = LandRequest(how=how, onto=arguments.onto or "", partial=arguments.partial)
    landing = answer(context.service, context.caller, job_id, request)
    return summaries.as_text(
        {
            "job_id": job_id,
            "landed": landing.landed,
            "branch": landing.branch,
            "commit": landing.commit,
            "files": landing.files[:LISTED_FILES],
            "files_changed": landing.files_changed,
            "text": landing.text,
        }
    )


def undo(context: ToolContext, arguments: mcp_tool_arguments.JobArguments) -> str:
    undo = undo_answer(context.service, context.caller, checked_job_id(arguments.job_id))
    payload = {"branch": undo.branch, "commit": undo.commit, "text": undo.text}
    return summaries.as_text({"job_id": undo.job_id, **payload})
