"""How many rows each user has, so that a page's total costs as much for 50,000 tasks as for 20."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

SCHEMA = "tasklog"
COLUMNS = ("task_count", "completed_count")


def upgrade() -> None:
    """Add two columns, in no time: they are null, and rows are counted until a projector has filled them."""
    for name in COLUMNS:
        op.add_column("checkpoints", sa.Column(name, sa.Integer), schema=SCHEMA)


def downgrade() -> None:
    """Forget them."""
    for name in COLUMNS:
        op.drop_column("checkpoints", name, schema=SCHEMA)
