"""When a task is due."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

SCHEMA = "tasklog"

CONCURRENT_INDEXES = {
    "events_due_dates": r"""ON tasklog.events (user_id, task_id, version)
        WHERE type = 'task.edited' AND data::text LIKE '%"due\_date":%'""",
}


def upgrade() -> None:
    """Add a column, in no time: it is null."""
    op.add_column("tasks", sa.Column("due_date", sa.Text), schema=SCHEMA)
    op.execute(f"ALTER TABLE {SCHEMA}.tasks ALTER COLUMN due_date SET STATISTICS 0")


def downgrade() -> None:
    """Forget it."""
    op.drop_index("events_due_dates", "events", schema=SCHEMA)
    op.drop_column("tasks", "due_date", schema=SCHEMA)
