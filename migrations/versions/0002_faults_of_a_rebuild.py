"""Where a rebuild could not replay a user, and why: stored, so that every process can show it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = "tasklog"


def upgrade() -> None:
    """Add two columns, in no time: they are null."""
    op.add_column("checkpoints", sa.Column("fault_position", sa.BigInteger), schema=SCHEMA)
    op.add_column("checkpoints", sa.Column("fault_reason", sa.Text), schema=SCHEMA)
    op.execute(f"ALTER TABLE {SCHEMA}.checkpoints ALTER COLUMN fault_reason SET STATISTICS 0")


def downgrade() -> None:
    """Forget them."""
    op.drop_column("checkpoints", "fault_reason", schema=SCHEMA)
    op.drop_column("checkpoints", "fault_position", schema=SCHEMA)
