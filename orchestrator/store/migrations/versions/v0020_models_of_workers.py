"""Adds a column to the workers: the model that the worker's agent used."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"


def upgrade() -> None:
    op.add_column("workers", sa.Column("model", sa.Text()))
