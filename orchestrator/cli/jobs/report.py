"""``orchestrator report``: a rendered report on standard output."""

import json
import re
import shlex

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import printable
from orchestrator.core.errors import NotFound
from orchestrator.core.model.states import ENDED_JOB
from orchestrator.security.files.untrusted_files import read_regular

FINAL = "FINAL_RESULT.md"
#: Maximum bytes of a report.
LARGEST_REPORT_BYTES = 1024**3
_LEVEL = re.compile(r"LEVEL_(\d+)_REPORT\.md")


@click.command("report")
@job_argument
@click.argument("name", default=FINAL)
@json_option
@pass_cli_context
def report_command(context: CliContext, job_id: str, name: str) -> None:
    """Print a report of JOB (default: FINAL_RESULT.md).

    NAME is FINAL_RESULT.md, LEVEL_<n>_REPORT.md, or the name of a file in reports/.
    """
    text = find_report(context, job_id, name)
    if context.as_json:
        click.echo(json.dumps({"job_id": job_id, "name": name, "text": text}))
    else:
        click.echo(printable(text), nl=not text.endswith("\n"))


def find_report(context: CliContext, job_id: str, name: str) -> str:
    """Return the text of a report, from the server, or from the job's files if no server runs.

    Raise NotFound if there is no such job or report.
    """
    client = context.client_if_running()
    if client is not None:
        with client:
            return client.report(job_id, name)
    from orchestrator.cli.offline.jobs_on_disk import directory_of, find_job

    directory = directory_of(context.workspace, job_id)
    is_child = directory.name != f"job_{job_id}"
    path = directory / _report_path(f"job_{job_id}.md" if is_child and name == FINAL else name)
    content = read_regular(path, LARGEST_REPORT_BYTES, within=context.workspace)
    if content is None:
        status = find_job(context.workspace, job_id)["status"]
        if status not in ENDED_JOB:
            raise NotFound(
                f"job {job_id} has not ended ({status}), and has no report yet; wait for it: "
                f"{COMMAND} wait {job_id}"
            )
        raise NotFound(
            f"job {job_id} has no report {name}; list the files: ls {shlex.quote(str(directory))}"
        )
    return content.decode("utf-8", errors="replace")


def _report_path(name: str) -> str:
    """Return the path of the report ``name``, relative to the job's directory.

    Raise NotFound if ``name`` is not a plain file name.
    """
    if name == FINAL:
        return name
    if level := _LEVEL.fullmatch(name):
        return f"depth_{level[1]}/{name}"
    if "/" in name or name.startswith("."):
        raise NotFound(
            f"invalid report name {name!r}; use the name of a file in reports/, such as tree.txt"
        )
    return f"reports/{name}"
