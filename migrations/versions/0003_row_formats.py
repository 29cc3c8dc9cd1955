"""The format of each user's rows: rows in another version's format are not read, and are rebuilt."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

SCHEMA = "tasklog"


def upgrade() -> None:
    """Add a column, in no time: it is null."""
    op.add_column("checkpoints", sa.Column("row_format", sa.Text), schema=SCHEMA)


def downgrade() -> None:
    """Forget it."""
    op.drop_column("checkpoints", "row_format", schema=SCHEMA)
