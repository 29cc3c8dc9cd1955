"""Why a database cannot be used, in one sentence: for any database error, at start, in migrations and in commands."""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Iterator, Mapping
from typing import Final

import asyncpg

from runtime.sessions import NoStandbyError, ReadOnlyServerError
from runtime.settings import SettingsError

POOLER: Final = "it is behind a pooler in transaction mode: set DATABASE_POOLER=yes"

_LACKS_CONNECT: Final = "the login lacks CONNECT: run ./run migrate, or GRANT CONNECT ON DATABASE to it"

# A subclass stands before its base class.
_REASONS: Final[Mapping[type[Exception], str]] = {
    asyncpg.InvalidPasswordError: "wrong user or password",
    asyncpg.InvalidAuthorizationSpecificationError: "no such user, or it may not log in from here",
    asyncpg.InvalidCatalogNameError: "no such database",
    asyncpg.TooManyConnectionsError: "too many connections",
    asyncpg.DiskFullError: "its disk is full",
    asyncpg.OutOfMemoryError: "it has no memory left",
    asyncpg.ReadOnlySQLTransactionError: "it is read-only: a standby, or default_transaction_read_only is on",
    ReadOnlyServerError: "it is read-only: a standby, or default_transaction_read_only is on",
    NoStandbyError: "none of its servers is a standby",
    asyncpg.exceptions.TransactionTimeoutError: "its transaction_timeout ended the work",
    asyncpg.IdleInTransactionSessionTimeoutError: "idle_in_transaction_session_timeout ended the session",
    asyncpg.exceptions.IdleSessionTimeoutError: "idle_session_timeout ended the session",
    asyncpg.QueryCanceledError: "its statement_timeout, or an administrator, ended a statement",
    asyncpg.LockNotAvailableError: "another session held a lock for too long",
    asyncpg.SerializationError: "too many sessions change the same rows at once",
    asyncpg.DeadlockDetectedError: "too many sessions change the same rows at once",
    asyncpg.CannotConnectNowError: "it is starting or shutting down",
    asyncpg.AdminShutdownError: "it was shut down, or an administrator ended the session",
    asyncpg.CrashShutdownError: "it crashed and recovers",
    asyncpg.ProtocolViolationError: POOLER,
    asyncpg.InvalidSQLStatementNameError: POOLER,
    asyncpg.DuplicatePreparedStatementError: POOLER,
    asyncpg.CharacterNotInRepertoireError: "its encoding is not UTF8",
    asyncpg.UntranslatableCharacterError: "its encoding is not UTF8",
    asyncpg.DataCorruptedError: "its files are damaged: see its log",
    asyncpg.IndexCorruptedError: "its files are damaged: see its log",
    asyncpg.PostgresIOError: "it cannot read or write its files: see its log",
    asyncpg.exceptions.TargetServerAttributeNotMatched: "none of its servers is of the kind that target_session_attrs "
    "asks for: a standby, or default_transaction_read_only is on",
    socket.gaierror: "host not found",
    ConnectionRefusedError: "nothing listens there",
    FileNotFoundError: "nothing listens there",
    TimeoutError: "no answer in time",
}
_MESSAGES: Final[Mapping[str, str]] = {
    "Connect call failed": "nothing listens there",  # asyncio's message when all addresses of a host refuse
    "rejected SSL upgrade": "it does not speak TLS",
    "SSL required": "it only accepts encrypted connections: set sslmode=require",  # PgBouncer's words
    "connection is insecure": "it only accepts encrypted connections: set sslmode=require",  # Neon's words
    "root certificate file": "verify-ca and verify-full need sslrootcert=FILE, or sslrootcert=system",
    "is not a database of UTF8": "its encoding is not UTF8",
    "permission denied for database": _LACKS_CONNECT,  # PgBouncer passes this on without its SQLSTATE
    "server login failed": "the pooler may not log in to Postgres: see the pooler's log",
}
_CHECKED_AT_LOGIN: Final = "CheckMyDatabase"
"""The Postgres function that refuses a login without CONNECT. Its message may be in any language."""


def refusal(setting: str, error: BaseException) -> SettingsError:
    """Return one sentence on why a setting's database cannot be used; it quotes nothing of the server or the URL."""
    return SettingsError(
        f"The database of {setting} cannot be used ({reason_of(error)}): check the URL and that Postgres runs."
    )


def is_database_error(error: BaseException) -> bool:
    """Return whether an error, or one of its causes, came from Postgres or the connection to it."""
    ours = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
    return any(isinstance(cause, ours) for cause in causes(error))


def reason_of(error: BaseException) -> str:
    """Return the reason in a few words; for an unknown error, its name and SQLSTATE."""
    found = [*causes(error)]
    for cause in found:
        if lacks_connect(cause):
            return _LACKS_CONNECT
        if isinstance(cause, ssl.SSLCertVerificationError):
            return f"its certificate is refused: {cause.verify_message.rstrip('.')}"
        for part, words in _MESSAGES.items():
            if part in str(cause):
                return words
    # The innermost cause first: asyncpg 0.32 wraps the real reason in "connection was closed".
    for cause in reversed(found):
        for kind, words in _REASONS.items():
            if isinstance(cause, kind):
                return words
    return _named(next((cause for cause in reversed(found) if isinstance(cause, asyncpg.PostgresError)), found[-1]))


def lacks_connect(error: BaseException) -> bool:
    """Return whether Postgres refused a login because it lacks CONNECT on the database."""
    return (
        isinstance(error, asyncpg.InsufficientPrivilegeError)
        and getattr(error, "server_source_function", None) == _CHECKED_AT_LOGIN
    )


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and its causes, outermost first; SQLAlchemy keeps its cause in `orig`."""
    seen: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in seen:
        seen.append(current)
        yield current
        current = getattr(current, "orig", None) or current.__cause__


def _named(error: BaseException) -> str:
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__.removesuffix("Error")).lower()
    state = getattr(error, "sqlstate", None)
    return f"{words}, SQLSTATE {state}" if state else words
