"""``orchestrator doctor``: possible problems of an installation, and how to fix them."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from orchestrator.cli.context import CliContext, json_option, pass_surroundings, project_option
from orchestrator.cli.doctor.agents import agent_checks
from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.cli.doctor.config import config_checks
from orchestrator.cli.doctor.install import install_checks
from orchestrator.cli.doctor.leftover_processes import leftover_check
from orchestrator.cli.doctor.machine import machine_checks
from orchestrator.cli.doctor.project import project_checks
from orchestrator.cli.doctor.server import server_checks
from orchestrator.cli.doctor.workers import containment_checks, mode_checks
from orchestrator.cli.output.exit_codes import ExitCode
from orchestrator.cli.output.terminal import printable

_MARKS = {True: click.style("ok  ", fg="green"), False: click.style("FAIL", fg="red"), None: "note"}


@click.command("doctor")
@json_option
@project_option
@pass_surroundings
def doctor_command(surroundings: CliContext) -> int:
    """Check the installation; exit code 1: a check failed."""
    checks = list(doctor(surroundings))
    ok = all(check.ok is not False for check in checks)
    if surroundings.as_json:
        click.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for check in checks:
            _print(check)
    return ExitCode.OK if ok else ExitCode.FAILED


def doctor(surroundings: CliContext) -> Iterator[HealthCheck]:
    """Yield every check, in the order in which to fix problems."""
    yield from install_checks(surroundings.folder)
    settings = None
    for check, found in config_checks(surroundings.folder, surroundings.environ):
        settings = found or settings
        yield check
    yield from project_checks(surroundings.folder, settings)
    yield from machine_checks(surroundings.workspace)
    yield from containment_checks(surroundings.folder, settings)
    yield leftover_check(surroundings.workspace)
    yield from server_checks(surroundings.workspace, settings)
    yield from mode_checks(settings, surroundings.environ)
    yield from agent_checks(surroundings.folder, settings, surroundings.environ)


def _print(check: HealthCheck) -> None:
    click.echo(f"{_MARKS[check.ok]}  {check.name}: {printable(check.message)}")
    if check.ok is not True:
        for line in printable(check.fix).splitlines():
            click.echo(f"      {line}")
