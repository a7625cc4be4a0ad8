"""The status of a job as lines of text: outcome, tree of workers, usage, and next commands."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.job_summary import (
    STATUS_WIDTH,
    cap_line,
    ending_lines,
    landed_lines,
    outcome_line,
    purpose,
    repeat_lines,
    summary_line,
    used_line,
)
from orchestrator.cli.output.status_answer import tasks_of
from orchestrator.cli.output.terminal_text import first_line, paint, pasteable
from orchestrator.core.model.states import ENDED_JOB

#: Maximum number of lines of the tree of workers.
MAX_LINES = 200
#: Maximum number of listed workers with unmerged changes.
MAX_UNMERGED = 5


def _show_all(answer: Mapping[str, Any]) -> str:
    return f"show all: {COMMAND} status {answer.get('job_id')} --json"


def _unmerged_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    """Return lines about changes that are not in the result, with commands to merge or show them.

    Return [] if the result has all changes.
    """
    lines = []
    entries = answer.get("made_not_in_result") or ()
    for entry in entries[:MAX_UNMERGED]:
        branch, why = entry["branch"] or "no branch", first_line(entry["why"], width)
        job = f" of job {entry['job_id']}" if entry["job_id"] != answer.get("job_id") else ""
        lines.append(f"  not merged: {entry['worker_id']}{job} ({branch}): {why}")
        if entry["command"]:
            lines.append(f"    to {purpose(entry)}: {pasteable(entry['command'])}")
        # Files of earlier versions have no command that shows the changes.
        if entry.get("show") not in (None, "", entry["command"]):
            lines.append(f"    to show the changes: {pasteable(entry['show'])}")
        if entry["otherwise"]:
            lines.append(
                "    to merge these changes now, with one worker's version of each conflict: "
                f"{pasteable(entry['otherwise'])}"
            )
    if len(entries) > MAX_UNMERGED:
        lines.append(f"  ... and {len(entries) - MAX_UNMERGED} more; {_show_all(answer)}")
    return lines


def status_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    lines = [outcome_line(answer)]
    if answer.get("request"):
        lines.append(f"  {first_line(answer['request'], width - 2)}")
    lines += _unmerged_lines(answer, width)
    tasks = tasks_of(answer)
    tree = list(_tree(tasks, 1, width, _columns_of(tasks, width)))
    lines += tree[:MAX_LINES]
    if len(tree) > MAX_LINES:
        lines.append(f"  ... and {len(tree) - MAX_LINES} more lines; {_show_all(answer)}")
    if used := used_line(answer.get("usage") or {}):
        lines.append(used)
    if caps := cap_line(answer.get("caps") or {}):
        lines.append(caps)
    lines += landed_lines(answer)
    results = answer.get("results") or {}
    if answer["status"] in ENDED_JOB and results.get("final_report"):
        lines.append(f"Result: {results['final_report']}")
    elif results.get("workspace"):
        lines.append(f"Logs:   {results['workspace']}/logs")
    ending = ending_lines(answer, width, printed_lines=tree[:MAX_LINES])
    return [*lines, *ending, *repeat_lines(answer)]


def _session_line(task: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yield a line that shows if a retried worker's latest attempt resumed an earlier session.

    Yield nothing for a worker in its first attempt, or without a session.
    """
    session = task.get("session")
    if session and session["attempt"] > 1:
        how = "resumed session" if session["resumed"] else "new session"
        yield f"{indent}attempt {session['attempt']}: {how} {session['id']}"


class _Columns(NamedTuple):
    name: int
    status: int


def _columns_of(tasks: list[Mapping[str, Any]], width: int) -> _Columns:
    """Return the widths of the columns: the usual widths, or on a narrow terminal the minimum.

    With the usual widths, columns do not move while a job runs.
    """
    if width >= sum(USUAL_COLUMNS) + 2 + LEAST_NOTE:
        return USUAL_COLUMNS
    rows = list(_names_and_statuses(tasks, 1))
    return _Columns(
        name=max((len(name) for name, _ in rows), default=0),
        status=max((len(status) for _, status in rows), default=0),
    )


def _names_and_statuses(tasks: list[Mapping[str, Any]], depth: int) -> Iterator[tuple[str, str]]:
    for task in tasks:
        yield _name(task, depth), str(task.get("status"))
        yield from _names_and_statuses(task.get("child_results") or [], depth + 1)


def _name(task: Mapping[str, Any], depth: int) -> str:
    return "  " * depth + str(task.get("worker_id") or "")


def _tree(
    tasks: list[Mapping[str, Any]], depth: int, width: int, columns: _Columns
) -> Iterator[str]:
    note_width = max(LEAST_NOTE, width - sum(columns) - 3)
    for task in tasks:
        name, status = _name(task, depth), paint(str(task.get("status")), columns.status)
        yield f"{name:<{columns.name}} {status} {summary_line(task, note_width)}".rstrip()
        yield from _session_line(task, "  " * (depth + 1))
        yield from _tree(task.get("child_results") or [], depth + 1, width, columns)


#: Usual widths of the columns with the worker's name and its status.
USUAL_COLUMNS = _Columns(name=22, status=STATUS_WIDTH)
#: Minimum columns for the last part of a worker's line.
LEAST_NOTE = 20
