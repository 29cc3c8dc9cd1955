"""The ledger's tables. A test compares the migrations' result with them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, UUID

from event_log.setters import SETTERS

SCHEMA = "tasklog"

DELETIONS = "type IN ('task.deleted', 'task.restored')"

metadata = sa.MetaData(schema=SCHEMA)


def user_id() -> sa.Column[str]:
    """Return the column of user ids, which begins the keys of what users own: compared byte by byte."""
    return sa.Column("user_id", sa.Text(collation="C"), nullable=False)


streams = sa.Table(
    "streams",
    metadata,
    user_id(),
    # The position of the newest event, its hash and its time. The lock on this row orders the user's appends.
    sa.Column("head", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
    # Where the projector finds its work, oldest first; null when everything up to the head is projected.
    sa.Column("unprojected_since", sa.TIMESTAMP(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", name="streams_pkey"),
    sa.Index(
        "streams_unprojected",
        "unprojected_since",
        postgresql_where=sa.text("unprojected_since IS NOT NULL"),
    ),
    postgresql_with={"fillfactor": "50"},
)

events = sa.Table(
    "events",
    metadata,
    user_id(),
    sa.Column("position", sa.BigInteger, nullable=False),
    # Null for an event of the whole stream.
    sa.Column("task_id", sa.BigInteger),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("event_id", UUID(as_uuid=True), nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("schema_version", sa.SmallInteger, nullable=False),
    # `json`, not `jsonb`, because it keeps the exact text that was hashed. Both are null after an erasure.
    sa.Column("data", JSON),
    sa.Column("metadata", JSON),
    sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    # After an erasure, this digest replaces data and metadata in the hash chain.
    sa.Column("erased_digest", sa.LargeBinary),
    sa.PrimaryKeyConstraint("user_id", "position", name="events_pkey"),
    sa.UniqueConstraint("user_id", "task_id", "version", name="events_task_version_key"),
    # The trash, newest deletion first, and how many there are.
    sa.Index("events_deletions", "user_id", "position", postgresql_where=sa.text(DELETIONS)),
    *(
        sa.Index(setter.index, "user_id", "task_id", "version", postgresql_where=sa.text(setter.sets))
        for setter in SETTERS
    ),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    user_id(),
    sa.Column("key", sa.Text(collation="C"), nullable=False),
    # A digest of the request, and the task and version it led to. A repeated request's answer is folded from events
    # again.
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
    # The user's position after the command.
    sa.Column("position", sa.BigInteger),
    sa.PrimaryKeyConstraint("user_id", "key", name="idempotency_keys_pkey"),
    sa.Index("idempotency_keys_by_age", "recorded_at"),
)

# Users move between cells: see event_log/moves.sql. A user with a row in `streams` is here.
arrivals = sa.Table(
    "arrivals",
    metadata,
    user_id(),
    # Events up to this position came from another ledger; the hash is that of the last one.
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    # The time of the last repair there: it belongs to the tokens that clients hold.
    sa.Column("mended_at", sa.TIMESTAMP(timezone=True)),
    # Null until the other ledger has closed the stream.
    sa.Column("opened_at", sa.TIMESTAMP(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", name="arrivals_pkey"),
)

departures = sa.Table(
    "departures",
    metadata,
    user_id(),
    # The name that the gateway has for the user's new cell, and the identity of its database.
    sa.Column("cell", sa.Text),
    sa.Column("ledger", sa.Text, nullable=False),
    # The last event before the user left.
    sa.Column("position", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("left_at", sa.TIMESTAMP(timezone=True), nullable=False),
    # When the stream was open there, with the same hash; from then on the copy here may be removed.
    sa.Column("arrived_at", sa.TIMESTAMP(timezone=True)),
    sa.Column("removed_at", sa.TIMESTAMP(timezone=True)),
    sa.PrimaryKeyConstraint("user_id", name="departures_pkey"),
)

# The tasks of users who are here that have an id out of this ledger's range, so that no id is there twice.
arrived_tasks = sa.Table(
    "arrived_tasks",
    metadata,
    sa.Column("task_id", sa.BigInteger, autoincrement=False, nullable=False),
    user_id(),
    sa.PrimaryKeyConstraint("task_id", name="arrived_tasks_pkey"),
    sa.Index("arrived_tasks_by_user", "user_id"),
)

task_ids = sa.Sequence("task_ids", metadata=metadata, schema=SCHEMA, data_type=sa.BigInteger)
"""Ids of tasks, unique across all users. Its bounds are the setting TASK_IDS, so that several ledgers share none."""
