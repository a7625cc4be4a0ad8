"""Creates the table with the costs of each API key's jobs on each day. Adds no rows."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "spent_days",
        sa.Column("day", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("key_name", sa.Text(), nullable=False),
        sa.Column("cost_usd", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("day", "key_name", name=op.f("pk_spent_days")),
    )
