"""The ledger, the read model and a role for each service."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSON, UUID

revision = "0001"
down_revision = None

SCHEMA = "tasklog"
ROLES = ("tasklog_writer", "tasklog_projector", "tasklog_reader", "tasklog_eraser")
# The planner's statistics would quote what users wrote, even after it was erased.
QUOTED = (
    "tasks.title",
    "tasks.description",
    "tasks.title_key",
    "tasks.body",
    "idempotency_keys.key",
    "checkpoints.error",
)


def upgrade() -> None:
    """Create everything in the schema `tasklog`, which holds no other application's tables."""
    _create_streams()
    _create_events()
    _create_idempotency_keys()
    _create_read_model()
    for column in QUOTED:
        table, name = column.split(".")
        op.execute(f"ALTER TABLE {SCHEMA}.{table} ALTER COLUMN {name} SET STATISTICS 0")
    for role in ROLES:
        _create_role(role)


def _user_id() -> sa.Column[str]:
    return sa.Column("user_id", sa.Text(collation="C"), nullable=False)


def _create_streams() -> None:
    op.create_table(
        "streams",
        _user_id(),
        sa.Column("head", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("unprojected_since", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", name="streams_pkey"),
        schema=SCHEMA,
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        "streams_unprojected",
        "streams",
        ["unprojected_since"],
        schema=SCHEMA,
        postgresql_where=sa.text("unprojected_since IS NOT NULL"),
    )


def _create_events() -> None:
    op.create_table(
        "events",
        _user_id(),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("task_id", sa.BigInteger),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("event_id", UUID(as_uuid=True), nullable=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("schema_version", sa.SmallInteger, nullable=False),
        sa.Column("data", JSON),
        sa.Column("metadata", JSON),
        sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("hash", sa.LargeBinary, nullable=False),
        sa.Column("erased_digest", sa.LargeBinary),
        sa.PrimaryKeyConstraint("user_id", "position", name="events_pkey"),
        sa.UniqueConstraint("user_id", "task_id", "version", name="events_task_version_key"),
        schema=SCHEMA,
    )
    for name, where in (
        ("events_titles", """type = 'task.edited' AND data::text LIKE '%"title":%'"""),
        ("events_descriptions", """type = 'task.edited' AND data::text LIKE '%"description":%'"""),
        ("events_completions", "type IN ('task.completed', 'task.reopened')"),
    ):
        columns = ["user_id", "task_id", "version"]
        op.create_index(name, "events", columns, schema=SCHEMA, postgresql_where=sa.text(where))
    op.execute(sa.schema.CreateSequence(sa.Sequence("task_ids", schema=SCHEMA, data_type=sa.BigInteger)))


def _create_idempotency_keys() -> None:
    op.create_table(
        "idempotency_keys",
        _user_id(),
        sa.Column("key", sa.Text(collation="C"), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary, nullable=False),
        sa.Column("task_id", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("recorded_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("user_id", "key", name="idempotency_keys_pkey"),
        schema=SCHEMA,
    )
    op.create_index("idempotency_keys_by_age", "idempotency_keys", ["recorded_at"], schema=SCHEMA)


def _create_read_model() -> None:
    op.create_table(
        "tasks",
        _user_id(),
        sa.Column("id", sa.BigInteger, nullable=False),
        sa.Column("title", sa.Text, nullable=False),
        sa.Column("description", sa.Text),
        sa.Column("completed", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("updated_at", sa.TIMESTAMP(timezone=True), nullable=False),
        sa.Column("created_position", sa.BigInteger, nullable=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("title_key", sa.Text(collation="C"), nullable=False),
        sa.Column("body", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("user_id", "id", name="tasks_pkey"),
        schema=SCHEMA,
        postgresql_with={"fillfactor": "80"},
    )
    op.create_index("tasks_by_creation", "tasks", ["user_id", "created_position"], schema=SCHEMA)
    op.create_index("tasks_by_title", "tasks", ["user_id", "title_key", "id"], schema=SCHEMA)
    op.create_table(
        "checkpoints",
        _user_id(),
        sa.Column("position", sa.BigInteger, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False, server_default=sa.text("0")),
        sa.Column("parked_until", sa.TIMESTAMP(timezone=True)),
        sa.Column("error", sa.Text),
        sa.Column("rebuild", sa.Boolean, nullable=False, server_default=sa.false()),
        sa.Column("mended_at", sa.TIMESTAMP(timezone=True)),
        sa.PrimaryKeyConstraint("user_id", name="checkpoints_pkey"),
        schema=SCHEMA,
        postgresql_with={"fillfactor": "50"},
    )
    op.create_index(
        "checkpoints_rebuild", "checkpoints", ["user_id"], schema=SCHEMA, postgresql_where=sa.text("rebuild")
    )


def _create_role(role: str) -> None:
    """Create a login without a password. Roles belong to the whole server, so it may already exist."""
    op.execute(f"""
        DO $$ BEGIN
            CREATE ROLE {role} LOGIN NOINHERIT;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL;
        END $$""")
    op.execute(f"GRANT {role} TO CURRENT_USER")


def downgrade() -> None:
    """Remove everything; a role that another database of the server needs stays."""
    op.execute("""
        DO $$ DECLARE f regprocedure; BEGIN
            FOR f IN SELECT p.oid::regprocedure FROM pg_proc p WHERE p.pronamespace = 'tasklog'::regnamespace LOOP
                EXECUTE format('DROP ROUTINE %s CASCADE', f);
            END LOOP;
        END $$""")
    for table in ("checkpoints", "tasks", "idempotency_keys", "events", "streams"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(sa.schema.DropSequence(sa.Sequence("task_ids", schema=SCHEMA)))
    for role in ROLES:
        op.execute(f"DROP OWNED BY {role}")
        op.execute(f"""
            DO $$ BEGIN
                DROP ROLE {role};
            EXCEPTION WHEN dependent_objects_still_exist THEN NULL;
            END $$""")
