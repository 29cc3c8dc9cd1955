"""Priority, tags and category of a task, when it was completed, and what tasks are ordered and found by."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

SCHEMA = "tasklog"
FIELDS = {"priority": "priorities", "tags": "tags", "category": "categories"}
# The planner's statistics would quote what users wrote.
QUOTED = ("priority", "tags", "category", "facets", "search_text")

CONCURRENT_INDEXES = {
    f"events_{plural}": f"""ON tasklog.events (user_id, task_id, version)
        WHERE type = 'task.edited' AND data::text LIKE '%"{field}":%'"""
    for field, plural in FIELDS.items()
}


def upgrade() -> None:
    """Add columns, in no time: they are null."""
    for name, kind in _columns().items():
        op.add_column("tasks", sa.Column(name, kind), schema=SCHEMA)
    for name in QUOTED:
        op.execute(f"ALTER TABLE {SCHEMA}.tasks ALTER COLUMN {name} SET STATISTICS 0")


def _columns() -> dict[str, sa.types.TypeEngine[object]]:
    return {
        **dict.fromkeys(FIELDS, sa.Text()),
        "completed_at": sa.TIMESTAMP(timezone=True),
        "due_key": sa.BigInteger(),
        "overdue_key": sa.BigInteger(),
        "priority_rank": sa.SmallInteger(),
        "facets": sa.Text(),
        "search_text": sa.Text(),
    }


def downgrade() -> None:
    """Forget them."""
    for plural in FIELDS.values():
        op.drop_index(f"events_{plural}", "events", schema=SCHEMA)
    for name in reversed(_columns()):
        op.drop_column("tasks", name, schema=SCHEMA)
