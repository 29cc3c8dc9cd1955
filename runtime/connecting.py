"""Connecting to the server that accepts writes, or to a standby, when a database URL names several."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from runtime.database_url import Address
from runtime.sessions import NoStandbyError, ReadOnlyServerError, settle

UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    ReadOnlyServerError,
    NoStandbyError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server is closing this connection, and we used it before we noticed
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # the database has ALLOW_CONNECTIONS false
)
"""Errors of a server that cannot be used now, while another host may work."""

_SECONDS_OF_A_HOST: Final = 3.0
"""How long each of several hosts may take to answer, in seconds."""


class Connector:
    """Connects a pool, and tries the host that worked last time first."""

    def __init__(self, where: Address, seconds: float) -> None:
        """Connect to `where` within `seconds`; if there are several hosts, each has at most `_SECONDS_OF_A_HOST`."""
        self._where = where
        self._hosts = hosts(where.url)
        self._seconds = min(seconds, _SECONDS_OF_A_HOST) if self.has_choice else seconds

    @property
    def has_choice(self) -> bool:
        """Return whether there are several hosts."""
        return len(self._hosts) > 1

    async def connect(self, *args: Any, **options: Any) -> asyncpg.Connection:
        """Return a connection to the first host that accepts writes, or is a standby; the pool passes the arguments.

        Raises:
            ReadOnlyServerError, NoStandbyError, OSError, TimeoutError, asyncpg errors: that of the last host tried.
        """
        refused: Exception = ReadOnlyServerError()
        for host in [*self._hosts]:
            try:
                connection = await self._connect(*args, **options, **host)
            except UNREACHABLE as error:
                refused = error
                continue
            self._hosts.remove(host)
            self._hosts.insert(0, host)
            return connection
        raise refused

    async def _connect(self, *args: Any, **options: Any) -> asyncpg.Connection:
        options |= {"timeout": self._seconds, "target_session_attrs": "any"}  # checked by `settle` below
        connection = await asyncpg.connect(*args, **options)
        try:
            await settle(connection, shared=self._where.pooled, standby=self._where.standby)
        except BaseException:
            connection.terminate()
            raise
        return connection


def hosts(url: str) -> list[dict[str, Any]]:
    """Return asyncpg's arguments for each host of a URL; one empty dict if there is a single host."""
    parts = urlsplit(url)
    named = parts.netloc.rpartition("@")[2].split(",")
    if not parts.netloc.rpartition("@")[2]:
        parameters = dict(parse_qsl(parts.query))
        names, ports = parameters.get("host", "").split(","), parameters.get("port", "5432").split(",")
        named = [f"{name}:{ports[min(n, len(ports) - 1)]}" for n, name in enumerate(names)]
    if len(named) == 1:
        return [{}]
    return [_host(one) for one in named]


def _host(text: str) -> dict[str, Any]:
    name, _, port = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "5432")
    return {"host": name.strip("[]"), "port": int(port)}
