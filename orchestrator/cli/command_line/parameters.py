"""Arguments, options, and types of options that several commands have."""

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click

from orchestrator.cli.command_context import CliContext
from orchestrator.cli.output.terminal_text import ARGUMENTS

Command = TypeVar("Command", bound=Callable[..., Any])

#: Name of the newest job in place of a job's id.
LAST = "last"
_AGE = re.compile(r"([0-9]{1,9})\s*([smhdw])")
_SECONDS_OF = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def age(_: click.Context, __: click.Parameter, value: str) -> int:
    """Convert an age such as ``7d`` to seconds. Raise BadParameter for an invalid age."""
    match = _AGE.fullmatch(value.strip())
    if match is None:
        raise click.BadParameter("must be a number and a unit, such as 7d (units: s, m, h, d, w)")
    return int(match[1]) * _SECONDS_OF[match[2]]


class _Range:
    """Describes a range of numbers as text, such as ``1 or more``, in errors and in the help."""

    def _describe_range(self: Any) -> str:
        if self.max is None:
            return f"more than {self.min}" if self.min_open else f"{self.min} or more"
        return f"{self.min} to {self.max}"

    def fail(self: Any, message: str, *arguments: Any) -> NoReturn:
        message = message.replace("is not in the range", "is out of range; use")
        raise click.ParamType.fail(self, message, *arguments)


class Count(_Range, click.IntRange):
    """Type of an option whose value is a whole number."""

    #: Name of the type in error messages such as "'x' is not a valid whole number".
    name = "whole number"


class _Finite(_Range, click.FloatRange):
    """Rejects "nan" and "inf", which Python's ``float`` accepts."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a {self.name}, such as 300", param, ctx)
        return number


class Amount(_Finite):
    """Type of an option whose value is a number, such as an amount of money."""

    name = "number"


class Seconds(_Finite):
    """Type of an option whose value is a number of seconds."""

    name = "number of seconds"


def project_option(command: Command) -> Command:
    """Add the option ``--project``, the directory to work on."""

    def remember(
        click_context: click.Context, _: click.Parameter, value: Path | None
    ) -> Path | None:
        if value is not None:
            click_context.ensure_object(CliContext).use_project(value)
        return value

    option = click.option(
        "--project",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        callback=remember,
        expose_value=False,
        is_eager=True,  # the argument JOB may need the project's home
        metavar="DIR",
        help="Directory of the project (default: the parent of orchestrator's folder, or the "
        "repository around the current directory if orchestrator was installed as a package).",
    )
    return option(command)


def json_option(command: Command) -> Command:
    """Add the option ``--json``. It prints results and errors as JSON objects."""

    def remember(click_context: click.Context, _: click.Parameter, value: bool) -> bool:
        click_context.ensure_object(CliContext).as_json = value
        return value

    option = click.option(
        "--json",
        is_flag=True,
        callback=remember,
        expose_value=False,
        is_eager=True,  # an error about another argument is printed as JSON, too
        help="Print JSON.",
    )
    return option(command)


def bare_job_id(click_context: click.Context, _: click.Parameter, value: str | None) -> str | None:
    """Convert the name or path of a job's directory to the job's id; return None for None.

    Convert ``last`` to the id of the newest job. Raise BadParameter if ``value`` cannot name a job,
    and NotFound if there is no newest job.
    """
    if value is None:
        return None
    if value == LAST and not click_context.resilient_parsing:
        job_id = click_context.ensure_object(CliContext).newest_job_id()
        # A command that is printed for a confirmation must mean the same job later.
        arguments = list(click_context.meta.get(ARGUMENTS, [LAST]))
        arguments[arguments.index(LAST)] = job_id
        click_context.meta[ARGUMENTS] = tuple(arguments)
        return job_id
    name = value.rstrip("/").rpartition("/")[2].removeprefix("job_")
    if not name or name in (".", ".."):
        raise click.BadParameter(f"must be the id of a job, such as abc123, or {LAST!r}")
    return name


def job_argument(command: Command) -> Command:
    """Add the argument ``JOB``: a job id, the name or path of a job's directory, or ``last``."""
    return click.argument("job_id", metavar="JOB", callback=bare_job_id)(command)


def optional_job_argument(command: Command) -> Command:
    """Add the argument ``JOB``, as ``job_argument`` does, but optional: None if it is omitted."""
    argument = click.argument("job_id", metavar="[JOB]", required=False, callback=bare_job_id)
    return argument(command)
