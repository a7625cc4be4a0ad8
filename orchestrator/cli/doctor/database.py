"""Doctor's check of the database."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.doctor.check import HealthCheck
from orchestrator.cli.offline.server_liveness import running_server
from orchestrator.core.errors import StoreError

if TYPE_CHECKING:
    from orchestrator.config import Settings


def database_checks(workspace: Path, settings: "Settings | None") -> Iterator[HealthCheck]:
    """Check that the database can be written. A running server checks its database itself."""
    from orchestrator.composition import check_database

    if settings is None or running_server(workspace) is not None:
        return
    try:
        message = check_database(settings)
    except StoreError as error:
        message, _, fix = error.message.partition("; ")
        yield HealthCheck(name="database", ok=False, message=message, fix=fix)
        return
    yield HealthCheck(name="database", ok=True, message=message)
