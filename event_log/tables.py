"""The ledger's tables. A test compares the migrations' result with them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, UUID

from event_log.setters import SETTERS

SCHEMA = "tasklog"

DELETIONS = "type IN ('task.deleted', 'task.restored')"

metadata = sa.MetaData(schema=SCHEMA)


def user_id() -> sa.Column[str]:
    """Return the column that begins every key: compared byte by byte. It is also the distribution column."""
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

task_ids = sa.Sequence("task_ids", metadata=metadata, schema=SCHEMA, data_type=sa.BigInteger)
"""Ids of tasks, unique across all users."""
