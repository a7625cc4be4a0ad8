"""Upgrades a database to the schema of this release, by the migrations in the package."""

from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import Connection, inspect, text

from orchestrator.core import failpoints
from orchestrator.core.errors import StoreError

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parents[1] / "migrations"
#: The newest migration.
LATEST = "0017"
_TABLE = "alembic_version"


def migrate(connection: Connection, where: str) -> None:
    """Create or upgrade the schema, within the caller's transaction. Idempotent.

    Raises StoreError if a newer release has already changed the schema.
    """
    found = _revisions(connection)
    if found == {LATEST}:
        return
    # Imported here, because it takes a fifth of a second, and few starts need it.
    from alembic import command
    from alembic.script import ScriptDirectory

    config = _config(connection)
    scripts = ScriptDirectory.from_config(config)
    if found - {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"{where} was created by a newer release; use that release, or another store.url"
        )
    command.upgrade(config, "head")
    failpoints.reached("migration: before the commit")


def _revisions(connection: Connection) -> set[str]:
    """Return the database's revisions; none if it is new."""
    if not inspect(connection).has_table(_TABLE):
        return set()
    return set(connection.scalars(text(f"SELECT version_num FROM {_TABLE}")))


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    # The option is a template, in which % begins a name.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
