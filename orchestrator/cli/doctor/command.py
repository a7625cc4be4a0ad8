"""``orchestrator doctor``: possible problems of an installation, and how to fix them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from orchestrator import IS_INSTALLED
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import json_option, project_option
from orchestrator.cli.doctor.agents import agent_checks
from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.cli.doctor.config import config_checks
from orchestrator.cli.doctor.database import database_checks
from orchestrator.cli.doctor.install import install_checks
from orchestrator.cli.doctor.leftover_processes import leftover_check
from orchestrator.cli.doctor.machine import machine_checks, repository_space
from orchestrator.cli.doctor.project_tools import host_checks
from orchestrator.cli.doctor.server import server_checks
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal_text import pasteable
from orchestrator.core.errors import ContainmentUnavailable
from orchestrator.security.files.orchestrator_home import is_home
from orchestrator.security.files.product_files import FOLDER

if TYPE_CHECKING:
    from orchestrator.config import Settings

_MODE = "execution mode"
_MODE_FIX = (
    "run the server inside WSL, with interop on ([interop] enabled=true, appendWindowsPath=true "
    "in /etc/wsl.conf, then wsl --shutdown); or set orchestrator.execution_mode: native"
)


def containment_checks(folder: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    """Yield the check of the containment mode that this machine uses, then warnings.

    Each warning is about a requested setting that this mode does not enforce.
    """
    # Imported here, because these modules load slowly, and --help does not need them.
    from orchestrator.composition import containment_in_force
    from orchestrator.config import Settings

    try:
        containment = containment_in_force(folder, settings or Settings())
    except ContainmentUnavailable as error:
        message, *fix = error.message.split("; ")
        yield HealthCheck(name="containment", ok=False, message=message, fix="; ".join(fix))
        return
    yield HealthCheck(name="containment", ok=True, message=containment.mode)
    if exact := containment.exact_limits():
        yield HealthCheck(name="limits", ok=True, message=f"enforced exactly: {', '.join(exact)}")
    for weakness in containment.weaknesses():
        yield HealthCheck(name="containment", ok=None, message=weakness)


def mode_checks(settings: "Settings | None", environ: Mapping[str, str]) -> Iterator[HealthCheck]:
    if settings is None:
        return
    mode = str(settings.orchestrator.execution_mode)
    if mode == "windows":
        yield _windows_mode(environ)
    else:
        where = "inside WSL" if environ.get("WSL_DISTRO_NAME") else "on this system"
        yield HealthCheck(name=_MODE, ok=True, message=f"{mode}: workers run {where}")


def _windows_mode(environ: Mapping[str, str]) -> HealthCheck:
    from orchestrator.agents.ai_tools.invocation.windows_tools import missing_programs

    lacking = missing_programs(environ.get("PATH"))
    if lacking:
        message = f"windows: {' and '.join(lacking)} not found on the PATH"
        return HealthCheck(name=_MODE, ok=False, message=message, fix=_MODE_FIX)
    message = "windows: AI tools run on Windows with their logins; other programs run in WSL"
    return HealthCheck(name=_MODE, ok=True, message=message)


def project_checks(folder: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    from orchestrator.config.project_discovery import ProjectUnknown, project_of

    if settings is None:
        return
    try:
        project = project_of(settings, folder)
    except ProjectUnknown as error:
        message, _, lines = error.message.partition("\n")
        yield HealthCheck(name="project", ok=False, message=message, fix=lines)
        return
    yield HealthCheck(name="project", ok=True, message=f"{project.root} ({project.why})")
    workspace, least = settings.orchestrator.workspace_root, settings.workers.min_free_disk_bytes
    space = repository_space(project.root, workspace, least)
    if space is not None:
        yield space
    if not IS_INSTALLED:
        yield from _exclusion_checks(folder)
    yield from host_checks(folder, project.root)


def _exclusion_checks(folder: Path) -> Iterator[HealthCheck]:
    """Yield a note if git neither tracks nor ignores the folder in the project's repository."""
    from orchestrator.core.errors import RepositoryError
    from orchestrator.git.checkout.exclude_rules import exclude_command, tracked_below

    try:
        command = "" if tracked_below(folder) else exclude_command(folder)
    except (RepositoryError, OSError):
        return
    if command:
        message = f"git does not ignore {folder}; git add --all would add it to your commit"
        yield HealthCheck(name="git ignore", ok=None, message=message, fix=f"run {command}")


_MARKS = {True: click.style("ok  ", fg="green"), False: click.style("FAIL", fg="red"), None: "note"}


@click.command("doctor")
@json_option
@project_option
@pass_cli_context
def doctor_command(context: CliContext) -> int:
    """Check the installation, and show how to fix problems. Exit code 1: a check failed."""
    checks = list(doctor(context))
    ok = all(check.ok is not False for check in checks)
    if context.as_json:
        click.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for check in checks:
            click.echo(f"{_MARKS[check.ok]}  {check.name}: {pasteable(check.message)}")
            if check.ok is not True:
                for line in pasteable(check.fix).splitlines():
                    click.echo(f"      {line}")
    return ExitCode.OK if ok else ExitCode.FAILED


def _least_free_bytes(settings: "Settings | None") -> int:
    # Imported here, because this module loads slowly, and --help does not need it.
    from orchestrator.config import Settings

    return (settings or Settings()).workers.min_free_disk_bytes


def doctor(context: CliContext) -> Iterator[HealthCheck]:
    """Run all checks, and yield their results in the order in which to fix problems."""
    has_home = is_home(context.folder, context.environ)
    yield from install_checks(FOLDER if has_home else context.folder)
    settings = None
    for check, loaded_settings in config_checks(context.folder, context.environ):
        settings = loaded_settings or settings
        yield check
    yield from project_checks(context.folder, settings)
    yield from machine_checks(context.workspace, _least_free_bytes(settings))
    yield from database_checks(context.workspace, settings)
    yield from containment_checks(context.folder, settings)
    yield leftover_check(context.workspace)
    yield from server_checks(context.workspace, settings)
    yield from mode_checks(settings, context.environ)
    yield from agent_checks(context.folder, settings, context.environ)
