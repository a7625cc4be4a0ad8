"""Creates the tables of leases and of their fencing numbers."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "leases",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("root_id", sa.Text(), nullable=False),
        sa.Column("worker_id", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), nullable=False),
        sa.Column("taken_at", sa.Double(), nullable=False),
        sa.Column("passed_on", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["root_id"], ["jobs.id"], name=op.f("fk_leases_root_id_jobs")),
        sa.PrimaryKeyConstraint("name", "root_id", "worker_id", name=op.f("pk_leases")),
    )
    numbers = op.create_table(
        "lease_numbers",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_lease_numbers")),
    )
    op.bulk_insert(numbers, [{"id": 1, "last": 0}])
