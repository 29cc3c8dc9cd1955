"""The ledger's tables. Migrations are tested to give exactly these."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSON, UUID

from event_log.setters import SETTERS

SCHEMA = "tasklog"

metadata = sa.MetaData(schema=SCHEMA)


def user_id() -> sa.Column[str]:
    """Return the first part of every key, and the distribution column: compared byte by byte."""
    return sa.Column("user_id", sa.Text(collation="C"), nullable=False)


streams = sa.Table(
    "streams",
    metadata,
    user_id(),
    # The position of the newest event, its hash and its time; the row's lock orders the user's appends.
    sa.Column("head", sa.BigInteger, nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
    # Where the projector finds its work, oldest first; null when the projection has reached the head.
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
    # Null in an event that happened to the whole stream.
    sa.Column("task_id", sa.BigInteger),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("event_id", UUID(as_uuid=True), nullable=False),
    sa.Column("type", sa.Text, nullable=False),
    sa.Column("schema_version", sa.SmallInteger, nullable=False),
    # `json`, not `jsonb`: the very text that was hashed is kept. Both are null once erased.
    sa.Column("data", JSON),
    sa.Column("metadata", JSON),
    sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.Column("hash", sa.LargeBinary, nullable=False),
    # What stands for data and metadata in the hash chain after they were erased.
    sa.Column("erased_digest", sa.LargeBinary),
    sa.PrimaryKeyConstraint("user_id", "position", name="events_pkey"),
    sa.UniqueConstraint("user_id", "task_id", "version", name="events_task_version_key"),
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
    # Of the request that the key came with, and what that led to: the answer is folded from it again.
    sa.Column("fingerprint", sa.LargeBinary, nullable=False),
    sa.Column("task_id", sa.BigInteger, nullable=False),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
    sa.PrimaryKeyConstraint("user_id", "key", name="idempotency_keys_pkey"),
    sa.Index("idempotency_keys_by_age", "recorded_at"),
)

task_ids = sa.Sequence("task_ids", metadata=metadata, schema=SCHEMA, data_type=sa.BigInteger)
"""Ids of tasks, unique over all users."""
