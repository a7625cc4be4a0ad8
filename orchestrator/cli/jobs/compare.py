"""``orchestrator compare``: compares the candidates of a task."""

import json
from collections.abc import Iterator
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import duration, echo_patch, first_line, printable, table
from orchestrator.core.errors import Conflict, NotFound
from orchestrator.core.model.states import ENDED_JOB
from orchestrator.core.text.formatting import dollars, plural

Answer = dict[str, Any]

WHY_WIDTH = 100
#: Reason for the choice if a task has one candidate.
ONLY_ONE = "the task has one candidate"


@click.command("compare")
@job_argument
@click.argument("task_id", metavar="TASK")
@click.option(
    "--diff", is_flag=True, help="Show how each other candidate differs from the chosen candidate."
)
@json_option
@project_option
@pass_cli_context
def compare_command(context: CliContext, job_id: str, task_id: str, diff: bool) -> None:
    """Compare the candidates of TASK, and show the choice."""
    context.work_on_project_of(job_id)
    comparison = find_comparison(context, job_id, task_id)
    if diff:
        _show_differences(context, comparison)
    elif context.as_json:
        click.echo(json.dumps(comparison, indent=2))
    else:
        click.echo("\n".join(comparison_lines(comparison)))


def find_comparison(context: CliContext, job_id: str, task_id: str) -> Answer:
    """Return the comparison of a task's candidates, from the server or from the job's reports.

    The reports are read if no server runs. Raise NotFound if the task has no candidates, and
    Conflict if only a server knows the candidates.
    """
    client = context.client_if_running()
    if client is not None:
        with client:
            return client.candidates(job_id, task_id)
    return _from_reports(context, job_id, task_id)


def _from_reports(context: CliContext, job_id: str, task_id: str) -> Answer:
    from orchestrator.cli.jobs.report import find_report
    from orchestrator.cli.offline.jobs_on_disk import find_job, root_id_of

    root_id = root_id_of(context.workspace, job_id)
    root = find_job(context.workspace, root_id)
    if root.get("status") not in ENDED_JOB:
        raise Conflict(
            f"the candidates of unfinished job {root_id} are unknown without a server; start the "
            f"server: {COMMAND} serve"
        )
    # Read the root job's file, because it has the candidates of all child jobs.
    figures = json.loads(find_report(context, root_id, "analytics.json"))
    for comparison in figures.get("comparisons", ()):
        if (comparison["job_id"], comparison["task_id"]) == (job_id, task_id):
            return {
                name: _without_nulls(value)
                for name, value in comparison.items()
                if value is not None
            }
    if figures.get("comparisons_omitted"):
        raise Conflict(
            f"the reports of job {root_id} do not list all candidates; the server has the "
            f"complete list; start it: {COMMAND} serve"
        )
    raise NotFound(
        f"job {job_id} has no candidates of a task {task_id!r}; "
        "a task has candidates only if it names several agents"
    )


def _without_nulls(value: Any) -> Any:
    # Omit null fields, as the server does in its answers.
    if isinstance(value, list):
        return [_without_nulls(each) for each in value]
    if isinstance(value, dict):
        return {name: each for name, each in value.items() if each is not None}
    return value


def comparison_lines(comparison: Answer) -> Iterator[str]:
    chosen = comparison.get("chosen")
    why = comparison["why"] or ONLY_ONE
    yield f"chosen: {chosen} ({why})" if chosen else "no candidate has been chosen"
    rows = [_row(each) for each in comparison["candidates"]]
    yield printable(table([("CANDIDATE", "AGENT", "STATUS", "GATES", "TESTS", "REVIEW"), *rows]))
    yield ""
    sizes = [_measures(each) for each in comparison["candidates"]]
    yield printable(
        table([("CANDIDATE", "CHANGE", "COST", "TIME", "DECIDED BY", "REASON"), *sizes])
    )
    reviewer = comparison.get("reviewer")
    if reviewer:
        yield ""
        yield first_line(_review_text(reviewer), WHY_WIDTH * 3)


