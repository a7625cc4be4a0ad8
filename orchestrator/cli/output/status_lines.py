"""The status of a job as lines of text: outcome, tree of workers, usage, and what to do next."""

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.job_summary import (
    STATUS_WIDTH,
    cap_line,
    ending_lines,
    landed_lines,
    outcome_line,
    purpose,
    summary_line,
    used_line,
)
from orchestrator.cli.output.status_answer import tasks_of
from orchestrator.cli.output.terminal_text import first_line, paint, pasteable
from orchestrator.core.model.states import ENDED_JOB

#: Maximum number of lines of the tree of workers.
MAX_LINES = 200
#: Maximum number of named workers with unmerged changes.
MOST_OUTSIDE = 5


def _show_all(answer: Mapping[str, Any]) -> str:
    return f"show all: {COMMAND} status {answer.get('job_id')} --json"


def _outside_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    """Return lines about changes that are not in the merged result.

    The lines have the commands that merge or show the changes.
    """
    lines = []
    found = answer.get("made_not_in_result") or ()
    for each in found[:MOST_OUTSIDE]:
        where, why = each["branch"] or "no branch", first_line(each["why"], width)
        of = f" of job {each['job_id']}" if each["job_id"] != answer.get("job_id") else ""
        lines.append(f"  not merged: {each['worker_id']}{of} ({where}): {why}")
        if each["command"]:
            lines.append(f"    to {purpose(each)}: {pasteable(each['command'])}")
        # Files of earlier versions have no command that shows the changes.
        if each.get("show") not in (None, "", each["command"]):
            lines.append(f"    to show the changes: {pasteable(each['show'])}")
        if each["otherwise"]:
            lines.append(
                "    to merge these changes now, with the better result in each conflict: "
                f"{pasteable(each['otherwise'])}"
            )
    if len(found) > MOST_OUTSIDE:
        lines.append(f"  ... and {len(found) - MOST_OUTSIDE} more; {_show_all(answer)}")
    return lines


def status_lines(answer: Mapping[str, Any], width: int) -> list[str]:
    lines = [outcome_line(answer)]
    if answer.get("request"):
        lines.append(f"  {first_line(answer['request'], width - 2)}")
    lines += _outside_lines(answer, width)
    tree = list(_tree(tasks_of(answer), 1, width))
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
    return [*lines, *ending_lines(answer, width, above=tree[:MAX_LINES])]


def _session_line(task: Mapping[str, Any], indent: str) -> Iterator[str]:
    """Yield a line for a retried worker: whether its latest attempt resumed the session."""
    session = task.get("session")
    if session and session["attempt"] > 1:
        how = "resumed session" if session["resumed"] else "new session"
        yield f"{indent}attempt {session['attempt']}: {how} {session['id']}"


def _tree(tasks: list[Mapping[str, Any]], depth: int, width: int) -> Iterator[str]:
    for task in tasks:
        name = "  " * depth + str(task.get("worker_id") or "")
        note = summary_line(task, max(20, width - 25 - STATUS_WIDTH))
        yield f"{name:<22} {paint(str(task.get('status')), STATUS_WIDTH)} {note}".rstrip()
        yield from _session_line(task, "  " * (depth + 1))
        yield from _tree(task.get("child_results") or [], depth + 1, width)
