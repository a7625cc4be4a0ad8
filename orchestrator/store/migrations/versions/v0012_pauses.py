"""Adds the pauses of jobs, and the table for the pause of all jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("pause", sa.Text()))
    seconds: sa.Column[float] = sa.Column(
        "paused_seconds", sa.Double(), nullable=False, server_default="0"
    )
    op.add_column("jobs", seconds)
    op.create_table(
        "server_pause",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("pause", sa.Text()),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_pause")),
    )
