"""``orchestrator merge``: merges the branches of a job's workers again."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option
from orchestrator.cli.output.exit_codes import of_job
from orchestrator.cli.output.job_summary import branch_text, purpose
from orchestrator.cli.output.terminal_text import pasteable
from orchestrator.cli.worker_names import workers_of
from orchestrator.core.text.formatting import plural

#: Maximum number of replaced hunks to show.
MOST_HUNKS = 20
STRATEGIES = click.Choice(["auto", "theirs", "manual"])


@click.command("merge")
@job_argument
@click.option(
    "--strategy",
    type=STRATEGIES,
    help="Merge strategy (default: the strategy of the last `merge`, or the job's).",
)
@click.option(
    "--include",
    "--take",
    "take",
    multiple=True,
    metavar="WORKER",
    help="Include an unmerged worker's changes (repeatable).",
)
@click.option(
    "--exclude",
    "--leave",
    "leave",
    multiple=True,
    metavar="WORKER",
    help="Exclude a worker's changes (repeatable).",
)
@click.option(
    "--resolve",
    metavar="worker|AGENT",
    help="Agent that resolves the conflicts. The value worker means each worker's own agent.",
)
@json_option
@pass_cli_context
def merge_command(
    context: CliContext,
    job_id: str,
    strategy: str | None,
    take: Sequence[str],
    leave: Sequence[str],
    resolve: str | None,
) -> int:
    """Repeat the merge of JOB's worker branches.

    JOB must have ended. --include adds the commits of a worker that failed, timed out, or was not
    the chosen candidate. The worker stays included until --exclude names this worker. --include
    with a child job restores the changes that its parent worker discarded. The previous result
    stays on a ref. With --resolve, JOB runs again: each worker in conflict gets another attempt.
    The exit code is the same as of `status JOB`. Starts a server if none runs.
    """
    from orchestrator.cli.server.background_server import client_for

    take, leave = workers_of(context, job_id, take), workers_of(context, job_id, leave)
    choice = {"take": take, "leave": leave, "strategy": strategy, "resolve": resolve}
    options = {name: value for name, value in choice.items() if value}
    with client_for(context, job_id) as client:
        previous = client.conflicts(job_id) if options.keys() == {"take"} else {}
        record = client.merge(job_id, **options)
    # An unchanged commit means that nothing was merged.
    unchanged_workers = take if previous and previous["commit"] == record["commit"] else ()
    lines = [
        f"{each} is already merged"
        for each in unchanged_workers
        if each in {*previous["merged"]} - {*previous["left_out"]}
    ]
    text = pasteable("\n".join([*lines, record_text(record)]))
    click.echo(json.dumps(record) if context.as_json else text)
    return of_job(str(record["status"]))


def record_text(record: Mapping[str, Any]) -> str:
    lines = [f"{record['branch']} {record['commit'][:12]}"]
    if not record["branch"]:
        is_explained = record["missing"] or record["errors"]
        cause = "" if is_explained else ": no successful worker has a branch with changes"
        lines = [f"no merged result{cause}"]
    hunks = [*_replaced_hunks(record)]
    counts = Counter(worker for workers, _ in hunks for worker in workers)
    lines += [f"merged: {worker}{_except_hunks(counts[worker])}" for worker in record["merged"]]
    lines += [line for _, line in hunks[:MOST_HUNKS]]
    lines += [f"... and {len(hunks) - MOST_HUNKS} more hunks"] if hunks[MOST_HUNKS:] else []
    lines += [f"not merged{_missing_text(record, each)}" for each in record["missing"]]
    lines += [f"previous result: {record['earlier']}"] if record["earlier"] else []
    return "\n".join([*lines, *(f"failed: {error}" for error in record["errors"])])


def _except_hunks(hunks: int) -> str:
    return f", except {plural(hunks, 'hunk')}" if hunks else ""


def _replaced_hunks(record: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], str]]:
    """Yield (workers, line) for each hunk that the merge replaced.

    ``workers``: the workers that wrote the hunk. ``line``: the line to print about the hunk.
    """
    for conflict in record["conflicts"]:
        for hunk in conflict["lost"] if conflict["resolved"] else ():
            authors = f" of {', '.join(hunk['workers'])}" if hunk["workers"] else ""
            text = f": {' | '.join(hunk['text'])}" if hunk["text"] else ""
            child = conflict.get("child_job_id")
            path, winner = (
                conflict["path"],
                f"child job {child}" if child else conflict["worker_id"],
            )
            position = f":{hunk['first']}" if hunk["first"] else ""
            yield (
                hunk["workers"],
                f"replaced: {path}{position}{authors} by the version of {winner}{text}",
            )


def _missing_text(record: Mapping[str, Any], loss: Mapping[str, Any]) -> str:
    job = f" of job {loss['job_id']}" if loss["job_id"] != record["job_id"] else ""
    extent = " (in part)" if loss["in_part"] else ""
    line = f"{extent}: {loss['worker_id']}{job}{branch_text(loss)}: {loss['why']}"
    if not loss["command"]:
        return line
    return f"{line}\n  to {purpose(loss)}: {loss['command']}"
