"""Alembic's entry: migrate over the connection that migrations.upgrade passes."""

from __future__ import annotations

from alembic import context

from event_log.tables import SCHEMA, metadata
from read_model import tables

assert tables.tasks.metadata is metadata  # imported because its tables belong to the same schema

connection = context.config.attributes["connection"]
connection.exec_driver_sql(f"CREATE SCHEMA IF NOT EXISTS {SCHEMA}")
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table_schema=SCHEMA,
    include_schemas=True,
    transaction_per_migration=False,
)
context.run_migrations()
