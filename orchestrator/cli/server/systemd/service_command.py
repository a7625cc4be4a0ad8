"""``orchestrator service``: installs the home's server as a service of systemd."""

import os
import pwd
import re
import shlex
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import click

from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import project_option
from orchestrator.cli.offline.server_liveness import running_server
from orchestrator.cli.server.home_setup import prepare_home
from orchestrator.cli.server.systemd.folder_unit import (
    Account,
    check_owner,
    entry_point,
    unit_of,
    variables_not_in_unit,
)
from orchestrator.cli.server.systemd.manager import BOOTED, Manager, systemd_version
from orchestrator.cli.server.systemd.unit import Unit, folder_of
from orchestrator.core.errors import Conflict, InvalidRequest, Unavailable
from orchestrator.security.files.atomic_write import replace_file
from orchestrator.security.files.orchestrator_home import is_home

Command = TypeVar("Command", bound=Callable[..., Any])

DEFAULT_NAME = "orchestrator"


def unit_options(command: Command) -> Command:
    of_user = click.option(
        "--user",
        "of_user",
        is_flag=True,
        help="Use the service manager of your user; the service starts at login, not at boot.",
    )
    name = click.option(
        "--name",
        default=DEFAULT_NAME,
        show_default=True,
        callback=_unit_name,
        metavar="NAME",
        help="Name of the unit.",
    )
    return of_user(name(command))


def _unit_name(_: click.Context, __: click.Parameter, name: str) -> str:
    bare = name.removesuffix(".service")
    if not re.fullmatch(r"[A-Za-z0-9:_.@-]{1,200}", bare) or "@" in bare:
        raise click.BadParameter("use only letters, digits, ':', '-', '_', and '.'")
    return bare


run_as_option = click.option(
    "--run-as", metavar="NAME", help="User that the server runs as (default: owner of workspace/)."
)


@click.group("service")
def service_command() -> None:
    """Run the server as a service of systemd."""


@service_command.command("install")
@unit_options
@run_as_option
@project_option
@pass_cli_context
def install_command(context: CliContext, of_user: bool, name: str, run_as: str | None) -> None:
    """Write the unit, and start the service now and at each boot.

    Idempotent: run the command again after a change of paths, users, or agents.
    """
    manager = Manager(of_user=of_user)
    path = _path(context, manager, name)
    _check_manager(context, manager)
    _check_unit_file(path, manager, context, "install")
    prepare_home(context.folder, context.environ, partial(click.echo, err=True))
    unit = _unit(context, manager, run_as)
    is_active = manager.output_of("is-active", path.name) == "active"
    if not is_active:
        _check_no_server(context)
    changed = _write(path, unit.text())
    manager.run("daemon-reload")
    manager.run("enable", path.name)
    if not is_active:
        _start(manager, path.name)
    _show_installed(context, manager, path, unit, needs_restart=is_active and changed)


@service_command.command("show")
@unit_options
@run_as_option
@project_option
@pass_cli_context
def show_command(context: CliContext, of_user: bool, name: str, run_as: str | None) -> None:
    """Print the unit, and do not install it."""
    # systemd can start the service only in an existing directory.
    prepare_home(context.folder, context.environ, partial(click.echo, err=True))
    manager = Manager(of_user=of_user)
    unit = _unit(context, manager, run_as)
    click.echo(unit.text(), nl=False)
    path = _path(context, manager, name)
    options = ["--user"] * of_user + (["--run-as", run_as] if run_as else [])
    install = f"{_command(context, 'install', path.stem)} {shlex.join(options)}".rstrip()
    click.echo(f"this command only shows the unit; to write it to {path}: {install}", err=True)


@service_command.command("uninstall")
@unit_options
@pass_cli_context
def uninstall_command(context: CliContext, of_user: bool, name: str) -> None:
    """Stop the service and remove its unit; jobs and settings stay."""
    manager = Manager(of_user=of_user)
    path = _path(context, manager, name)
    if not path.exists():
        click.echo(f"nothing to remove: {path} does not exist")
        return
    _check_unit_file(path, manager, context, "uninstall")
    if manager.is_running(context):
        manager.run("disable", "--now", path.name)
    path.unlink()
    if manager.is_running(context):
        manager.run("daemon-reload")
        manager.output_of("reset-failed", path.name)
    click.echo(f"removed {path}; jobs stay in {context.workspace}")


