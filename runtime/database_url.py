"""Where the database is: what people paste as its URL, understood."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import asyncpg
import structlog

from runtime.settings import Pooler, Settings, SettingsError

Role = Literal["writer", "projector", "reader", "eraser", "owner"]

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
        "host",
        "options",
        "passfile",
        "password",
        "port",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslpassword",
        "sslrootcert",
        "target_session_attrs",
        "user",
    ]
)
_PGBOUNCER_PORT: Final = 6432

# Each before what it is a kind of.
_REASONS: Final[Mapping[type[Exception], str]] = {
    asyncpg.InvalidPasswordError: "wrong user or password",
    asyncpg.InvalidAuthorizationSpecificationError: "no such user, or not from here",
    asyncpg.InvalidCatalogNameError: "no such database",
    asyncpg.TooManyConnectionsError: "too many connections",
    socket.gaierror: "host not found",
    ConnectionRefusedError: "nothing listens there",
    FileNotFoundError: "nothing listens there",
    TimeoutError: "no answer in time",
}

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where and as whom to connect: a URL that libpq understands, whether a pooler is in between, a role to take."""

    url: str = field(repr=False)
    pooled: bool
    role: str | None = None


def address(url: str, *, pooler: Pooler = "auto", role: str | None = None) -> Address:
    """Understand a database URL of the settings: any of its schemes, libpq's parameters, a pooler recognized."""
    parts = urlsplit(url)
    parameters = parse_qsl(parts.query, keep_blank_values=True)
    known = [(name, value) for name, value in parameters if name in _KNOWN_PARAMETERS]
    dropped = sorted({name for name, _ in parameters} - _KNOWN_PARAMETERS)
    if dropped:
        log.info("database parameters without effect were dropped", parameters=dropped)
    host = parts.hostname or ""
    found = "-pooler" in host or parts.port == _PGBOUNCER_PORT or ("pgbouncer", "true") in parameters
    clean = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(known), ""))
    return Address(url=clean, pooled=found if pooler == "auto" else pooler == "yes", role=role)


def refusal(setting: str, error: BaseException) -> SettingsError:
    """One sentence of why nobody can log in by the URL of a setting; what the server said may quote it."""
    reason = next((words for kind, words in _REASONS.items() if isinstance(error, kind)), type(error).__name__)
    if "Connect call failed" in str(error):  # asyncio's summary of the addresses that a host has
        reason = _REASONS[ConnectionRefusedError]
    return SettingsError(f"The database of {setting} cannot be used ({reason}): check the URL and that Postgres runs.")


def service_address(settings: Settings, role: Role) -> Address:
    """The address of a service: its own URL, else DATABASE_URL with the service's role taken after connecting.

    Raises:
        SettingsError: no URL is set.
    """
    setting = URL_OF_ROLE.get(role)
    own = getattr(settings, setting) if setting else None
    url = own or settings.database_url
    if url is None:
        message = f"DATABASE_URL is not set: set it{f' or {setting.upper()}' if setting else ''}, or use ./run."
        raise SettingsError(message)
    taken = None if own or role == "owner" else f"tasklog_{role}"
    return address(url.get_secret_value(), pooler=settings.database_pooler, role=taken)
