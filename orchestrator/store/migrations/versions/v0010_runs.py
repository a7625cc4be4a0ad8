"""Adds the number of a job's current run; 1 for existing jobs."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("run", sa.Integer(), nullable=False, server_default="1"))
