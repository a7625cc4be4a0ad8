"""Adds the digest that proves an attempt's exit record; empty for existing attempts."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    column = sa.Column("record_hash", sa.Text(), nullable=False, server_default=sa.text("''"))
    op.add_column("attempts", column)
