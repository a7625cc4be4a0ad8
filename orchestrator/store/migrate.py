"""Bringing a database to the schema of this release, by the migrations in the package."""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from orchestrator.core import failpoints
from orchestrator.core.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"


def migrate(connection: Connection, where: str) -> None:
    """Create or upgrade the schema, within the caller's transaction. Idempotent.

    Raises StoreError when a newer release has already changed the schema.
    """
    config = _config(connection)
    found = set(MigrationContext.configure(connection).get_current_heads())
    scripts = ScriptDirectory.from_config(config)
    if found - {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"{where} was made by a newer release: use that release, or another store.url"
        )
    if found != set(scripts.get_heads()):
        command.upgrade(config, "head")
        failpoints.reached("migration: before the commit")


def _config(connection: Connection) -> Config:
    config = Config()
    # The option is a template in which % begins a name.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
