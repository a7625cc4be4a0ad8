"""Adds an index on the times of workers, for the usage of a period."""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    at = sa.text("coalesce(ended_at, started_at)")
    op.create_index("ix_workers_time", "workers", [at])
