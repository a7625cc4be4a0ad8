"""``orchestrator merge``: merges the branches of a job's workers again."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click

from orchestrator.cli.context import CliContext, job_argument, json_option, pass_surroundings
from orchestrator.cli.output.exit_codes import of_job
from orchestrator.cli.output.summary import place_of, purpose
from orchestrator.cli.output.terminal import printable

#: So many lost hunks are shown.
MOST_HUNKS = 20
STRATEGIES = click.Choice(["auto", "theirs", "manual"])


@click.command("merge")
@job_argument
@click.option("--strategy", type=STRATEGIES, help="How; the job's own if left out.")
@click.option("--take", multiple=True, metavar="WORKER", help="Also this worker's changes.")
@click.option("--leave", multiple=True, metavar="WORKER", help="Not this worker's changes.")
@click.option(
    "--resolve", metavar="worker|AGENT", help="Have conflicts resolved: by their workers, or AGENT."
)
@json_option
@pass_surroundings
def merge_command(
    surroundings: CliContext,
    job_id: str,
    strategy: str | None,
    take: tuple[str, ...],
    leave: tuple[str, ...],
    resolve: str | None,
) -> int:
    """Merge the branches of JOB's workers once more.

    JOB must have ended. --take adds the commits of a worker that failed, timed out, or lost against
    another candidate; the worker stays taken until --leave names it. With the id of a child job it
    puts back what the worker that asked for the job discarded. The previous result is kept on a
    ref. With --resolve the job runs again: each worker that is in conflict gets another attempt.
    The exit code is the job's, as that of `status`. Needs a running server.
    """
    choice = {"take": take, "leave": leave, "strategy": strategy, "resolve": resolve}
    asked = {name: value for name, value in choice.items() if value}
    with surroundings.client() as client:
        before = client.conflicts(job_id) if asked.keys() == {"take"} else {}
        record = client.merge(job_id, **asked)
    # Nothing was merged then.
    already = take if before and before["commit"] == record["commit"] else ()
    lines = [f"{each} is already in the result" for each in already if each in _inside(before)]
    told = printable("\n".join([*lines, _told(record)]))
    click.echo(json.dumps(record) if surroundings.as_json else told)
    return of_job(str(record["status"]))


@click.command("choose")
@job_argument
@click.argument("task_id", metavar="TASK")
@click.argument("worker_id", metavar="WORKER")
@json_option
@pass_surroundings
def choose_command(surroundings: CliContext, job_id: str, task_id: str, worker_id: str) -> int:
    """Choose another candidate of TASK than the comparison did.

    JOB must have ended; it is merged again with WORKER. What was built on the candidate before is
    not in the result then. To go back, choose that candidate. The exit code is the job's. Needs a
    running server.
    """
    with surroundings.client() as client:
        record = client.choose(job_id, task_id, worker_id)
    click.echo(json.dumps(record) if surroundings.as_json else printable(_told(record)))
    return of_job(str(record["status"]))


def _inside(record: Mapping[str, Any]) -> set[str]:
    return {*record["merged"]} - {*record["left_out"]}


def _told(record: Mapping[str, Any]) -> str:
    lines = [f"{record['branch']} {record['commit'][:12]}" if record["branch"] else "no result"]
    lost = [*_overruled(record)]
    hunks = Counter(worker for workers, _ in lost for worker in workers)
    lines += [f"merged: {worker}{_without(hunks[worker])}" for worker in record["merged"]]
    lines += [line for _, line in lost[:MOST_HUNKS]]
    lines += [f"... and {len(lost) - MOST_HUNKS} more hunks"] if lost[MOST_HUNKS:] else []
    lines += [f"not in the result{_of(record, each)}" for each in record["missing"]]
    lines += [f"the result before: {record['earlier']}"] if record["earlier"] else []
    return "\n".join([*lines, *(f"not done: {error}" for error in record["errors"])])


def _without(hunks: int) -> str:
    return f", without {hunks} hunk{'s' * (hunks != 1)}" if hunks else ""


def _overruled(record: Mapping[str, Any]) -> Iterator[tuple[Sequence[str], str]]:
    """Hunks that are not in the result because another version won there: whose, and a line."""
    for conflict in record["conflicts"]:
        for each in conflict["lost"] if conflict["resolved"] else ():
            whose = f" of {', '.join(each['workers'])}" if each["workers"] else ""
            text = f": {' | '.join(each['text'])}" if each["text"] else ""
            path, winner = conflict["path"], conflict["worker_id"]
            place = f":{each['first']}" if each["first"] else ""
            yield each["workers"], f"overruled: {path}{place}{whose}; {winner} won{text}"


def _of(record: Mapping[str, Any], loss: Mapping[str, Any]) -> str:
    of = f" of job {loss['job_id']}" if loss["job_id"] != record["job_id"] else ""
    part = " (in part)" if loss["in_part"] else ""
    line = f"{part}: {loss['worker_id']}{of}{place_of(loss)}: {loss['why']}"
    if not loss["command"]:
        return line
    return f"{line}\n  to {purpose(loss)}: {loss['command']}"
