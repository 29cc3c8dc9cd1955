"""The tables of the read side: `tasks` holds the rows, `checkpoints` how far each user is projected."""

from __future__ import annotations

import sqlalchemy as sa

from event_log.tables import metadata, user_id
from read_model.sorts import INDEXED

tasks = sa.Table(
    "tasks",
    metadata,
    user_id(),
    sa.Column("id", sa.BigInteger, nullable=False),
    sa.Column("title", sa.Text, nullable=False),
    sa.Column("description", sa.Text),
    sa.Column("completed", sa.Boolean, nullable=False),
    sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("created_position", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    # What `sort=title` compares, see domain.task.title_key.
    sa.Column("title_key", sa.Text(collation="C"), nullable=False),
    # The task's JSON in answers, often without its end, see read_model.body; tasklog.whole_body returns all of it.
    sa.Column("body", sa.Text, nullable=False),
    # Null in rows that a service of release 1.0 wrote. Tags are a JSON array; what null stands for otherwise, and what
    # the keys are, see read_model.rows and read_model.keys.
    sa.Column("due_date", sa.Text),
    sa.Column("priority", sa.Text),
    sa.Column("tags", sa.Text),
    sa.Column("category", sa.Text),
    sa.Column("completed_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("due_key", sa.BigInteger),
    sa.Column("overdue_key", sa.BigInteger),
    sa.Column("priority_rank", sa.SmallInteger),
    sa.Column("facets", sa.Text),
    sa.Column("search_text", sa.Text),
    sa.PrimaryKeyConstraint("user_id", "id", name="tasks_pkey"),
    *(sa.Index(name, "user_id", *columns) for name, columns in {sort.index: sort.columns for sort in INDEXED}.items()),
    postgresql_with={"fillfactor": "80"},
)

checkpoints = sa.Table(
    "checkpoints",
    metadata,
    user_id(),
    # The position of the last event that `tasks` holds.
    sa.Column("position", sa.BigInteger, nullable=False),
    # When a user whose next event cannot be projected is tried again; other users do not wait.
    sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
    sa.Column("parked_until", sa.TIMESTAMP(timezone=True)),
    sa.Column("error", sa.Text),
    # Set by `./run rebuild`: the rows are to be compared with a replay.
    sa.Column("rebuild", sa.Boolean, nullable=False, server_default=sa.false()),
    # When a rebuild last corrected rows: what was read before may differ from now.
    sa.Column("mended_at", sa.TIMESTAMP(timezone=True)),
    # Where the last rebuild could not replay the user, and why; null where it could.
    sa.Column("fault_position", sa.BigInteger),
    sa.Column("fault_reason", sa.Text),
    # The format of all the user's rows, see read_model/formats.sql; null if they are in several.
    sa.Column("row_format", sa.Text),
    # How many rows the user has, if they are in the format of `row_format`; null before the first count.
    sa.Column("task_count", sa.Integer),
    sa.Column("completed_count", sa.Integer),
    sa.PrimaryKeyConstraint("user_id", name="checkpoints_pkey"),
    sa.Index("checkpoints_rebuild", "user_id", postgresql_where=sa.text("rebuild")),
    postgresql_with={"fillfactor": "50"},
)
