"""Where the database is: reads a database URL in the forms that people paste."""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import structlog

from runtime.postgres_url import PostgresURL, parse
from runtime.settings import Pooler, Settings, SettingsError

Role = Literal["writer", "projector", "reader", "standby", "watch", "eraser", "owner"]
"""What a database is opened for: `standby` for the reader's reads there, `watch` to see that the primary answers."""

URL_OF_ROLE: Final[Mapping[Role, str]] = {
    "writer": "command_database_url",
    "projector": "projector_database_url",
    "reader": "read_database_url",
}
_KNOWN_PARAMETERS: Final = frozenset(
    [
        "application_name",
        "database",
        "dbname",
        "options",
        "passfile",
        "password",
        "ssl_max_protocol_version",
        "ssl_min_protocol_version",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "user",
    ]
)
_FILES: Final = frozenset(["sslcert", "sslcrl", "sslkey", "sslrootcert"])
_POOLER_PORTS: Final = frozenset([6432, 6543])
_POOLER_WORDS: Final = frozenset([("pgbouncer", "true"), ("pgbouncer", "1"), ("pool_mode", "transaction")])

# How other drivers spell `sslmode`; `no-verify` is node-postgres's.
_SSL: Final[Mapping[str, str]] = {
    "true": "require",
    "1": "require",
    "no-verify": "require",
    "false": "disable",
    "0": "disable",
}
_VALUES: Final[Mapping[str, tuple[str, ...]]] = {
    "sslmode": ("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
}

FOR_STANDBY: Final = ("target_session_attrs", "prefer-standby")
_FOR_STANDBY: Final = frozenset([FOR_STANDBY, ("target_session_attrs", "standby")])
_NO_PRIMARY: Final = (
    "READ_DATABASE_URL only names a standby: name the primary too, in DATABASE_URL or as a second host of this URL."
)

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where and as whom to connect: a URL for libpq, whether a pooler is in between, and the role to switch to.

    `tls` says how to trust the server, where the URL cannot tell asyncpg. `certain` is true if the URL or a setting
    says whether there is a pooler; otherwise `runtime.poolers.settled` asks the server. `standby` asks for a server
    that is one, instead of one that accepts writes.
    """

    url: str = field(repr=False)
    pooled: bool
    role: str | None = None
    tls: ssl.SSLContext | None = None
    certain: bool = field(default=False, compare=False)
    standby: bool = False


def address(url: str, *, pooler: Pooler = "auto", role: str | None = None) -> Address:
    """Return the address for a database URL of the settings: any scheme, libpq's parameters; detect a pooler.

    Raises:
        SettingsError: a file that the URL names cannot be read, or a parameter has a value that is not valid.
    """
    parts = parse(url)
    parameters = _with_sslmode(list(parts.parameters))
    known = [(name, value) for name, value in parameters if name in _KNOWN_PARAMETERS]
    dropped = sorted({name for name, _ in parameters} - _KNOWN_PARAMETERS)
    if dropped:
        log.info("database parameters without effect were dropped", parameters=dropped)
    for name, value in known:
        if name in _VALUES and value not in _VALUES[name]:
            raise SettingsError(
                f"The database URL has {name}={value}: set {name} to one of {', '.join(_VALUES[name])}."
            )
        if name in _FILES and value != "system" and not os.access(value, os.R_OK):
            raise SettingsError(f"The database URL has {name}={value}, which is not a readable file.")
    known = [pair for pair in known if pair not in _FOR_STANDBY]  # which server is used, `Address.standby` says
    pooled = _is_pooler(parts) if pooler == "auto" else pooler == "yes"
    tls = None
    if ("sslrootcert", "system") in known:  # asyncpg would open a file named "system"; libpq verifies fully
        tls = ssl.create_default_context()
        known = [(name, value) for name, value in known if name not in ("sslrootcert", "sslmode")]
    return Address(url=parts.written(known), pooled=pooled, role=role, tls=tls, certain=pooled or pooler != "auto")


def _is_pooler(url: PostgresURL) -> bool:
    """Return whether the URL shows a transaction pooler: Neon's, Supabase's, PgBouncer's port, or a parameter."""
    return any(pair in _POOLER_WORDS for pair in url.parameters) or any(
        "-pooler" in host.name or ".pooler." in host.name or host.port in _POOLER_PORTS for host in url.hosts
    )


def _with_sslmode(parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """Return the parameters with `ssl` renamed to `sslmode`, in libpq's words. Dropped, it would mean no encryption."""
    if not any(name == "sslmode" for name, _ in parameters):
        parameters = [("sslmode" if name == "ssl" else name, value) for name, value in parameters]
    return [
        (name, _SSL.get(value.lower(), value.lower()) if name == "sslmode" else value) for name, value in parameters
    ]


def standby_address(settings: Settings) -> Address | None:
    """Return where the reader's standby is, if READ_DATABASE_URL asks for one; its hosts may include the primary.

    Raises:
        SettingsError: see `address`.
    """
    url = settings.read_database_url
    if url is None or not asks_for_standby(url.get_secret_value()):
        return None
    return replace(address(url.get_secret_value(), pooler=settings.database_pooler), standby=True)


def asks_for_standby(url: str) -> bool:
    """Return whether a database URL asks for a standby, in libpq's words."""
    return any(pair in _FOR_STANDBY for pair in parse(url).parameters)


def _names_a_standby_alone(url: str) -> bool:
    return asks_for_standby(url) and len(parse(url).hosts) == 1


def service_address(settings: Settings, role: Role) -> Address:
    """Return a service's address: its own URL, or else DATABASE_URL, switching to the service's role after login.

    Raises:
        SettingsError: no URL is set, or none that names the primary.
    """
    setting = URL_OF_ROLE.get(role)
    own = getattr(settings, setting) if setting else None
    if own is not None and _names_a_standby_alone(own.get_secret_value()):
        if settings.database_url is None:
            raise SettingsError(_NO_PRIMARY)
        own = None
    url = own or settings.database_url
    if url is None:
        message = f"DATABASE_URL is not set: set it{f' or {setting.upper()}' if setting else ''}, or use ./run."
        raise SettingsError(message)
    taken = None if own or role == "owner" else f"tasklog_{role}"
    return address(url.get_secret_value(), pooler=settings.database_pooler, role=taken)
