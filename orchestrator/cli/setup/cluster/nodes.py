"""``orchestrator nodes``: manages the machines that run workers."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestrator import IS_INSTALLED
from orchestrator.cli.command_context import CliContext, pass_cli_context
from orchestrator.cli.command_line.parameters import Amount, Count, json_option
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.output.terminal_text import pasteable
from orchestrator.core.errors import ConfigError
from orchestrator.core.model.machines import LABEL_PATTERN
from orchestrator.core.text.command_name import IN_FOLDER
from orchestrator.schemas.fields.bounded_types import PATTERN_WORDS
from orchestrator.security.files.product_files import product_file

if TYPE_CHECKING:
    from orchestrator.launchers.cluster.connection.node_registry import NodeEntry, NodeRegistry

_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DAYS = 730.0
_HEADS = (
    "NAME",
    "STATE",
    "SLOTS",
    "WAITING",
    "MEMORY",
    "DISK",
    "FILES",
    "SEEN",
    "LABELS",
    "AGENTS",
)
_GIB = 1024**3
#: Text in the column FILES, by the value of the field ``own_files``.
_FILES = {True: "own", False: "shared", None: "-"}
INIT = f"{COMMAND} nodes init --address HOST:PORT"

days_option = click.option(
    "--days",
    type=Amount(min=0, min_open=True),
    default=_DAYS,
    show_default=True,
    metavar="N",
    help="Days for which the certificate is valid.",
)


def _checked_name(_: click.Context, __: click.Parameter, name: str) -> str:
    if not _NAME.fullmatch(name):
        raise click.BadParameter(
            "must have 1 to 63 letters, digits, '.', '-', and '_', and must begin and end with a "
            "letter or digit"
        )
    return name


def _labels(labels: Iterable[str]) -> dict[str, str]:
    """Convert texts such as ``gpu=true`` to labels. Raise click.BadParameter for invalid labels."""
    label_values = dict(part.partition("=")[::2] for part in labels)
    for part in (*label_values, *label_values.values()):
        if not re.fullmatch(LABEL_PATTERN, part):
            raise click.BadParameter(
                f"write NAME=VALUE, such as gpu=true: each part has {PATTERN_WORDS[LABEL_PATTERN]}"
            )
    return label_values


name_argument = click.argument("name", callback=_checked_name)


@click.group("nodes", invoke_without_command=True)
@json_option
@click.pass_context
@pass_cli_context
def nodes_command(context: CliContext, click_context: click.Context) -> None:
    """List and manage the machines that run workers.

    Without a command, lists the machines. To add a machine, run `nodes add` here, and then `node
    join` on the machine.
    """
    if click_context.invoked_subcommand is None:
        _list(context)


@nodes_command.command("list")
@json_option
@pass_cli_context
def list_command(context: CliContext) -> None:
    """List the machines, as `nodes` does without a command."""
    _list(context)


@nodes_command.command("init")
@click.option(
    "--address",
    "addresses",
    required=True,
    multiple=True,
    metavar="HOST:PORT",
    help="Address at which nodes reach the server, such as head.lan:8786 (repeatable).",
)
@days_option
@pass_cli_context
def init_command(context: CliContext, addresses: tuple[str, ...], days: float) -> None:
    """Create the certificates of a cluster.

    Repeat the command to renew the server's certificate, or to change the addresses. Nodes try all
    addresses, and connect to the server that answers.
    """
    from orchestrator.cli.server.home_setup import prepare_home
    from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority
    from orchestrator.launchers.cluster.connection.server_addresses import host_and_port

    (_, port), *_ = map(host_and_port, addresses)
    if not context.folder.exists():
        prepare_home(context.folder, context.environ, partial(click.echo, err=True))
    directory = _directory(context)
    authority = CertificateAuthority(directory)
    if not authority.exists:
        authority.create()
    authority.renew_server(days)
    _registry(context).init(*dict.fromkeys(addresses))
    click.echo(f"Certificates: {directory}")
    click.echo("Add this to config.yaml, and restart the server:", err=True)
    click.echo(f'cluster: {{listen: "0.0.0.0:{port}"}}')
    click.echo(f"Then add machines: {COMMAND} nodes add NAME", err=True)


@nodes_command.command("add")
@name_argument
@click.option(
    "--slots",
    type=Count(1, 10_000),
    metavar="N",
    help="Maximum number of workers that run in parallel (default: the node's processors).",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="Label of the node, such as gpu=true (repeatable).",
)
@days_option
@json_option
@pass_cli_context
def add_command(
    context: CliContext, name: str, slots: int | None, labels: tuple[str, ...], days: float
) -> None:
    """Create a join file for the machine NAME.

    Prints the commands that copy and use the file. If the node NAME exists, its former certificate
    becomes invalid.
    """
    from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority
    from orchestrator.launchers.cluster.connection.node_registry import NodeEntry
    from orchestrator.launchers.cluster.node.join_file import JoinFile

    authority, registry = CertificateAuthority(_directory(context)), _registry(context)
    if not authority.exists:
        raise ConfigError(f"the cluster has no certificates; create them: {INIT}")
    issued = authority.issue(name, days)
    path = _directory(context) / f"{name}.join"
    join_file = JoinFile(
        name=name,
        address=registry.address,
        addresses=registry.addresses,
        authority=authority.certificate,
        certificate=issued.certificate,
        key=issued.key,
    )
    join_file.write(path)
    former_entry = registry.entries().get(name)
    former = former_entry.labels if former_entry else {}
    registry.put(
        NodeEntry(
            name=name, serial=issued.serial, slots=slots, labels={**former, **_labels(labels)}
        )
    )
    copy = f"scp -p {shlex.quote(str(path))} {name}:"
    join = f"{_program_path()} node join {shlex.quote(str(path))}"
    if context.as_json:
        click.echo(json.dumps({"name": name, "join_file": str(path), "copy": copy, "join": join}))
        return
    click.echo(
        f"On {name}, if orchestrator's folder and the workspace have the same paths there as here:",
        err=True,
    )
    click.echo(join)
    click.echo("Otherwise, copy the join file, which has a private key:", err=True)
    click.echo(copy)
    where = "" if IS_INSTALLED else ", in orchestrator's folder"
    click.echo(f"Then on {name}{where}:", err=True)
    program = "orchestrator" if IS_INSTALLED else IN_FOLDER
    click.echo(f"{program} node join ~/{name}.join --own-files")


@nodes_command.command("drain")
@name_argument
@click.option("--off", is_flag=True, hidden=True)
@pass_cli_context
def drain_command(context: CliContext, name: str, off: bool) -> None:
    """Start no more workers on the node NAME.

    Running workers of the node continue.
    """
    _set_drained(context, name, not off)


@nodes_command.command("undrain")
@name_argument
@pass_cli_context
def undrain_command(context: CliContext, name: str) -> None:
    """Let workers start on the node NAME again."""
    _set_drained(context, name, False)


def _set_drained(context: CliContext, name: str, is_drained: bool) -> None:
    _registry(context).change(name, is_drained=is_drained)
    click.echo(f"{name}: {'no more workers start' if is_drained else 'new workers may start'}")


@nodes_command.command("label")
@name_argument
@click.argument("changes", nargs=-1, required=True, metavar="NAME=VALUE|NAME-...")
@pass_cli_context
def label_command(context: CliContext, name: str, changes: tuple[str, ...]) -> None:
    """Set labels of the node NAME (gpu=true), or remove labels (zone-).

    A task with `requires: {gpu: true}` runs only on machines with this label.
    """
    registry = _registry(context)
    registry.change(name)
    labels = dict(registry.entries()[name].labels)
    for removed in [each for each in changes if each.endswith("-") and "=" not in each]:
        labels.pop(removed.removesuffix("-"), None)
    labels |= _labels([each for each in changes if "=" in each or not each.endswith("-")])
    registry.change(name, labels=labels)
    text = " ".join(f"{each}={value}" for each, value in sorted(labels.items()))
    click.echo(f"{name}: {text or 'no labels'}")


@nodes_command.command("remove")
@name_argument
@pass_cli_context
def remove_command(context: CliContext, name: str) -> None:
    """Remove the node NAME and reject its certificate.

    The node's workers start again on other machines.
    """
    _registry(context).remove(name)
    (_directory(context) / f"{name}.join").unlink(missing_ok=True)
    click.echo(f"{name}: removed")


@nodes_command.command("forget")
@name_argument
@pass_cli_context
def forget_command(context: CliContext, name: str) -> None:
    """Start the workers of an unreachable node on other machines.

    Without this command, the workers start on other machines when the node's lease ends. Use the
    command only if the machine NAME is switched off. Otherwise, the node's workers run twice.
    """
    _registry(context).forget(name)
    click.echo(f"if {name} is unreachable, its workers start again on other machines")


def _program_path() -> str:
    # Return the absolute path, because another machine may have the product's folder at this path.
    return COMMAND if IS_INSTALLED else shlex.quote(str(product_file(IN_FOLDER)))


def _directory(context: CliContext) -> Path:
    from orchestrator.config import load

    loaded = load(context.folder, environ=context.environ)
    return loaded.settings.cluster.certificates


def _registry(context: CliContext) -> "NodeRegistry":
    from orchestrator.launchers.cluster.connection.node_registry import NodeRegistry

    return NodeRegistry(_directory(context))


def _list(context: CliContext) -> None:
    client = context.client_if_running()
    if client is None:
        entries = _registry(context).entries().values()
        nodes: list[dict[str, Any]] = [_without_server(node) for node in entries]
    else:
        with client:
            nodes = client.nodes()["nodes"]
    if context.as_json:
        click.echo(json.dumps({"nodes": nodes}, indent=2))
        return
    if not nodes:
        click.echo(f"no nodes; {_first_step(context)}", err=True)
        return
    rows = [_HEADS, *map(_row, nodes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADS))]
    for row, node in zip(rows, [None, *nodes], strict=True):
        line = "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        click.echo(line.rstrip())
        if node and node["notice"]:
            click.echo(f"  {node['notice']}")
    for fix in fixes(nodes):
        click.echo(fix, err=True)


def _first_step(context: CliContext) -> str:
    """Return the user's next step to add the first node, such as ``add a node: ...``."""
    from orchestrator.config import load
    from orchestrator.launchers.cluster.connection.certificates import CertificateAuthority

    loaded = load(context.folder, environ=context.environ)
    cluster = loaded.settings.cluster
    if not CertificateAuthority(cluster.certificates).exists:
        return f"before you add a node, create certificates: {INIT}"
    if not cluster.listen:
        return "before you add a node, set cluster.listen in config.yaml, and restart the server"
    return f"add a node: {COMMAND} nodes add NAME"


