"""``orchestrator merge``: the branches of a job's workers put together once more."""

import json
from collections.abc import Mapping
from typing import Any

import click

from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.surroundings import Surroundings, job_argument, json_option, pass_surroundings
from orchestrator.cli.terminal import printable

STRATEGIES = click.Choice(["auto", "theirs", "manual"])


@click.command("merge")
@job_argument
@click.option("--strategy", type=STRATEGIES, help="How; the job's own if left out.")
@click.option("--take", multiple=True, metavar="WORKER", help="Only this worker's changes.")
@click.option("--leave", multiple=True, metavar="WORKER", help="Not this worker's changes.")
@click.option(
    "--resolve", metavar="worker|AGENT", help="Have conflicts resolved: by their workers, or AGENT."
)
@json_option
@pass_surroundings
def merge_command(
    surroundings: Surroundings,
    job_id: str,
    strategy: str | None,
    take: tuple[str, ...],
    leave: tuple[str, ...],
    resolve: str | None,
) -> int:
    """Merge the branches of JOB's workers once more.

    JOB must have ended. The result before is kept on a ref. Exit code 6 when something was left
    out. With --resolve the job runs again: each worker that is in conflict gets another attempt.
    Needs a running server.
    """
    choice = {"take": take, "leave": leave, "strategy": strategy, "resolve": resolve}
    with surroundings.client() as client:
        record = client.merge(job_id, **{name: value for name, value in choice.items() if value})
    click.echo(json.dumps(record) if surroundings.as_json else printable(_told(record)))
    return ExitCode.PARTIAL if record["left_out"] or record["missing"] else ExitCode.OK


def _told(record: Mapping[str, Any]) -> str:
    lines = [f"{record['branch']} {record['commit'][:12]}" if record["branch"] else "no result"]
    lines += [f"merged: {worker}" for worker in record["merged"]]
    for worker, branch in record["left_out"].items():
        why = record["reasons"].get(worker) or _paths(record, worker)
        what = "left out in part" if worker in record["merged"] else "left out"
        lines.append(f"{what}: {worker} ({branch}){f': {why}' if why else ''}")
    if record["hindrances"]:
        typed = f"bin/orchestrator merge {record['job_id']} --resolve worker"
        lines.append(f"to have conflicts resolved: {typed} (or the name of an agent)")
    for each in record["missing"]:
        if each["job_id"] != record["job_id"]:
            who = f"{each['worker_id']} of job {each['job_id']}"
            lines.append(f"missing below: {who} ({each['branch']}): {each['why']}")
        if each["command"] and not each["chosen"]:
            lines.append(f"to bring {each['worker_id']} in: {each['command']}")
    lines += [f"the result before: {record['earlier']}"] if record["earlier"] else []
    return "\n".join([*lines, *(f"not done: {error}" for error in record["errors"])])


def _paths(record: Mapping[str, Any], worker: str) -> str:
    return ", ".join(each["path"] for each in record["conflicts"] if each["worker_id"] == worker)
