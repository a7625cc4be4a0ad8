"""Doctor's checks of the server: its record, its port, and its nodes."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.api.client.server_record import RECORD_NAME, ServerRecord, read_record
from orchestrator.cli.doctor.check import HealthCheck, quoted
from orchestrator.cli.offline.server_liveness import (
    running_server,
    silent_server,
    stopped_server,
    uses_previous_code,
)
from orchestrator.cli.output.command_paths import COMMAND
from orchestrator.cli.server.background_server import is_free
from orchestrator.core.errors import ConfigError

if TYPE_CHECKING:
    from orchestrator.config import Settings

#: Maximum harmless difference between the clocks of a node and of the server, in seconds.
_MOST_SKEW_SECONDS = 1.0
#: Timeout of the connection to Dask's scheduler, in seconds.
_SCHEDULER_SECONDS = 2.0


def server_checks(workspace: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    if settings is not None and settings.cluster.listen and settings.cluster.scheduler:
        yield scheduler_check(settings.cluster.scheduler)
    record = running_server(workspace)
    if record is not None:
        yield HealthCheck(name="server", ok=True, message=f"{record.url} (pid {record.pid})")
        if uses_previous_code(record):
            fix = f"restart the server: kill {record.pid}; then: {COMMAND} serve"
            message = "the running server still uses the previous code"
            yield HealthCheck(name="server code", ok=False, message=message, fix=fix)
        yield from _ready(record)
        yield from _key(record, settings)
        return
    if pid := stopped_server(workspace):
        yield HealthCheck(
            name="server",
            ok=False,
            message=f"the server is stopped (process {pid})",
            fix=f"kill -CONT {pid}",
        )
        return
    if record := silent_server(workspace):
        message = f"the server gives no answer at {record.url}"
        yield HealthCheck(name="server", ok=False, message=message, fix=f"kill {record.pid}")
        return
    yield _record(workspace)
    if settings is not None:
        yield _port(settings)


def _ready(record: ServerRecord) -> Iterator[HealthCheck]:
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.client import ApiError, ClientError

    try:
        with OrchestratorClient(record.url, retry_seconds=0) as client:
            answer = client.health()
    except ApiError as error:
        answer = error.problem
    except ClientError:
        return  # the server has exited since the record was read
    states: Mapping[str, str] = answer.get("checks") or {}
    failed_checks = [f"{name}: {state}" for name, state in states.items() if state != "ok"]
    message = "; ".join(failed_checks) or str(answer.get("paused") or "")
    if message:
        fix = (
            "fix the reported cause; then the server continues automatically; details: "
            "logs/orchestrator.log"
        )
        yield HealthCheck(name="server ready", ok=False, message=message, fix=fix)


def _record(workspace: Path) -> HealthCheck:
    path = workspace / RECORD_NAME
    if not path.exists():
        return HealthCheck(name="server", ok=None, message="not running")
    record = read_record(workspace)
    if record is None:
        fix = f"rm {quoted(path)}"
        return HealthCheck(name="server", ok=False, message=f"{path} cannot be read", fix=fix)
    message = f"{path} is stale: no answer from {record.url} (pid {record.pid})"
    return HealthCheck(
        name="server", ok=None, message=f"{message}; the next start of a server replaces the file"
    )


def _port(settings: "Settings") -> HealthCheck:
    host, port = settings.api.host, settings.api.port
    if port == 0:
        return HealthCheck(name="port", ok=True, message="any free port (api.port: 0)")
    if is_free(host, port):
        return HealthCheck(name="port", ok=True, message=f"{host}:{port} is free")
    # The program that uses the port is usually the server of another project.
    message = (
        f"{host}:{port} is in use by another program; `{COMMAND} run` uses a free port instead, "
        f"`{COMMAND} serve` fails"
    )
    fix = f"{COMMAND} serve --port 0; or set api.port in config.yaml to a free port, or to 0"
    return HealthCheck(name="port", ok=None, message=message, fix=fix)


def _key(record: ServerRecord, settings: "Settings | None") -> Iterator[HealthCheck]:
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.client import AuthError, ClientError

    key = settings.api.api_key.get_secret_value() if settings else ""
    if not key:
        return
    try:
        # Call a route that needs no database, because `server ready` reports a database that
        # cannot be reached.
        with OrchestratorClient(record.url, key) as client:
            nodes = client.nodes()["nodes"]
    except AuthError:
        message = "the running server rejects the key in config.yaml"
        fix = f"restart the server, so that it reads config.yaml again: kill {record.pid}"
        yield HealthCheck(name="server key", ok=False, message=message, fix=fix)
    except ClientError as error:
        fix = "read logs/orchestrator.log"
        yield HealthCheck(name="server key", ok=False, message=error.message, fix=fix)
    else:
        yield HealthCheck(name="server key", ok=True, message="accepted by the server")
        if settings is not None and settings.cluster.listen:
            yield from node_checks(nodes)


def scheduler_check(address: str) -> HealthCheck:
    """Check that Dask's scheduler accepts connections at ``cluster.scheduler``."""
    from orchestrator.launchers.cluster.dask.dask_nodes import scheduler_address

    try:
        socket.create_connection(scheduler_address(address), _SCHEDULER_SECONDS).close()
    except ConfigError as error:
        fix = "change cluster.scheduler in config.yaml"
        return HealthCheck(name="dask", ok=False, message=error.message, fix=fix)
    except OSError as error:
        message = f"no scheduler at {address}: {error.strerror or error}; running nodes continue"
        fix = (
            "start the scheduler: dask scheduler --protocol tls; or correct cluster.scheduler in "
            "config.yaml"
        )
        return HealthCheck(name="dask", ok=False, message=message, fix=fix)
    return HealthCheck(name="dask", ok=True, message=f"{address} accepts connections")


def node_checks(nodes: Sequence[Mapping[str, Any]]) -> Iterator[HealthCheck]:
    up_nodes = [node for node in nodes if node["state"] == "up"]
    slots = sum(node["slots"] for node in up_nodes)
    message = f"{len(up_nodes)} of {len(nodes)} nodes get workers; slots: {slots}"
    yield HealthCheck(name="nodes", ok=True if up_nodes else None, message=message)
    for node in nodes:
        name, state, skew = node["name"], node["state"], node["clock_skew_seconds"]
        if state == "unreachable":
            fix = (
                f"on {name}: {COMMAND} node join FILE; if the machine is switched off: "
                f"{COMMAND} nodes forget {name}"
            )
            message = f"unreachable for {node['seen_seconds'] or 0:.0f} s"
            yield HealthCheck(name=f"node {name}", ok=False, message=message, fix=fix)
        elif state == "rejected":
            fix = f"fix the reported cause; then check the node: {COMMAND} nodes"
            yield HealthCheck(name=f"node {name}", ok=False, message=node["notice"], fix=fix)
        elif abs(skew) > _MOST_SKEW_SECONDS:
            message = f"the node's clock is {abs(skew):.1f} s {'ahead' if skew > 0 else 'behind'}"
            fix = f"set the clock of {name}, for example with NTP"
            yield HealthCheck(name=f"node {name}", ok=False, message=message, fix=fix)
