"""An index on deletions and restorations: the trash is read from the ledger."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"

SCHEMA = "tasklog"

CONCURRENT_INDEXES = {
    "events_deletions": """ON tasklog.events (user_id, position)
        WHERE type IN ('task.deleted', 'task.restored')""",
}


def upgrade() -> None:
    """Do nothing more: the index is built before."""


def downgrade() -> None:
    """Drop the index."""
    op.drop_index("events_deletions", "events", schema=SCHEMA)
