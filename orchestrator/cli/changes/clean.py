"""``orchestrator clean``: removes old jobs."""

import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import click

from orchestrator.api.client.errors import ConflictError, NotFoundError
from orchestrator.cli.command_context import CliContext, pass_cli_context, unconfirmed
from orchestrator.cli.command_line.parameters import age, json_option, project_option
from orchestrator.cli.offline.jobs_on_disk import root_jobs
from orchestrator.cli.offline.server_liveness import running_server
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import (
    confirmed,
    first_line,
    local_time,
    moment,
    size,
    table,
)
from orchestrator.core.model.states import ENDED_JOB
from orchestrator.core.text.formatting import plural
from orchestrator.workspace import WorkspaceJobFiles

#: Unit of ``st_blocks``, in bytes.
_BLOCK_BYTES = 512
_UNSEEN = (
    "{} was not removed: the server has no such job, or the API key may not see the job; use the "
    "key `api.api_key` of config.yaml"
)


@click.command("clean")
@click.option(
    "--older-than",
    callback=age,
    required=True,
    metavar="AGE",
    help="Minimum time since the end of a job, such as 7d.",
)
@click.option("--yes", is_flag=True, help="Skip the confirmation.")
@json_option
@project_option
@pass_cli_context
def clean_command(context: CliContext, older_than: int, yes: bool) -> int:
    """Remove ended jobs from disk and database.

    Also removes results of gates on base commits, if the results are older than AGE. Never removes
    unfinished jobs. A merged result that has not landed stays on its branch. Other changes that
    have not landed stay on git refs. The output lists these branches and refs, and `discard`
    removes them. Files of workers without a worktree are removed; to save these files, use `apply`
    first. Works with or without a running server.
    """
    context.check_not_in_worker("clean", "a worker must not remove jobs; nothing was changed")
    workspace = context.workspace
    cutoff = time.time() - older_than
    old_jobs = ended_before(workspace, cutoff)
    sizes = {str(job["job_id"]): disk_usage(workspace / f"job_{job['job_id']}") for job in old_jobs}
    if old_jobs:
        click.echo(table(_row(job, sizes[str(job["job_id"])]) for job in old_jobs), err=True)
        these = "this job" if len(old_jobs) == 1 else f"these {len(old_jobs)} jobs"
        if not yes and not confirmed(f"Remove {these}?"):
            raise unconfirmed("remove", "removed")
    else:
        click.echo("nothing to remove", err=True)
    removed = dict(_remove(context, list(sizes)))
    from orchestrator.engine.gates.baseline_store import FOLDER, remove_results

    remove_results(workspace / FOLDER, cutoff)
    freed = sum(sizes.get(job_id, 0) for job_id in removed)
    if context.as_json:
        jobs = [{"job_id": job_id, "kept": list(refs)} for job_id, refs in removed.items()]
        click.echo(json.dumps({"removed": jobs, "freed_bytes": freed}, indent=2))
    if removed:
        count_text = plural(len(removed), "job")
        click.echo(f"removed {count_text}, {size(freed)} on disk", err=True)
    return ExitCode.OK if {*sizes} <= {*removed} else ExitCode.FAILED


def _remove(context: CliContext, job_ids: Sequence[str]) -> Iterator[tuple[str, Sequence[str]]]:
    """Remove jobs by calls to the server, or locally if no server runs. Print each removed job.

    Yield (job id, refs) for each removed job. ``refs``: names of the git refs with the job's
    unlanded changes.
    """
    record = running_server(context.workspace, context.note_silence)
    removals = _remove_by_server(context, record.url, job_ids) if record else None
    for job_id, refs in removals or _remove_locally(context, job_ids):
        if not context.as_json:
            click.echo(job_id)
        _print_saved_refs(job_id, refs)
        yield job_id, refs


def _remove_by_server(
    context: CliContext, url: str, job_ids: Sequence[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Remove jobs by calls to the server, and yield (job id, refs) as ``_remove`` does.

    Print a message for each job that is not removed: a job that is in use, a job that runs again,
    or a job that the API key may not see.
    """
    with context.client_at(url) as client:
        for job_id in job_ids:
            try:
                yield job_id, client.remove(job_id)["kept"]
            except NotFoundError:
                if (context.workspace / f"job_{job_id}").exists():
                    click.echo(_UNSEEN.format(job_id), err=True)
                    continue
                yield job_id, ()  # another command or the server has removed the job
            except ConflictError as error:
                click.echo(f"{job_id} was not removed: {error.message}", err=True)


def _remove_locally(
    context: CliContext, job_ids: Sequence[str]
) -> Iterator[tuple[str, Sequence[str]]]:
    """Remove jobs while no server runs, and complete interrupted removals.

    Yield (job id, refs) as ``_remove`` does.
    """
    from orchestrator.api.serializers.answer_parts import job_path
    from orchestrator.composition import remove

    if not job_ids and not WorkspaceJobFiles(context.workspace).marked_removed():
        return  # Nothing to do. Do not open the database, which may be unavailable.
    with closing(context.audit_log()) as audit:
        for job_id, refs in remove(context.folder, context.environ, job_ids):
            audit.log_change("(clean)", "DELETE", job_path(job_id))
            yield job_id, refs


def _print_saved_refs(job_id: str, refs: Sequence[str]) -> None:
    if refs:
        text = f"unlanded changes of job {job_id} are saved on these git refs:"
        click.echo(text, err=True)
    for name in refs:
        click.echo(f"  {name}", err=True)
    if refs:
        click.echo(
            "  to merge the changes that a ref contains, in the project: git merge REF", err=True
        )
        click.echo(f"  to remove the refs: {COMMAND} discard {job_id}", err=True)


def ended_before(workspace: Path, at: float) -> list[dict[str, Any]]:
    """Return the root jobs that ended before the time ``at`` (Unix time).

    Jobs without an end time are omitted.
    """
    return [
        job
        for job in root_jobs(workspace)
        if job["status"] in ENDED_JOB and (moment(job.get("ended_at")) or at) < at
    ]


def _row(job: dict[str, Any], byte_count: int) -> tuple[str, str, str, str, str]:
    request = first_line(job.get("request"), 50)
    ended = local_time(job.get("ended_at"))
    return str(job["job_id"]), str(job["status"]), ended, size(byte_count), request


def disk_usage(directory: Path) -> int:
    """Return the space that a directory and its files occupy on disk, in bytes.

    This is more than the sum of the lengths if a job has thousands of small files. A file with
    several hard links counts once.
    """
    bytes_by_file = dict[tuple[int, int], int]()
    for parent, _, names in os.walk(directory):
        for path in (parent, *(os.path.join(parent, name) for name in names)):
            with suppress(FileNotFoundError):  # the server or another command has removed the file
                status = os.lstat(path)
                bytes_by_file[status.st_dev, status.st_ino] = status.st_blocks * _BLOCK_BYTES
    return sum(bytes_by_file.values())
