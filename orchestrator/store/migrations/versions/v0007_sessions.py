"""the session of each attempt's tool; attempts that ended before have none"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.add_column("attempts", sa.Column("session", sa.Text()))
