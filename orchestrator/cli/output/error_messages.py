"""Prints an error with the command to type next, and selects the exit code."""

import json
import re
from typing import Any

import click

from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.exit_codes import ExitCode, of_error
from orchestrator.cli.output.terminal_text import pasteable
from orchestrator.core.errors import (
    InvalidRequest,
    NoSuchJob,
    NotFound,
    OrchestratorError,
    summary_of,
)

_NEXT_STEP = {
    "no-server": f"start a server: {COMMAND} serve (or run one request: {COMMAND} run '...')",
    "server-unreachable": f"check the server: {COMMAND} doctor",
    "unauthorized": f"find the origin of the key: {COMMAND} config show --origin",
    "not-found": f"list the jobs: {COMMAND} jobs",
    "workspace-busy": f"use the running server: {COMMAND} submit '...'",
    "config": f"list all settings, with their defaults: {COMMAND} config template",
}
#: Click's name of an optional argument, such as ``'[JOB]'``.
_ARGUMENT = re.compile(r"'\[([A-Z]+)\](?:\.\.\.)?'")
#: Click's name of an argument with few values, such as ``'{bash|zsh}'``. The values follow.
_CHOICE = re.compile(r"value for '\{[^}']*\}': ")
#: Click's list of values after the name of a missing argument, one value per line.
_MISSING_CHOICE = re.compile(r" '\{[^}']*\}'\. Choose from:\s+(.*)", re.DOTALL)
#: Click's suggestion of similar names.
_SUGGESTION = re.compile(r"\. \(?Did you mean (.*\?)\)?$")


def report_error(
    error: OrchestratorError, as_json: bool, *, is_in_worker: bool = False
) -> ExitCode:
    """Print an error, and return its exit code. ``is_in_worker``: see ``CliContext``."""
    code = of_error(error)
    if as_json:
        click.echo(json.dumps(problem_of(error)), err=True)
        return code
    click.echo(f"Error: {pasteable(error.message)}", err=True)
    for name, value in (getattr(error, "left", None) or {}).items():
        click.echo(f"  remaining: {name} {value}", err=True)
    # A worker has only its own key.
    is_key_of_worker = is_in_worker and error.kind == "unauthorized"
    if step := None if is_key_of_worker else _next_step(error):
        click.echo(step, err=True)
    return code


def report_usage_error(error: click.ClickException, as_json: bool) -> None:
    """Print click's error for an invalid command line, with the usage of the command."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()  # the message is the help
        return
    message = _without_capitals(error.format_message())
    if isinstance(error, click.NoSuchCommand) and error.ctx and not error.possibilities:
        group = error.ctx.command
        names = group.list_commands(error.ctx) if isinstance(group, click.Group) else []
        message += f"; known: {', '.join(names)}"
    if as_json:
        click.echo(json.dumps(problem_of(InvalidRequest(message))), err=True)
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    if context is not None:
        usage = context.get_usage()
        click.echo(f"{usage}\nHelp: {context.command_path} --help\n", err=True)
    click.echo(f"Error: {message}", err=True)


def _without_capitals(message: str) -> str:
    """Convert an error of click to this product's form: parts with ``; `` between them."""
    message = message.replace("No such command", "unknown command")
    message = re.sub(r"(?<=: )(File|Directory|Path)(?= ')", lambda match: match[0].lower(), message)
    message = _MISSING_CHOICE.sub(lambda match: f"; use {_listed(match[1])}", message)
    message = _CHOICE.sub("value: ", _ARGUMENT.sub(r"'\1'", message))
    message = _SUGGESTION.sub(r"; did you mean \1", message).removesuffix(".")
    is_sentence = message[:1].isupper() and not message[1:2].isupper()
    return message[:1].lower() + message[1:] if is_sentence else message


def _listed(lines: str) -> str:
    *others, last = (each.strip(" ,\t") for each in lines.strip().splitlines())
    return f"{', '.join(others)}, or {last}"


def _next_step(error: OrchestratorError) -> str | None:
    problem = getattr(error, "problem", None) or {}
    lacks_job = isinstance(error, NoSuchJob) or problem.get("subject") == "job"
    # If a worker or report is missing, the message already lists the existing workers or reports.
    if error.kind == NotFound.kind and not lacks_job:
        return None
    return _NEXT_STEP.get(error.kind)


def problem_of(error: OrchestratorError) -> dict[str, Any]:
    """Return an error as a problem object (RFC 9457).

    If the error is an answer of the server, return the problem object in this answer.
    """
    problem = getattr(error, "problem", None)
    if problem is not None:
        return dict(problem)
    return {"type": error.kind, "title": summary_of(type(error)), "detail": error.message}
