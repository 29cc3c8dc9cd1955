"""Users who move between cells: where they went, what came with them, and the ids of tasks from elsewhere."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"

SCHEMA = "tasklog"


def upgrade() -> None:
    """Create three tables, which are empty until somebody moves."""
    op.create_table(
        "arrivals",
        _user_id(),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("mended_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("opened_at", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", name="arrivals_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "departures",
        _user_id(),
        sa.Column("cell", sa.Text),
        sa.Column("ledger", sa.Text, nullable=False),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("left_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("arrived_at", sa.TIMESTAMP(timezone=True)),
        sa.Column("removed_at", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", name="departures_pkey"),
        schema=SCHEMA,
    )
    op.create_table(
        "arrived_tasks",
        sa.Column("task_id", sa.BigInteger, autoincrement=False, nullable=False),
        _user_id(),
        sa.PrimaryKeyConstraint("task_id", name="arrived_tasks_pkey"),
        schema=SCHEMA,
    )
    op.create_index("arrived_tasks_by_user", "arrived_tasks", ["user_id"], schema=SCHEMA)


def _user_id() -> sa.Column[str]:
    return sa.Column("user_id", sa.Text(collation="C"), nullable=False)


def downgrade() -> None:
    """Forget them."""
    for table in ("arrived_tasks", "departures", "arrivals"):
        op.drop_table(table, schema=SCHEMA)
