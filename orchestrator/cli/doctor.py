"""``orchestrator doctor``: everything a user could have wrong, and how to mend it."""

import json
from collections.abc import Iterator
from dataclasses import asdict

import click

from orchestrator.cli.doctor_agents import agent_checks
from orchestrator.cli.doctor_config import config_checks
from orchestrator.cli.doctor_containment import containment_checks
from orchestrator.cli.doctor_install import install_checks
from orchestrator.cli.doctor_machine import machine_checks
from orchestrator.cli.doctor_mode import mode_checks
from orchestrator.cli.doctor_project import project_checks
from orchestrator.cli.doctor_server import server_checks
from orchestrator.cli.exit_codes import ExitCode
from orchestrator.cli.health_check import Check
from orchestrator.cli.surroundings import (
    Surroundings,
    json_option,
    pass_surroundings,
    project_option,
)
from orchestrator.cli.terminal import printable

_MARKS = {True: click.style("ok  ", fg="green"), False: click.style("FAIL", fg="red"), None: "note"}


@click.command("doctor")
@json_option
@project_option
@pass_surroundings
def doctor_command(surroundings: Surroundings) -> int:
    """Check the installation; exit 1 when something is wrong."""
    checks = list(doctor(surroundings))
    ok = all(check.ok is not False for check in checks)
    if surroundings.as_json:
        click.echo(json.dumps({"ok": ok, "checks": [asdict(check) for check in checks]}, indent=2))
    else:
        for check in checks:
            _print(check)
    return ExitCode.OK if ok else ExitCode.FAILED


def doctor(surroundings: Surroundings) -> Iterator[Check]:
    """Every check, in the order in which one would mend things."""
    yield from install_checks(surroundings.folder)
    settings = None
    for check, found in config_checks(surroundings.folder, surroundings.environ):
        settings = found or settings
        yield check
    yield from project_checks(surroundings.folder, settings)
    yield from machine_checks(surroundings.workspace)
    yield from containment_checks(surroundings.folder, settings)
    yield from server_checks(surroundings.workspace, settings)
    yield from mode_checks(settings, surroundings.environ)
    yield from agent_checks(surroundings.folder, settings, surroundings.environ)


def _print(check: Check) -> None:
    click.echo(f"{_MARKS[check.ok]}  {check.name}: {printable(check.message)}")
    if check.ok is not True:
        for line in printable(check.fix).splitlines():
            click.echo(f"      {line}")