def fixes(nodes: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield lines about unusable agents: the agent, its nodes, the reason, and the fix.

    Nodes with the same agent, reason, and fix share one line.
    """
    names: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        for agent in node["unusable_agents"]:
            text = "; ".join(
                [agent["reason"], *(["; then ".join(agent["fix"])] if agent["fix"] else [])]
            )
            names.setdefault((agent["name"], text), []).append(node["name"])
    for (agent, text), node_names in names.items():
        yield f"{agent} on {', '.join(node_names)}: {pasteable(text)}"


def _row(node: dict[str, Any]) -> tuple[str, ...]:
    seen_seconds = node["seen_seconds"]
    return (
        node["name"],
        node["state"],
        f"{node['running']}/{node['slots'] or '-'}",
        str(node["waiting"]),
        _size_text(node["memory_bytes"]),
        _size_text(node["disk_bytes"]),
        _FILES[node.get("own_files")],
        "-" if seen_seconds is None else f"{seen_seconds:.1f} s",
        ",".join(f"{name}={value}" for name, value in sorted(node["labels"].items())) or "-",
        ", ".join(node["agents"]) or "-",
    )


def _size_text(number: int | None) -> str:
    return "-" if number is None else f"{number / _GIB:.1f} GiB"


def _without_server(entry: "NodeEntry") -> dict[str, Any]:
    return {
        "name": entry.name,
        "state": "drained" if entry.is_drained else "unknown",
        "drained": entry.is_drained,
        "slots": entry.slots or 0,
        "running": 0,
        "waiting": 0,
        "agents": [*entry.agents],
        "unusable_agents": [],
        "labels": dict(entry.labels),
        "memory_bytes": None,
        "disk_bytes": None,
        "own_files": None,
        "address": "",
        "version": "",
        "seen_seconds": None,
        "clock_skew_seconds": 0.0,
        "notice": "no server is running",
    }