def _unit(context: CliContext, manager: Manager, run_as: str | None) -> Unit:
    if manager.of_user and run_as:
        raise InvalidRequest("--user and --run-as conflict: with --user, the server runs as you")
    workspace = context.workspace
    directory = workspace if workspace.exists() else context.folder
    if manager.of_user:
        account = Account.named(pwd.getpwuid(os.getuid()).pw_name)
    elif run_as:
        account = Account.named(run_as)
    else:
        account = Account.owner_of(directory)
        if account.uid == 0:
            raise InvalidRequest(
                f"{directory} belongs to root; the service's workers could change the whole "
                "machine; give the folder to another user: "
                f"sudo chown -R USER: {shlex.quote(str(context.folder))}; "
                "or accept the risk: --run-as root"
            )
    check_owner(account, directory)
    unit = unit_of(
        context,
        account,
        for_user=manager.of_user,
        has_user_namespace=manager.can_restrict_files(context),
        systemd_version=systemd_version(),
    )
    if not unit.restricts_files:
        click.echo(
            "the service can write to all your files, because user namespaces do not work here; "
            "to restrict the service, allow user namespaces and repeat this command, or install "
            f"a system service: {_command(context, 'install', DEFAULT_NAME)}",
            err=True,
        )
    return unit


def _path(context: CliContext, manager: Manager, name: str) -> Path:
    return manager.directory(context) / f"{name}.service"


def _check_manager(context: CliContext, manager: Manager) -> None:
    if manager.is_running(context):
        return
    program = entry_point(context)
    show = shlex.join([*program, "service", "show", *(["--user"] * manager.of_user)])
    if manager.of_user and BOOTED.is_dir():
        user = pwd.getpwuid(os.getuid()).pw_name
        raise Unavailable(
            f"systemd does not run services for {user} here; nothing was changed; "
            f"type: sudo loginctl enable-linger {user}, then log in again"
        )
    raise Unavailable(
        "systemd does not run on this machine; nothing was changed; "
        f"to start the server without systemd: {shlex.join([*program, 'serve'])}; "
        f"or, to write the unit for another machine: {show} > orchestrator.service"
    )


def _check_unit_file(path: Path, manager: Manager, context: CliContext, verb: str) -> None:
    """Raise Conflict if the file ``path`` exists, and is not the unit of this home.

    Raise Unavailable if this user may not write the file. ``verb``: the command in the message.
    """
    if path.exists():
        owner = folder_of(path.read_text("utf-8", "replace"))
        if owner != str(context.folder):
            usage = f"serves {owner}" if owner else "was not written by this command"
            raise Conflict(
                f"{path} {usage}; nothing was changed; choose another name: --name {path.stem}-2"
            )
    if not manager.of_user and not os.access(path.parent, os.W_OK):
        command = _command(context, verb, path.stem)
        as_root = f"sudo {command}"
        if verb == "install" and is_home(context.folder, context.environ):
            # Root must not use the settings of a home that belongs to another user.
            show = _command(context, "show", path.stem)
            enable = shlex.join(["sudo", "systemctl", "enable", "--now", str(path)])
            as_root = f"{show} | sudo tee {path} && {enable}"
        raise Unavailable(
            f"only root may change {path.parent}; nothing was changed; type: {as_root}; "
            f"or, for a service of your user: {command} --user"
        )


def _command(context: CliContext, verb: str, name: str) -> str:
    options = [] if name == DEFAULT_NAME else ["--name", name]
    return shlex.join([*entry_point(context), "service", verb, *options])


def _check_no_server(context: CliContext) -> None:
    record = running_server(context.workspace)
    if record is not None:
        raise Conflict(
            f"a server is already running (pid {record.pid}), but not as this service; nothing was "
            f"changed; stop this server: kill {record.pid}"
        )


def _write(path: Path, text: str) -> bool:
    """Write the unit, and return True. Return False if the file already has this text."""
    if path.exists() and path.read_bytes() == text.encode():
        return False
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    replace_file(path, text.encode(), mode=0o644)
    return True


def _start(manager: Manager, unit: str) -> None:
    try:
        manager.run("start", unit)
    except Unavailable as error:
        log = shlex.join(["journalctl", *(["--user"] * manager.of_user), "-n", "20", "-u", unit])
        raise Unavailable(f"{error.message}; the reason is in the service's log: {log}") from error


def _show_installed(
    context: CliContext, manager: Manager, path: Path, unit: Unit, needs_restart: bool
) -> None:
    systemctl = shlex.join(manager.command)
    of_user = " --user" * manager.of_user
    sudo = "" if manager.of_user else "sudo "
    record = running_server(context.workspace)
    click.echo(f"wrote {path}; the server runs as {unit.user or 'you'}")
    if record is not None:
        click.echo(f"serving at {record.url} for the project {unit.project}")
    if needs_restart:
        click.echo(f"to apply the change: {sudo}{systemctl} restart {path.stem}")
    click.echo(f"status:  {systemctl} status {path.stem}")
    click.echo(f"log:     journalctl{of_user} -f -u {path.stem}")
    command = _command(context, "uninstall", path.stem)
    click.echo(f"remove:  {sudo}{command}{of_user}")
    if manager.of_user:
        click.echo(
            "to start the service at boot, and to keep it running after you log out: "
            "loginctl enable-linger"
        )
    if names := variables_not_in_unit(context.environ):
        click.echo(
            f"the service does not get these environment variables: {', '.join(names)}; set them "
            "in config.yaml, or in the file that the unit names as EnvironmentFile",
            err=True,
        )
