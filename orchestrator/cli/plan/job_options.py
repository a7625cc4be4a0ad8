"""The options with which ``run``, ``submit``, and ``continue`` describe a job."""

import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cli.command_line.parameters import Amount, Count, Seconds
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.plan.plan_file import read_plan, unchecked_plan
from orchestrator.core.lazy_dataclass import dataclass
from orchestrator.core.model.job_settings import AUTO, BY_WIRE_NAME, Setting, ValueKind

Command = TypeVar("Command", bound=Callable[..., Any])
Decorator = Callable[[Any], Any]

PLAN_FILE = click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path)


class RequestCommand(click.Command):
    """A command whose argument REQUEST may begin with a dash, such as in a bulleted list."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        texts = [] if "--" in args else [arg for arg in args if re.match(r"-+\s", arg)]
        if texts:
            args = [*(arg for arg in args if arg not in texts), "--", *texts]
        return super().parse_args(ctx, args)


@dataclass(frozen=True, kw_only=True)
class JobOptions:
    """The job that the user requests by options and a plan file.

    An option overrides the same setting of the plan file.
    """

    request: str
    tasks: tuple[Mapping[str, Any], ...] = ()
    config: Mapping[str, Any] = field(default_factory=dict)
    #: True if the user edits the plan in an editor before the job starts.
    edit_plan: bool = False
    #: Plan file whose fields have not been checked; None: there is no such plan file.
    unchecked_plan: Path | None = None

    @property
    def tasks_or_none(self) -> tuple[Mapping[str, Any], ...] | None:
        """The tasks of the plan file; None if a planner creates the tasks."""
        return self.tasks or None


def _one_text(
    ctx: click.Context, parameter: click.Parameter, arguments: tuple[str, ...]
) -> str | None:
    if len(arguments) > 1:
        raise click.UsageError(
            f"REQUEST must be one argument; put it in quotes: {shlex.quote(' '.join(arguments))}"
        )
    return arguments[0] if arguments else None


#: The argument REQUEST. If the user types several arguments, an error explains the quotes.
request_argument = click.argument("request", nargs=-1, metavar="[REQUEST]", callback=_one_text)


_TYPES: Mapping[ValueKind | tuple[str, ...], Any] = {
    ValueKind.COUNT: Count(min=1),
    ValueKind.COUNT_OR_ZERO: Count(min=0),
    ValueKind.SECONDS: Seconds(min=0, min_open=True),
    ValueKind.MONEY: Amount(min=0, min_open=True),
}


def options_of(*names: str) -> list[Decorator]:
    return [_option(BY_WIRE_NAME[name]) for name in names]


def _option(setting: Setting) -> Decorator:
    option = setting.option
    if option is None:
        raise LookupError(f"{setting.wire} has no option in the table of job settings")
    if setting.values is ValueKind.FLAG:
        return click.option(option.flag, setting.wire, is_flag=True, default=None, help=option.help)
    if setting.values is ValueKind.GATES:
        parameters: Mapping[str, Any] = {"multiple": True, "callback": _gates}
    else:
        parameters = {"type": _TYPES.get(setting.values, str)}
    return click.option(
        option.flag, setting.wire, metavar=option.value, help=option.help, **parameters
    )


#: Names of the settings that cap the usage of a job and its child jobs.
CAPS = ("max_cost_usd", "max_tokens", "max_steps")


def cap_options(command: Command) -> Command:
    """Add the options ``--max-cost``, ``--max-tokens``, and ``--max-steps``."""
    for decorator in reversed(options_of(*CAPS)):
        command = decorator(command)
    return command


#: The option ``--review``, whose value may be omitted.
review_option = click.option(
    "--review",
    is_flag=False,
    flag_value=AUTO,
    metavar="[AGENT]",
    help="Agent that reviews candidates (default: auto). Put this option after REQUEST.",
)


#: Order of the settings in ``--help``. All other settings come last.
FIRST = ("agent", "planner", "approve", "base", "include_dirty", "resolve")
SECOND = ("max_workers", "default_timeout", "max_recursion_depth", *CAPS)


def request_options(command: Command) -> Command:
    """Add the argument ``[REQUEST]``, the option ``--plan FILE``, and options for job settings."""
    ordered_names = (*FIRST, *SECOND)
    other_names = [
        name for name, row in BY_WIRE_NAME.items() if row.option and name not in ordered_names
    ]
    decorators = [
        request_argument,
        click.option(
            "--plan",
            "plan_path",
            type=PLAN_FILE,
            help="Plan file with the tasks (YAML); - for standard input.",
        ),
        *options_of(*FIRST),
        click.option(
            "--edit-plan", is_flag=True, help="Edit the plan in $EDITOR before the job starts."
        ),
        *options_of(*SECOND),
        review_option,
        *options_of(*other_names),
    ]
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def _gates(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> str | list[str] | None:
    # Return None without the option. Then the plan file or the server decides.
    if len(values) == 1 and values[0] in ("auto", "off"):
        return values[0]
    return list(values) or None


def job_of_options(
    request: str | None,
    plan_path: Path | None,
    *,
    edit_plan: bool = False,
    review: str | None = None,
    is_checked_later: bool = False,
    **flags: Any,
) -> JobOptions:
    """Return the job that the options and the plan file describe.

    Raise click.UsageError without a request, and InvalidRequest for an invalid plan.

    If ``is_checked_later`` is True, the check of the plan's fields may be skipped, to save time. If
    the check was skipped, the result's ``unchecked_plan`` is the plan file, otherwise None. If the
    server rejects the job, the caller must pass ``unchecked_plan`` to ``check_plan``, which reports
    the position of each error.
    """
    options = {name: value for name, value in flags.items() if value is not None}
    if request == "-":
        request = _from_stdin()
    if request is not None and not request.strip():
        raise click.UsageError("REQUEST is empty; describe the work")
    if plan_path:
        is_checked_now = edit_plan or review or not is_checked_later
        plan = None if is_checked_now else unchecked_plan(plan_path, request)
        is_unchecked = plan is not None
        plan = plan or read_plan(plan_path, request)
        if plan.has_empty_task_list:
            name = plan_path.name
            click.echo(
                f"{name}: 'tasks' is empty, so a planner splits the request into tasks", err=True
            )
        request_text = request or plan.request
        config = {**plan.config, **options}
        tasks = with_review(plan.tasks, review) if review else plan.tasks
        return JobOptions(
            request=request_text,
            tasks=tasks,
            config=config,
            edit_plan=edit_plan,
            unchecked_plan=plan_path if is_unchecked else None,
        )
    if review:
        raise click.UsageError(NO_CANDIDATES)
    if request is None:
        raise click.UsageError(
            "no request; pass it in quotes, pass - to read it from standard input, or --plan FILE"
        )
    return JobOptions(request=request, config=options, edit_plan=edit_plan)


def check_plan(plan_path: Path | None) -> None:
    """Raise InvalidRequest if the plan file is invalid, with the line and column of each error.

    Do nothing if ``plan_path`` is None.
    """
    if plan_path:
        read_plan(plan_path, None)


NO_CANDIDATES = (
    "--review needs a task with several agents; save the plan: "
    f"{COMMAND} plan REQUEST --yaml > plan.yaml; write agent: [claude, codex] in a task; then: "
    f"{COMMAND} run --plan plan.yaml --review"
)


def with_review(tasks: Sequence[Mapping[str, Any]], review: str) -> tuple[Mapping[str, Any], ...]:
    """Return copies of the tasks in which ``review`` is the reviewer of each task with candidates.

    If ``review`` is ``auto``, a task that names a reviewer keeps this reviewer. Raise
    click.UsageError if no task has candidates.
    """
    agents = [task.get("agent") for task in tasks]
    several = [isinstance(agent, list | tuple) and len(agent) > 1 for agent in agents]
    if not any(several):
        raise click.UsageError(NO_CANDIDATES)

    def reviewed(task: Mapping[str, Any]) -> Mapping[str, Any]:
        reviewer = task.get("review") if review == AUTO else ""
        return {**task, "review": reviewer or review}

    return tuple(reviewed(task) if has else task for has, task in zip(several, tasks, strict=True))


def _from_stdin() -> str:
    # For long requests: Linux limits an argument to 128 KiB.
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError(
            "the request on standard input is not UTF-8 text; convert it: iconv -t UTF-8"
        ) from None
