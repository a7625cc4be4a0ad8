"""Adds the caller that cancelled a single worker."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("workers", sa.Column("cancelled_by", sa.Text()))
