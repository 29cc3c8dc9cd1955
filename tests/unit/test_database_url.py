"""Database URLs as people paste them: what is understood, what is dropped, and when a pooler is recognized."""

from __future__ import annotations

import pytest
from asyncpg.connect_utils import _parse_connect_dsn_and_args
from pydantic import SecretStr

from runtime.database_url import Address, address, service_address, standby_address
from runtime.pool import Limits
from runtime.settings import Settings, SettingsError

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
        ("postgresql://u@aws-0-eu.pooler.supabase.example:5432/d", True),
        ("postgresql://u.ref@db.supabase.example:6543/d", True),
        ("postgresql://u@a:5432,b:6432/d?target_session_attrs=read-write", True),
        ("postgresql://u@h/d?pgbouncer=1", True),
        ("postgresql://u@h/d?pool_mode=transaction", True),
        ("postgresql://u@h/d?pool_mode=session", False),
        ("postgresql://u@/d?host=h&port=6432", True),
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


STANDBY = "target_session_attrs=prefer-standby"


@pytest.mark.parametrize(
    ("read", "primary", "role"),
    [
        ("postgresql://r@h1,h2/d", "postgresql://r@h1,h2/d", None),
        (f"postgresql://r@h1,h2/d?{STANDBY}", "postgresql://r@h1,h2/d", None),
        (f"postgresql://r@h2/d?{STANDBY}", "postgresql://o@h1/d", "tasklog_reader"),
    ],
)
def test_a_url_that_asks_for_a_standby_names_the_primary_too_or_leaves_it_to_database_url(
    read: str, primary: str, role: str | None
) -> None:
    url = SecretStr("postgresql://o@h1/d")
    settings = Settings(_env_file=None, database_url=url, read_database_url=SecretStr(read))
    assert service_address(settings, "reader") == Address(url=primary, pooled=False, role=role)
    standby = standby_address(settings)
    if STANDBY not in read:
        assert standby is None
        return
    assert standby == Address(url=read.partition("?")[0], pooled=False, standby=True)


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


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ("postgresql://u:p@h1:5432,h2:5433/d?target_session_attrs=read-write", [("h1", 5432), ("h2", 5433)]),
        ("postgresql://u:p@h1,h2:5433/d", [("h1", 5432), ("h2", 5433)]),
        ("postgresql://u:p@/d?host=h1,h2&port=5433", [("h1", 5433), ("h2", 5433)]),
        ("postgresql://u:p@/d?host=h1,h2&port=5433,5434", [("h1", 5433), ("h2", 5434)]),
        ("postgresql://u:p@[::1]:5433/d", [("::1", 5433)]),
        ("postgresql://u:p@[::1]:5433,[::2]/d", [("::1", 5433), ("::2", 5432)]),
        ("postgresql://u:p@/d?host=::1", [("::1", 5432)]),
        ("postgresql://u:p@/d?host=[::1]", [("::1", 5432)]),
        ("postgresql://u:p@/d?hostaddr=127.0.0.1", [("127.0.0.1", 5432)]),
        ("postgresql://u:p@ignored/d?host=h", [("h", 5432)]),
        ("jdbc:postgresql://h:5433/d?user=u&password=p", [("h", 5433)]),
    ],
)
def test_asyncpg_gets_the_hosts_that_libpq_would_take(given: str, hosts: list[tuple[str, int]]) -> None:
    assert _as_asyncpg_reads(given) == (hosts, "u", "p", "d")


@pytest.mark.parametrize("given", ["postgresql://u:p@/d?host=/run/pg&port=5433", "postgresql://u:p@%2Frun%2Fpg:5433/d"])
def test_asyncpg_gets_the_socket_that_libpq_would_take(given: str) -> None:
    assert _as_asyncpg_reads(given) == (["/run/pg/.s.PGSQL.5433"], "u", "p", "d")


@pytest.mark.parametrize(
    ("given", "password"),
    [
        ("p%40s%2Fs%3A%25", "p@s/s:%"),
        ("p@ss", "p@ss"),
        ("p@s@s", "p@s@s"),
        ("a:b", "a:b"),
        ("p[ss", "p[ss"),
        ("%C3%A9+é", "é+é"),
    ],
)
def test_a_password_is_read_to_its_last_letter(given: str, password: str) -> None:
    assert _as_asyncpg_reads(f"postgresql://u:{given}@h/d") == ([("h", 5432)], "u", password, "d")


@pytest.mark.parametrize("given", ["no-verify", "NO-VERIFY", "Require"])
def test_a_word_of_another_driver_for_encryption_is_libpqs(given: str) -> None:
    for name in ("sslmode", "ssl"):
        assert address(f"postgresql://h/d?{name}={given}").url == "postgresql://h/d?sslmode=require"


@pytest.mark.parametrize("wrong", ["sslmode=yes-please", "target_session_attrs=writable"])
def test_a_parameter_with_no_value_of_its_own_is_named_with_those_it_has(wrong: str) -> None:
    name = wrong.partition("=")[0]
    with pytest.raises(
        SettingsError, match=rf"^The database URL has {wrong}: set {name} to one of .*require|read-write"
    ):
        address(f"postgresql://u:hunter2@h/d?{wrong}")


def _as_asyncpg_reads(url: str) -> tuple[list[object], str, str, str]:
    """Return what asyncpg makes of the URL that it gets; it has no public function for that."""
    where = address(url).url
    nothing = dict.fromkeys(("host", "port", "user", "password", "passfile", "database", "ssl", "service"))
    nothing |= dict.fromkeys(("servicefile", "direct_tls", "server_settings", "target_session_attrs"))
    nothing |= dict.fromkeys(("krbsrvname", "gsslib"))
    hosts, parameters = _parse_connect_dsn_and_args(dsn=where, **nothing)
    return list(dict.fromkeys(hosts)), parameters.user, parameters.password, parameters.database
