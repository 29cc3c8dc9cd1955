"""Where the database is: what people paste as its URL, understood."""

from __future__ import annotations

import os
import socket
import ssl
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
_PGBOUNCER_PORT: Final = 6432

# `ssl`, as SQLAlchemy and node-postgres know it, takes sslmode's values and these.
_SSL: Final[Mapping[str, str]] = {"true": "require", "1": "require", "false": "disable", "0": "disable"}

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
_WANTS_TLS: Final = ("SSL required", "connection is insecure")  # PgBouncer's words, and Neon's

log = structlog.get_logger()


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where and as whom to connect: a URL that libpq understands, whether a pooler is in between, a role to take.

    `tls` is how to trust the server where the URL cannot tell asyncpg.
    """

    url: str = field(repr=False)
    pooled: bool
    role: str | None = None
    tls: ssl.SSLContext | None = None


def address(url: str, *, pooler: Pooler = "auto", role: str | None = None) -> Address:
    """Understand a database URL of the settings: any of its schemes, libpq's parameters, a pooler recognized.

    Raises:
        SettingsError: a file that it names cannot be read.
    """
    parts = urlsplit(url)
    parameters = _with_sslmode(parse_qsl(parts.query, keep_blank_values=True))
    known = [(name, value) for name, value in parameters if name in _KNOWN_PARAMETERS]
    dropped = sorted({name for name, _ in parameters} - _KNOWN_PARAMETERS)
    if dropped:
        log.info("database parameters without effect were dropped", parameters=dropped)
    host = parts.hostname or ""
    found = "-pooler" in host or parts.port == _PGBOUNCER_PORT or ("pgbouncer", "true") in parameters
    tls = None
    if ("sslrootcert", "system") in known:  # which asyncpg takes for a file; with libpq too it means verify-full
        tls = ssl.create_default_context()
        known = [(name, value) for name, value in known if name not in ("sslrootcert", "sslmode")]
    for name, value in known:
        if name in _FILES and not os.access(value, os.R_OK):
            raise SettingsError(f"The database URL has {name}={value}, which is no file that can be read.")
    clean = urlunsplit(("postgresql", parts.netloc, parts.path, urlencode(known), ""))
    return Address(url=clean, pooled=found if pooler == "auto" else pooler == "yes", role=role, tls=tls)


def _with_sslmode(parameters: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The parameters with `ssl` called `sslmode`: dropped, it would let the connection be in the clear."""
    if any(name == "sslmode" for name, _ in parameters):
        return parameters
    return [("sslmode", _SSL.get(value, value)) if name == "ssl" else (name, value) for name, value in parameters]


def refusal(setting: str, error: BaseException) -> SettingsError:
    """One sentence of why nobody can log in by the URL of a setting; what the server said may quote it."""
    reason = next((words for kind, words in _REASONS.items() if isinstance(error, kind)), type(error).__name__)
    if "Connect call failed" in str(error):  # asyncio's summary of the addresses that a host has
        reason = _REASONS[ConnectionRefusedError]
    elif "rejected SSL upgrade" in str(error):
        reason = "it does not speak TLS"
    elif any(words in str(error) for words in _WANTS_TLS):
        reason = "it takes encrypted connections alone: sslmode=require"
    elif "root certificate file" in str(error):
        reason = "verify-ca and verify-full need sslrootcert=FILE, or sslrootcert=system"
    elif isinstance(error, ssl.SSLCertVerificationError):
        reason = f"its certificate is refused: {error.verify_message.rstrip('.')}"
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
