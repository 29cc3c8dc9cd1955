"""Database URLs as people paste them: what is understood, what is dropped, and when a pooler is in between."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from runtime.database import Limits
from runtime.database_url import Address, address, service_address
from runtime.settings import Settings

NEON = "postgres://ann:p%40ss@ep-cool-1.eu-central-1.aws.neon.example/neondb?sslmode=require&channel_binding=require"
POOLED = NEON.replace("ep-cool-1.", "ep-cool-1-pooler.")


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg", "postgresql+psycopg"])
def test_every_scheme_of_postgres_is_libpqs(scheme: str) -> None:
    assert address(f"{scheme}://u:p@h:5432/d").url == "postgresql://u:p@h:5432/d"


def test_a_neon_url_keeps_sslmode_and_loses_what_asyncpg_does_not_know() -> None:
    found = address(NEON)
    assert found.url == "postgresql://ann:p%40ss@ep-cool-1.eu-central-1.aws.neon.example/neondb?sslmode=require"
    assert not found.pooled


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("ssl=require", "sslmode=require"),
        ("ssl=true", "sslmode=require"),
        ("ssl=false", "sslmode=disable"),
        ("ssl=false&sslmode=verify-ca", "sslmode=verify-ca"),
        ("ssl_min_protocol_version=TLSv1.3&sslnegotiation=direct", None),
    ],
)
def test_nothing_that_is_said_of_encryption_is_lost(given: str, understood: str | None) -> None:
    assert address(f"postgresql://h/d?{given}").url == f"postgresql://h/d?{understood or given}"


def test_the_systems_authorities_are_trusted_by_a_context_as_asyncpg_knows_no_word_for_them() -> None:
    found = address("postgresql://h/d?sslmode=require&sslrootcert=system")
    assert found.url == "postgresql://h/d"
    assert found.tls is not None
    assert found.tls.check_hostname


@pytest.mark.parametrize(
    ("url", "pooled"),
    [
        (NEON, False),
        (POOLED, True),
        ("postgresql://u@h/d", False),
        ("postgresql://u@h:5432/d", False),
        ("postgresql://u@h:6432/d", True),
        ("postgresql://u@h/d?pgbouncer=true", True),
        ("postgresql://u@h/d?pgbouncer=false", False),
        ("postgresql://u@/d?host=/run/postgresql", False),
    ],
)
def test_a_pooler_is_told_by_the_url_unless_it_is_said(url: str, *, pooled: bool) -> None:
    assert address(url).pooled is pooled
    assert address(url, pooler="yes").pooled
    assert not address(url, pooler="no").pooled


def test_a_service_takes_its_role_behind_the_owners_url_and_none_behind_its_own() -> None:
    settings = Settings(_env_file=None, database_url=SecretStr(NEON), read_database_url=SecretStr("postgresql://r@h/d"))
    assert service_address(settings, "writer").role == "tasklog_writer"
    assert service_address(settings, "reader") == Address(url="postgresql://r@h/d", pooled=False)
    assert service_address(settings, "owner").role is None


def test_no_repr_shows_the_url() -> None:
    assert "p%40ss" not in repr(address(NEON))
    assert "p%40ss" not in repr(Settings(_env_file=None, database_url=SecretStr(NEON)))


def test_the_server_gives_up_before_the_client_does() -> None:
    limits = Limits(connections=1, seconds=10)
    assert limits.on_server() == {
        "statement_timeout": "9000",
        "lock_timeout": "5000",
        "idle_in_transaction_session_timeout": "10000",
    }
