"""``orchestrator logs``: prints or follows the logs of one worker or of all workers."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import Count, job_argument, json_option
from orchestrator.cli.offline.log_files import LogFile, follow_files, log_lines, tail_lines
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import printable
from orchestrator.cli.worker_names import worker_of
from orchestrator.core.errors import NotFound
from orchestrator.core.model.states import ENDED_JOB

#: Number of earlier lines of each worker that ``logs --follow`` prints if the user passes neither
#: WORKER nor ``--tail``.
FOLLOWED_LINES = 10


@click.command("logs")
@job_argument
@click.argument("worker_id", metavar="[WORKER]", required=False)
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the job has ended.")
@click.option(
    "-n",
    "--tail",
    type=Count(min=0),
    metavar="N",
    help="Print only the last N lines of each log.",
)
@json_option
@pass_cli_context
def logs_command(
    context: CliContext, job_id: str, worker_id: str | None, follow: bool, tail: int | None
) -> None:
    """Print the log of WORKER, or of all workers of JOB.

    Without WORKER, each line starts with its worker's name. WORKER is the id of a worker, or of its
    task.
    """
    worker_id = worker_id and worker_of(context, job_id, worker_id)
    if worker_id is None and follow and tail is None:
        tail = FOLLOWED_LINES
    for worker, line in _lines(context, job_id, worker_id, follow, tail):
        if context.as_json:
            click.echo(json.dumps({"worker_id": worker, "line": line}))
        else:
            click.echo(printable(line) if worker_id else f"{worker:<12} | {printable(line)}")


def _lines(
    context: CliContext, job_id: str, worker_id: str | None, follow: bool, tail: int | None
) -> Iterator[tuple[str, str]]:
    files = _LocalLogs(context, job_id, worker_id)
    if not files.exist():
        # The files are on another machine, so ask the server for the lines.
        yield from _from_server(context, job_id, worker_id, follow, tail)
    elif follow:
        yield from follow_files(files.find, files.has_job_ended, tail)
    else:
        for file in files.find():
            yield from ((file.worker_id, line) for line in tail_lines(file.path, tail))


class _LocalLogs:
    """Finds the log files of a job on this machine. A running job adds files."""

    def __init__(self, context: CliContext, job_id: str, worker_id: str | None) -> None:
        self._context = context
        self._job_id = job_id
        self._worker_id = worker_id
        self._directory: Path | None = None

    def exist(self) -> bool:
        """True if the job's log files are on this machine.

        Raise NotFound if the requested worker has no log. Also raise NotFound if the job is unknown
        here, and no server runs.
        """
        from orchestrator.cli.offline.jobs_on_disk import directory_of

        if self._context.environ.get("ORCHESTRATOR_API_URL"):
            return False
        try:
            self._directory = directory_of(self._context.workspace, self._job_id)
        except NotFound:
            if self._context.address_if_running() is None:
                raise
            return False
        if self._worker_id and not self.find():
            raise NotFound(
                f"job {self._job_id} has no log of worker {self._worker_id}: there is no such "
                f"worker, or it has not started; list the workers: {COMMAND} status {self._job_id}"
            )
        return True

    def find(self) -> list[LogFile]:
        from orchestrator.cli.offline.jobs_on_disk import workers_of

        assert self._directory is not None
        paths = sorted((self._directory / "logs").glob("depth_*.log"), key=_numbers)
        files = [LogFile.of(path) for path in paths]
        if self._worker_id:
            return [file for file in files if file.worker_id == self._worker_id]
        worker_ids = workers_of(self._context.workspace, self._job_id)
        return [file for file in files if worker_ids is None or file.worker_id in worker_ids]

    def has_job_ended(self) -> bool:
        from orchestrator.cli.offline.jobs_on_disk import find_job

        return find_job(self._context.workspace, self._job_id)["status"] in ENDED_JOB


def _numbers(path: Path) -> tuple[list[int], str]:
    """Return a sort key for log files that sorts ``worker_10`` after ``worker_9``."""
    return [int(number) for number in re.findall(r"\d+", path.stem)], path.stem


def _from_server(
    context: CliContext, job_id: str, worker_id: str | None, follow: bool, tail: int | None
) -> Iterator[tuple[str, str]]:
    with context.client() as client:
        if follow and worker_id is None:
            raise click.UsageError(
                "--follow needs a WORKER, because this job's files are on another machine; list "
                f"the workers: {COMMAND} status {job_id}"
            )
        if follow and worker_id:
            lines = client.logs(job_id, worker_id, follow=True, tail=tail)
            yield from ((worker_id, part) for line in lines for part in log_lines(f"{line}\n"))
            return
        for worker in [worker_id] if worker_id else _started_workers(client.job(job_id)):
            for line in log_lines(client.logs(job_id, worker, tail=tail), tail):
                yield worker, line


def _started_workers(job: Mapping[str, Any]) -> list[str]:
    return [str(worker["worker_id"]) for worker in job["workers"] if worker["attempts"]]
