"""``orchestrator attach``: opens the session of a worker's AI tool in the user's terminal."""

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.agents_in_help import AgentsInHelp
from orchestrator.cli.command_line.parameters import job_argument, project_option
from orchestrator.cli.offline.jobs_on_disk import directory_of, root_id_of, whole_job
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.status_answer import all_tasks, tasks_of
from orchestrator.cli.output.terminal_text import pasteable
from orchestrator.cli.worker_names import worker_of
from orchestrator.core.errors import Conflict, NotFound, OrchestratorError
from orchestrator.core.model.job import Worker
from orchestrator.core.model.states import ENDED_JOB, ENDED_WORKER, SUCCEEDED_WORKER
from orchestrator.core.outcome.job.unmerged_changes import include_commands, merge_commands
from orchestrator.core.text.formatting import plural

if TYPE_CHECKING:
    from orchestrator.composition.attached_session import SessionChanges, Terminal

Answer = Mapping[str, Any]

#: Signals that the terminal sends to this process and to the AI tool. This process ignores them, so
#: that only the tool reacts.
_TERMINAL_SIGNALS = (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP)


@click.command("attach", cls=AgentsInHelp, is_listed=lambda agent: agent.resumes)
@job_argument
@click.argument("worker_id", metavar="WORKER")
@project_option
@pass_cli_context
def attach_command(context: CliContext, job_id: str, worker_id: str) -> int:
    """Open the session of WORKER's AI tool in this terminal.

    The tool is {agents}. WORKER must have ended. The session runs in WORKER's worktree, which is
    recreated from WORKER's branch. When the session ends, all changes are committed on this branch,
    with you as author. The last lines of the output have the command that merges the changes. Works
    with or without a running server.
    """
    from orchestrator.composition import AttachedSession

    context.check_not_in_worker("attach")
    context.work_on_project_of(job_id)
    worker_id = worker_of(context, job_id, worker_id)
    job = whole_job(context.workspace, job_id)
    row = _row(job, worker_id)
    if row["status"] not in ENDED_WORKER:
        raise Conflict(
            f"{worker_id} is {row['status']}; attach needs a worker that has ended; follow its "
            f"log: {COMMAND} logs {row['job_id']} {worker_id} -f; or cancel its job: {COMMAND} "
            f"cancel {job_id}"
        )
    if not sys.stdin.isatty():
        raise Conflict("attach needs a terminal; no session was opened")
    session = AttachedSession(context.folder, context.environ, _worker(context, job_id, row))
    changes = session.run(_in_this_terminal)
    _print_result(context, job, row, changes)
    return ExitCode.OK if changes.exit_code == 0 else ExitCode.FAILED


def _row(job: Answer, worker_id: str) -> Answer:
    rows = {row["worker_id"]: row for row in all_tasks(tasks_of(job))}
    if worker_id not in rows:
        names = ", ".join(list(rows)[:20])
        raise NotFound(f"job {job['job_id']} has no worker {worker_id}; its workers: {names}")
    return rows[worker_id]


def _worker(context: CliContext, job_id: str, row: Answer) -> Worker:
    """Return the worker of ``row``, one row of a job's status.

    Raise Conflict if the worker has no directory.
    """
    root = directory_of(context.workspace, job_id)
    name = row["worker_id"]
    directory = next(root.glob(f"depth_*/{name}"), None)
    if directory is None:
        raise Conflict(f"{name} has no directory yet; attach again when the worker has started")
    return Worker(
        id=name,
        job_id=row["job_id"],
        root_id=root.name.removeprefix("job_"),
        task_id=row["task_id"],
        index=0,
        depth=int(directory.parent.name.removeprefix("depth_")),
        agent=row["agent"],
    )


def _in_this_terminal(terminal: "Terminal") -> int:
    click.echo(f"session {terminal.session} in {terminal.cwd}", err=True)
    click.echo("changes in this directory are committed when the session ends", err=True)
    try:
        child = subprocess.Popen(
            terminal.argv, cwd=terminal.cwd, env=terminal.environ, pass_fds=(terminal.lock,)
        )
    except OSError as error:
        raise Conflict(f"{terminal.argv[0]} cannot be started: {error.strerror}") from error
    with child, _signals_passed_on(child):
        return child.wait()


@contextmanager
def _signals_passed_on(child: "subprocess.Popen[bytes]") -> Iterator[None]:
    # The tool gets the terminal's signals, so this process ignores these signals. This process
    # forwards SIGTERM to the tool.
    previous_handlers = {each: signal.signal(each, lambda *_: None) for each in _TERMINAL_SIGNALS}
    previous_handlers[signal.SIGTERM] = signal.signal(signal.SIGTERM, lambda *_: child.terminate())
    try:
        yield
    finally:
        for number, handler in previous_handlers.items():
            signal.signal(number, handler)


def _print_result(context: CliContext, job: Answer, row: Answer, changes: "SessionChanges") -> None:
    name, job_id = row["worker_id"], row["job_id"]
    if changes.exit_code:
        click.echo(f"the tool exited with code {changes.exit_code}", err=True)
    for path in changes.held_back:
        click.echo(f"not committed (git.never_commit): {path}", err=True)
    if not changes.files:
        click.echo(f"{name}: no changes")
        return
    _recount(context, job_id, name)
    files = plural(len(changes.files), "file")
    click.echo(f"{name}: {files} changed, committed on {changes.branch} ({changes.commit[:12]})")
    click.echo(f"to show the changes: {COMMAND} diff {job_id} {name}", err=True)
    root = whole_job(context.workspace, root_id_of(context.workspace, job_id))
    ancestor_ids = list(_ancestors(root, job_id))
    is_merged_by_default = row["status"] in SUCCEEDED_WORKER and row.get("chosen") is not False
    command = (
        merge_commands("", job_id, ancestor_ids)
        if is_merged_by_default
        else include_commands(name, job_id, ancestor_ids)
    )
    when = "" if root["status"] in ENDED_JOB else f" when job {root['job_id']} has ended"
    click.echo(f"to merge the changes{when}: {pasteable(command)}", err=True)


def _recount(context: CliContext, job_id: str, worker_id: str) -> None:
    # The changes are committed already, so an error is only printed.
    try:
        client = context.client_if_running()
        if client is not None:
            with client:
                client.recount(job_id, worker_id)
            return
        from orchestrator.composition import local_service

        with local_service(context.folder, context.environ) as (service, caller):
            service.checkpoints.recount(caller, job_id, worker_id)
    except OrchestratorError as error:
        click.echo(
            f"changes were committed, but the job's file list was not updated: {error}", err=True
        )


def _ancestors(root: Answer, job_id: str) -> Iterator[str]:
    """Yield the ids of the job's ancestors, from its parent job to the root job."""
    parents = {each["job_id"]: each.get("parent_job_id") for each in root.get("child_jobs") or ()}
    while parent := parents.get(job_id):
        yield parent
        job_id = parent
