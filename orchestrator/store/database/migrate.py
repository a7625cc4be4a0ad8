"""Creates the tables of a database, or upgrades them to the schema of this release."""

from collections.abc import Set
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import (
    Column,
    Connection,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    inspect,
    text,
)

from orchestrator.core import failpoints
from orchestrator.core.errors import StoreError
from orchestrator.store.database.postgresql import check_encoding
from orchestrator.store.schema.tables import lease_numbers, metadata, server_lease

if TYPE_CHECKING:
    from alembic.config import Config

MIGRATIONS = Path(__file__).parents[1] / "migrations"
#: Name of the file with the statements that create all tables. ``python -m
#: orchestrator.store.schema.sqlite_statements`` writes this file.
SQLITE = Path(__file__).parents[1] / "schema" / "sqlite.sql"
#: The newest migration.
LATEST = "0020"
_TABLE = "alembic_version"


def migrate(connection: Connection, where: str) -> None:
    """Create or upgrade the schema, within the caller's transaction. Idempotent.

    Raise StoreError if a newer release of the product has changed the schema, or if the database
    cannot store all characters.
    """
    if connection.dialect.name == "postgresql":
        check_encoding(connection, where)
    revisions = revisions_of(connection)
    if revisions == {LATEST}:
        return
    if revisions:
        upgrade(connection, where, revisions)
    else:
        create(connection)
    failpoints.reached("migration: before the commit")


def create(connection: Connection) -> None:
    """Create all tables in an empty database. Raise SQLAlchemyError if a table exists.

    This is ten times as fast as running all migrations.
    """
    if connection.dialect.name == "sqlite":
        # The statements are stored in a file, because composing them takes 2 % of a server's start.
        for statement in SQLITE.read_text("utf-8").split(";\n"):
            if statement.strip():
                connection.exec_driver_sql(statement)
    else:
        metadata.create_all(connection, checkfirst=False)
    connection.execute(lease_numbers.insert().values(id=1, last=0))
    connection.execute(
        server_lease.insert().values(
            id=1, epoch=0, machine="", holder="", seconds=0, renewals=0, recovers=0
        )
    )
    # This table belongs to alembic; see MigrationContext._version in alembic's source.
    version = Table(
        _TABLE,
        MetaData(),
        Column("version_num", String(32), nullable=False),
        PrimaryKeyConstraint("version_num", name=f"{_TABLE}_pkc"),
    )
    version.create(connection, checkfirst=False)
    connection.execute(version.insert().values(version_num=LATEST))


def upgrade(connection: Connection, where: str, revisions: Set[str] = frozenset()) -> None:
    """Run the migrations that the database lacks.

    ``revisions``: the revisions that the database has. Raise StoreError if one of these revisions
    is unknown to this release.
    """
    # Import this here, because the import takes 0.2 s, and few starts need it.
    from alembic import command

    check_known(connection, where, revisions)
    command.upgrade(_config(connection), "head")


def check_known(connection: Connection, where: str, revisions: Set[str]) -> None:
    """Raise StoreError if this release does not know one of the database's revisions."""
    if revisions <= {LATEST}:
        return
    from alembic.script import ScriptDirectory

    scripts = ScriptDirectory.from_config(_config(connection))
    if revisions - {script.revision for script in scripts.walk_revisions()}:
        raise StoreError(
            f"{where} was created by a newer release; use that release, or another store.url"
        )


def revisions_of(connection: Connection) -> set[str]:
    """Return the revisions of the database; empty if the database has no tables."""
    if not inspect(connection).has_table(_TABLE):
        return set()
    return set(connection.scalars(text(f"SELECT version_num FROM {_TABLE}")))


def _config(connection: Connection) -> "Config":
    from alembic.config import Config

    config = Config()
    # Escape %, because alembic replaces %(name)s in options.
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config
