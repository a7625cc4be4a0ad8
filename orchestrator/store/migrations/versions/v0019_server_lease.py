"""Creates the table with the server that uses the database, and with the server's lease."""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"


def upgrade() -> None:
    op.create_table(
        "server_lease",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("machine", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Double(), nullable=False),
        sa.Column("renewals", sa.BigInteger(), nullable=False),
        sa.Column("recovers", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_server_lease")),
    )
    op.execute(
        "INSERT INTO server_lease (id, epoch, machine, holder, seconds, renewals, recovers) "
        "VALUES (1, 0, '', '', 0, 0, 0)"
    )
