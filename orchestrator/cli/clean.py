"""``orchestrator clean``: remove jobs that ended long ago."""

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.local_jobs import root_jobs
from orchestrator.cli.running_server import running_server
from orchestrator.cli.surroundings import Surroundings, pass_surroundings, project_option
from orchestrator.cli.terminal import confirmed, local_time, moment, one_line, size, table
from orchestrator.core.errors import Conflict
from orchestrator.core.states import ENDED_JOB
from orchestrator.workspace import JobFiles

_AGE = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def _age(_: click.Context, __: click.Parameter, value: str) -> int:
    found = _AGE.fullmatch(value.strip())
    if found is None:
        raise click.BadParameter("should be like 7d (s, m, h, d, w)")
    return int(found[1]) * _SECONDS[found[2]]


@click.command("clean")
@click.option(
    "--older-than", callback=_age, required=True, metavar="AGE", help="Like 7d: ended before that."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@project_option
@pass_surroundings
def clean_command(surroundings: Surroundings, older_than: int, yes: bool) -> None:
    """Remove ended jobs, from disk and database.

    Results of gates on base commits that are as old are removed with them. Unfinished jobs are
    never touched. The server must not be running.
    """
    workspace = surroundings.workspace
    if record := running_server(workspace):
        raise Conflict(f"the server (process {record.pid}) is running; stop it first")
    before = time.time() - older_than
    old = ended_before(workspace, before)
    if old:
        click.echo(table(_row(workspace, job) for job in old), err=True)
        if not yes and not confirmed(f"Remove these {len(old)} jobs?"):
            raise Conflict("nothing was removed; say --yes to remove without being asked")
    else:
        click.echo("nothing to remove", err=True)
    _remove(surroundings, [str(job["job_id"]) for job in old])
    _remove_base_results(workspace, before)


def _remove_base_results(workspace: Path, before: float) -> None:
    from orchestrator.engine.base_results import FOLDER, remove_results

    remove_results(workspace / FOLDER, before)


def _remove(surroundings: Surroundings, job_ids: Sequence[str]) -> None:
    """Also what an earlier removal began and did not finish."""
    from orchestrator.api.render import job_path
    from orchestrator.app import remove

    if not job_ids and not JobFiles(surroundings.workspace).aside():
        return  # without a look at the database, which may not be there
    audit = surroundings.audit_log()
    try:
        for job_id, kept in remove(surroundings.folder, surroundings.environ, job_ids):
            audit.note("(clean)", "DELETE", job_path(job_id))
            click.echo(job_id)
            _tell_kept(job_id, kept)
    finally:
        audit.close()


def _tell_kept(job_id: str, kept: Sequence[str]) -> None:
    if kept:
        said = f"kept of job {job_id}, as it is in no result and on no branch of yours:"
        click.echo(said, err=True)
    for name in kept:
        click.echo(f"  {name}   (to remove it: git update-ref -d {name})", err=True)


def ended_before(workspace: Path, at: float) -> list[dict[str, Any]]:
    """Root jobs that had ended by then; a job that does not say when stays."""
    return [
        job
        for job in root_jobs(workspace)
        if job["status"] in ENDED_JOB and (moment(job.get("ended_at")) or at) < at
    ]


def _row(workspace: Path, job: dict[str, Any]) -> tuple[str, str, str, str, str]:
    directory = workspace / f"job_{job['job_id']}"
    request = one_line(job.get("request"), 50)
    ended = local_time(job.get("ended_at"))
    return str(job["job_id"]), str(job["status"]), ended, size(_size(directory)), request


def _size(directory: Path) -> int:
    return sum(
        os.lstat(os.path.join(parent, name)).st_size
        for parent, _, names in os.walk(directory)
        for name in names
    )