def _row(candidate: Answer) -> tuple[str, ...]:
    failed, passed = candidate["gates_failed"], candidate["gates_passed"]
    gates = f"{', '.join(failed)} failed" if failed else f"{passed} passed" if passed else "-"
    return (
        candidate["worker_id"],
        first_line(candidate["agent"], 30),
        candidate["status"],
        first_line(gates, 40),
        _tests_text(candidate),
        _known_text(candidate.get("review")),
    )


def _measures(candidate: Answer) -> tuple[str, ...]:
    cost, seconds = candidate.get("cost_usd"), candidate.get("seconds")
    why = "chosen" if candidate["chosen"] else candidate["why"] or candidate["reason"]
    by = "-" if candidate["chosen"] else candidate["by"] or "-"
    return (
        candidate["worker_id"],
        _change_text(candidate),
        dollars(cost) if cost is not None else "-",
        duration(seconds) if seconds is not None else "-",
        by,
        first_line(why, WHY_WIDTH),
    )


def _change_text(candidate: Answer) -> str:
    files = plural(candidate.get("files") or 0, "file")
    if candidate.get("lines_added") is None:
        return files if candidate.get("files") else "-"
    return f"{files}, +{candidate['lines_added']} -{candidate['lines_removed']}"


def _tests_text(candidate: Answer) -> str:
    """Return the numbers of a candidate's tests, such as ``12 existing, 3 new (1 counted)``.

    "1 counted": the choice of a candidate considers one of the new tests.
    """
    base, new = candidate.get("base_tests"), candidate.get("new_tests", 0)
    if base is None:
        return _known_text(candidate.get("tests"))
    return f"{base} existing" + (
        f", {new} new ({candidate['new_tests_counted']} counted)" if new else ""
    )


def _known_text(value: object) -> str:
    return "-" if value is None else str(value)


def _review_text(reviewer: Answer) -> str:
    name = f"{reviewer['worker_id']} ({reviewer['agent']})"
    if reviewer["status"] == "success":
        return f"reviewed by {name}"
    return f"no review: {name} is {reviewer['status']}: {reviewer['reason']}".rstrip(": ")


def _show_differences(context: CliContext, comparison: Answer) -> None:
    patches = dict(_differences(context, comparison))
    if context.as_json:
        texts = {name: patch.decode("utf-8", "replace") for name, patch in patches.items()}
        click.echo(json.dumps({**comparison, "diffs": texts}, indent=2))
        return
    for name, patch in patches.items():
        click.echo(f"changes from {comparison['chosen']} (chosen) to {name}:", err=True)
        echo_patch(patch)


def _differences(context: CliContext, comparison: Answer) -> Iterator[tuple[str, bytes]]:
    """Yield (worker id, patch) for each candidate that was not chosen.

    ``patch``: the changes from the chosen candidate's branch to this candidate's branch. Candidates
    without a branch are omitted. Raise Conflict if no candidate was chosen, or if the chosen
    candidate has no branch.
    """
    from orchestrator.composition import difference_between

    folder, environ = context.folder, context.environ
    winner = next((each for each in comparison["candidates"] if each["chosen"]), None)
    command = f"{COMMAND} compare {comparison['job_id']} {comparison['task_id']}"
    if winner is None:
        raise Conflict(
            "no differences to show: no candidate is chosen yet, or none succeeded; show the "
            f"candidates: {command}"
        )
    if not winner["branch"]:
        raise Conflict(
            f"no differences to show: the chosen candidate {winner['worker_id']} has no branch "
            f"with changes; compare the candidates' results: {command}"
        )
    for candidate in comparison["candidates"]:
        if candidate["branch"] and not candidate["chosen"]:
            patch = difference_between(folder, environ, winner["branch"], candidate["branch"])
            yield candidate["worker_id"], patch
