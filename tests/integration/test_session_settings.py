"""The services work the same whatever `ALTER DATABASE … SET` or `ALTER ROLE … SET` gives their sessions."""

from __future__ import annotations

from typing import Any, Final

import asyncpg
import pytest
from pydantic import SecretStr

import migrations
from runtime.database_url import address
from runtime.settings import Settings
from tests.ledger import opened
from tests.servers import Database

ROLES: Final = ("writer", "projector", "reader", "owner")

HOSTILE: Final = {
    "transaction_isolation": ("default_transaction_isolation", "serializable", "read committed"),
    "transaction_deferrable": ("default_transaction_deferrable", "on", "off"),
    "transaction_timeout": ("transaction_timeout", "500ms", "0"),
    "lock_timeout": ("lock_timeout", "500ms", "5s"),
    "statement_timeout": ("statement_timeout", "500ms", "9s"),
    "idle_in_transaction_session_timeout": ("idle_in_transaction_session_timeout", "500ms", "10s"),
    "enable_seqscan": ("enable_seqscan", "on", "off"),
    "jit": ("jit", "on", "off"),
}
"""Settings of a transaction, by name: the default to set, its hostile value, the right value."""

HOSTILE_TO_SESSIONS: Final = {
    "idle_session_timeout": ("500ms", "0"),
    "search_path": ("public, pg_catalog", "pg_catalog, pg_temp"),
    "TimeZone": ("Asia/Kathmandu", "UTC"),
    "DateStyle": ("SQL, DMY", "ISO, MDY"),
    "IntervalStyle": ("iso_8601", "postgres"),
    "bytea_output": ("escape", "hex"),
    "extra_float_digits": ("-15", "1"),
    "row_security": ("off", "on"),
    "enable_indexscan": ("off", "on"),
    "enable_bitmapscan": ("off", "on"),
    "enable_nestloop": ("off", "on"),
    "plan_cache_mode": ("force_custom_plan", "auto"),
}
"""Further settings of a session that is not shared: the hostile value, the right value."""


@pytest.fixture
def settings(settings: Settings, database: Database) -> Settings:
    """Return settings that name the owner's login, too, as commands have it."""
    return settings.model_copy(update={"database_url": SecretStr(database.owner)})


async def make_hostile(owner: asyncpg.Connection) -> None:
    known = {row["name"] for row in await owner.fetch("SELECT name FROM pg_settings")}
    name_of_database = await owner.fetchval("SELECT current_database()")
    wanted = {default: value for default, value, _ in HOSTILE.values()}
    wanted |= {name: value for name, (value, _) in HOSTILE_TO_SESSIONS.items()}
    for name, value in wanted.items():
        if name in known:  # transaction_timeout is new in Postgres 17
            quoted = value if name in ("search_path", "DateStyle") else f"'{value}'"
            await owner.execute(f"ALTER DATABASE {name_of_database} SET {name} = {quoted}")


async def _setting(connection: Any, name: str) -> str:
    return await connection.fetchval("SELECT current_setting($1, true)", name) or "0"


@pytest.mark.parametrize("role", ROLES)
async def test_every_transaction_has_the_settings_that_it_needs_whatever_the_databases_defaults(
    settings: Settings, owner: asyncpg.Connection, role: str
) -> None:
    await make_hostile(owner)
    async with opened((settings, role)) as (connected,):
        found = {
            name: (await connected.fetch("SELECT current_setting($1, true)", name))[0][0] or "0" for name in HOSTILE
        }
        assert found == {name: right for name, (_, _, right) in HOSTILE.items()}
        async with connected.transaction() as connection:
            within = {name: await _setting(connection, name) for name in HOSTILE}
    assert within == found


@pytest.mark.parametrize("role", ROLES)
async def test_a_session_without_a_pooler_is_wholly_our_own(
    settings: Settings, database: Database, owner: asyncpg.Connection, role: str
) -> None:
    if database.pooler == "yes":
        pytest.skip("a pooler's sessions are shared: transactions set what they need")
    await make_hostile(owner)
    async with opened((settings, role)) as (connected,):
        for name, (_, right) in HOSTILE_TO_SESSIONS.items():
            assert (await connected.fetch("SELECT current_setting($1)", name))[0][0] == right, name


async def test_a_migration_has_none_of_the_databases_time_limits(database: Database, owner: asyncpg.Connection) -> None:
    await make_hostile(owner)
    connection = await migrations._connect(address(database.owner))
    limits = ("transaction_timeout", "statement_timeout", "idle_in_transaction_session_timeout")
    assert [await _setting(connection, name) for name in limits] == ["0", "0", "0"]
    await connection.close()
