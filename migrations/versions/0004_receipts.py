"""The position after a command with an idempotency key: its repeats have the receipt of the first time."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

SCHEMA = "tasklog"


def upgrade() -> None:
    """Add a column, in no time: it is null for the keys that are there."""
    op.add_column("idempotency_keys", sa.Column("position", sa.BigInteger), schema=SCHEMA)


def downgrade() -> None:
    """Forget it."""
    op.drop_column("idempotency_keys", "position", schema=SCHEMA)
