"""``orchestrator feedback``: sends comments on a worker's change back to the worker."""

import json
from typing import Any

import click

from orchestrator.cli.changes.comment_parsing import (
    Comments,
    comment_of_option,
    comments_of_diff,
    comments_of_file,
)
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import job_argument, json_option, project_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.editor import edited_text
from orchestrator.cli.worker_names import worker_of
from orchestrator.core.errors import Conflict, InvalidRequest, NotFound
from orchestrator.core.text.formatting import plural

Answer = dict[str, Any]

_TEMPLATE = """\
#: Comments on the change of {worker} in job {job}, commit {commit}.
#: To comment on a line, write lines that begin with "# " below the line.
#: To comment on the whole change, write such lines here, before the first file.
#: Without a comment, nothing is sent.

{diff}"""


@click.command("feedback")
@job_argument
@click.argument("worker_id", metavar="WORKER")
@click.option(
    "--comment",
    "comments",
    multiple=True,
    metavar="PATH:LINE:TEXT",
    help="Comment on a line, or on lines (PATH:3-7:TEXT); repeatable.",
)
@click.option("-m", "--message", metavar="TEXT", help="Comment on the whole change.")
@click.option(
    "-f",
    "--file",
    type=click.File(encoding="utf-8"),
    metavar="FILE",
    help="File with comments, or - for standard input: blocks that begin with 'PATH:LINE:', or a "
    "diff with comments in lines that begin with '#'.",
)
@click.option("--edit", is_flag=True, help="Write comments into the diff, in $EDITOR.")
@click.option(
    "--agent", metavar="NAME", help="Agent of the next attempt (default: WORKER's agent)."
)
@click.option(
    "--commit",
    metavar="COMMIT",
    help="Commit that the comments refer to (default: WORKER's latest).",
)
@json_option
@project_option
@pass_cli_context
def feedback_command(
    context: CliContext,
    /,
    job_id: str,
    worker_id: str,
    comments: tuple[str, ...],
    message: str | None,
    file: Any,
    edit: bool,
    agent: str | None,
    commit: str | None,
) -> None:
    """Send comments on WORKER's change, and run WORKER again. WORKER continues on its branch.

    The prompt of the next attempt has the path, line, code, and text of each comment. An ended JOB
    runs again, and is merged again. Needs a running server.
    """
    feedback = Comments([comment_of_option(each) for each in comments], message or "")
    if file is not None:
        feedback.add(comments_of_file(file.read()))
    with context.client() as client:
        worker_id = worker_of(context, job_id, worker_id)
        commit = commit or _latest_commit(client.job(job_id), worker_id)
        if edit:
            feedback.add(_edited_comments(context, job_id, worker_id, commit))
        if not feedback.on_lines and not feedback.summary.strip():
            raise InvalidRequest(
                "no comments; nothing was sent; to write comments: "
                f"{COMMAND} feedback {job_id} {worker_id} --edit"
            )
        answer = client.feedback(
            job_id,
            worker_id,
            feedback.on_lines,
            commit=commit,
            summary=feedback.summary,
            agent=agent,
        )
    click.echo(json.dumps(answer) if context.as_json else _answer_text(answer, feedback))


def _latest_commit(job: Answer, worker_id: str) -> str:
    """Return the latest commit of the worker's branch.

    Raise NotFound for an unknown worker, and Conflict for a worker without a commit.
    """
    worker = next((each for each in job["workers"] if each["worker_id"] == worker_id), None)
    if worker is None:
        names = ", ".join(each["worker_id"] for each in job["workers"][:20])
        raise NotFound(f"job {job['job_id']} has no worker {worker_id!r}; workers: {names}")
    if not worker["commit"]:
        raise Conflict(
            f"{worker_id} ({worker['status']}) has no commit to comment on; see its files: "
            f"{COMMAND} status {job['job_id']}"
        )
    return str(worker["commit"])


def _edited_comments(context: CliContext, job_id: str, worker_id: str, commit: str) -> Comments:
    """Open the worker's diff in the user's editor. Return the comments that the user has added."""
    from orchestrator.cli.changes.diff import diff_of_worker

    context.work_on_project_of(job_id)
    diff = diff_of_worker(context, job_id, worker_id, None, False).decode("utf-8", "replace")
    text = _TEMPLATE.format(worker=worker_id, job=job_id, commit=commit[:12], diff=diff)
    return comments_of_diff(edited_text(text, ".diff", "nothing was sent") or "")


def _answer_text(answer: Answer, feedback: Comments) -> str:
    count = len(feedback.on_lines) + bool(feedback.summary)
    lines = [
        f"{answer['worker_id']}: attempt {answer['attempt']} gets {plural(count, 'comment')} "
        f"(run {answer['run']} of the job)",
        f"wait for the job: {COMMAND} wait {answer['job_id']}",
    ]
    if answer["landed"]:
        branches = ", ".join(answer["landed"])
        lines.append(
            f"{branches} has the earlier result; to land the new result when the job has ended: "
            f"{COMMAND} land {answer['job_id']}"
        )
    return "\n".join(lines)
