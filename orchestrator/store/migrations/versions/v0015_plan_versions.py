"""Adds the version of a job's plan, because people may edit a plan before they approve it."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"


def upgrade() -> None:
    version: sa.Column[int] = sa.Column(
        "plan_version", sa.Integer(), nullable=False, server_default="1"
    )
    op.add_column("jobs", version)
