"""``orchestrator demo``: a job with scripted agents, from its plan to the landed result."""

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option
from orchestrator.cli.demo.folder import DemoFailed, DemoFolder, new_folder
from orchestrator.cli.demo.story import Story
from orchestrator.cli.offline.jobs_on_disk import root_jobs
from orchestrator.cli.output.command_paths import COMMAND, path_here
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.core.text.command_name import IN_FOLDER

FORWARDED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
INTRODUCTION = """\
Four workers extend a small shop in parallel, each on its own git branch. Scripts replace AI agents.
The gate "tests" checks each change, and the changes that pass become one branch, which is landed.
"""


@click.command("demo")
@click.option(
    "--keep",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="New directory for the demo's files (default: a temporary directory).",
)
@json_option
@pass_cli_context
def demo_command(context: CliContext, keep: Path | None) -> int:
    """Run a job with scripted agents in a separate repository.

    Takes about 10 seconds. Needs git. Needs no AI tool, key, or network. Four workers run in
    parallel: one starts a child job, one is rejected by a gate and repairs its work, and one
    resolves a merge conflict. The result is landed. Your repository, config.yaml, and workspace do
    not change. The demo's files remain: the last lines of the output have commands that show the
    files, and a command that removes the files.
    """
    environ = context.environ
    folder = new_folder(keep, environ)
    demo = Demo(folder, folder.environment(environ), as_json=context.as_json)
    click.echo(f"{INTRODUCTION}demo: {folder.path}", err=True)
    base = folder.head(environ)
    code = demo.run()
    head = folder.head(environ)
    if code == ExitCode.OK and head == base:
        click.echo(f"Error: the result was not landed; main is still at {base[:12]}", err=True)
        code = ExitCode.FAILED
    demo.print_result(head if head != base else "")
    return code


class Demo:
    """One run of the demo, which executes the commands that a user would type."""

    def __init__(self, folder: DemoFolder, environ: dict[str, str], *, as_json: bool) -> None:
        self._folder = folder
        self._environ = environ
        self._as_json = as_json

    def run(self) -> int:
        """Run the plan and land its result.

        Return 0, or the exit code of the command that failed.
        """
        if code := self._run_command("run", "--plan", str(self._folder.plan)):
            return code
        return self._run_command("land", str(self._job()["job_id"]), "--yes")

    def print_result(self, landed: str) -> None:
        """Print the results, with commands to show the results and to remove the demo.

        ``landed``: the new commit of the branch main; "" if nothing was landed.
        """
        job = self._job()
        story = [*Story.of(job, self._folder.workspace).lines()] if job else []
        commands = dict(self._commands(str(job["job_id"]), landed)) if job else {}
        remove = f"rm -rf {shlex.quote(str(self._folder.path))}"
        if landed:
            story.append(f"the result was landed: main is at {landed[:12]}")
        if self._as_json:
            document = {
                "folder": str(self._folder.path),
                "project": str(self._folder.project),
                "job_id": job.get("job_id"),
                "status": job.get("status"),
                "landed": landed or None,
                "story": story,
                "commands": [*commands.values()],
                "remove": remove,
            }
            click.echo(json.dumps(document, indent=2))
            return
        if story:
            click.echo("\n".join(["", "What happened:", *(f"  {line}" for line in story), ""]))
        commands["Remove the demo"] = remove
        if landed:
            commands["Next, with your project"] = f'{COMMAND} run "Survey this repository"'
        for subject, command in commands.items():
            click.echo(f"{subject}:\n  {command}")

    def _commands(self, job_id: str, landed: str) -> Iterator[tuple[str, str]]:
        """Yield commands that show the demo's results, each with its purpose.

        The commands work in any directory.
        """
        program = shlex.quote(str(self._folder.command))
        yield "Workers, with the child job", f"{program} status {job_id}"
        yield "Report: results, merge, and files", f"{program} report {job_id}"
        if not landed:  # for example after Ctrl-C: there may be no result
            yield "Output of the workers", f"{program} logs {job_id}"
            return
        logs = f"{program} logs {job_id} worker_2"
        yield "Output of the worker whose changes a gate rejected", logs
        yield "Changes of the job", f"{program} diff {job_id}"
        project = shlex.quote(str(self._folder.project))
        yield "Landed commits", f"git -C {project} --no-pager log --graph --oneline"

    def _job(self) -> dict[str, Any]:
        return next(iter(root_jobs(self._folder.workspace)), {})

    def _run_command(self, *arguments: str) -> int:
        program = path_here(IN_FOLDER, str(self._folder.path), os.getcwd())
        click.echo(f"$ {program} {shlex.join(arguments)}", err=True)
        process = self._start(arguments)
        with _signals_forwarded_to(process):
            exit_code = process.wait()
        if exit_code == -signal.SIGINT:  # before the command handled the signal
            return ExitCode.INTERRUPTED
        return exit_code if exit_code >= 0 else ExitCode.FAILED

    def _start(self, arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
        try:
            return subprocess.Popen(
                # Run in the user's directory, so that the commands in the output work there.
                [str(self._folder.command), *arguments],
                env=self._environ,
                stdin=subprocess.DEVNULL,
                # With --json, standard output has one document only.
                stdout=subprocess.DEVNULL if self._as_json else None,
                # Only this process forwards signals to the command. Otherwise, the command would
                # get the terminal's signals twice.
                start_new_session=True,
            )
        except OSError as error:
            raise DemoFailed(
                f"{self._folder.command} cannot be run: {error.strerror}; name a directory on "
                f"another file system: {COMMAND} demo --keep DIR"
            ) from error


@contextmanager
def _signals_forwarded_to(process: "subprocess.Popen[bytes]") -> Iterator[None]:
    # When the command gets a signal, the command stops its job and its server.
    def forward(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    # Do not forward a signal that this process ignores, such as SIGHUP under nohup.
    handled = [number for number in FORWARDED if signal.getsignal(number) is not signal.SIG_IGN]
    previous_handlers = [(number, signal.signal(number, forward)) for number in handled]
    try:
        yield
    finally:
        for number, handler in previous_handlers:
            signal.signal(number, handler)
