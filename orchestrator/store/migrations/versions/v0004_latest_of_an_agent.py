"""Adds an index for the latest workers of an agent."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    ended = sa.text("ended_at IS NOT NULL")
    columns = ["agent", "ended_at", "status", "index"]
    op.create_index(
        "ix_workers_ended", "workers", columns, sqlite_where=ended, postgresql_where=ended
    )
