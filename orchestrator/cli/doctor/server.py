"""Doctor's check of the server: its record, and its port."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.api.client.discovery import RECORD_NAME, ServerRecord, read_record
from orchestrator.cli.doctor.check import HealthCheck, quoted
from orchestrator.cli.server.background_server import is_free
from orchestrator.cli.server_record import running_server
from orchestrator.core.command_name import COMMAND

if TYPE_CHECKING:
    from orchestrator.config import Settings


def server_checks(workspace: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    record = running_server(workspace)
    if record is not None:
        yield HealthCheck(name="server", ok=True, message=f"{record.url} (pid {record.pid})")
        yield from _ready(record)
        yield from _key(record, settings)
        return
    yield _record(workspace)
    if settings is not None:
        yield _port(settings)


def _ready(record: ServerRecord) -> Iterator[HealthCheck]:
    """Yield the checks that the running server reports; it may serve another project."""
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.client import ApiError, ClientError

    try:
        with OrchestratorClient(record.url, retry_seconds=0) as client:
            answer = client.health()
    except ApiError as error:
        answer = error.problem
    except ClientError:
        return  # the worker has ended since
    found: Mapping[str, str] = answer.get("checks") or {}
    wrong = [f"{name}: {state}" for name, state in found.items() if state != "ok"]
    message = "; ".join(wrong) or str(answer.get("paused") or "")
    if message:
        fix = "remove this cause; the server then continues automatically; details: logs/server.log"
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
    return HealthCheck(name="server", ok=None, message=f"{message}; the next start replaces it")


def _port(settings: "Settings") -> HealthCheck:
    host, port = settings.api.host, settings.api.port
    if is_free(host, port):
        return HealthCheck(name="port", ok=True, message=f"{host}:{port} is free")
    message = f"{host}:{port} is in use by another program"
    fix = (
        f"set api.port in config.yaml to a free port, or to 0 for any ({COMMAND} run selects "
        "a free port automatically)"
    )
    return HealthCheck(name="port", ok=False, message=message, fix=fix)


def _key(record: ServerRecord, settings: "Settings | None") -> Iterator[HealthCheck]:
    from orchestrator.api.client import OrchestratorClient
    from orchestrator.api.client.client import AuthError, ClientError

    key = settings.api.api_key.get_secret_value() if settings else ""
    if not key:
        return
    try:
        with OrchestratorClient(record.url, key) as client:
            client.jobs(page_size=1)
    except AuthError:
        message = "the running server rejects the key in config.yaml"
        fix = f"restart the server, so that it reads config.yaml again: kill {record.pid}"
        yield HealthCheck(name="server key", ok=False, message=message, fix=fix)
    except ClientError as error:
        fix = "read logs/server.log"
        yield HealthCheck(name="server key", ok=False, message=error.message, fix=fix)
    else:
        yield HealthCheck(name="server key", ok=True, message="accepted by the server")
