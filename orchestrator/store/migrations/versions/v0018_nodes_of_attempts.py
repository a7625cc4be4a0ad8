"""Adds a column to the attempts: the node of a cluster that runs the attempt."""

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"


def upgrade() -> None:
    column = sa.Column("node", sa.Text(), nullable=False, server_default=sa.text("''"))
    op.add_column("attempts", column)
