"""Adds the session of an attempt's AI tool; NULL for existing attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("session", sa.Text()))
