"""Connecting to the one server that takes writes, of those that a database URL names."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import asyncpg

from runtime.database_url import Address
from runtime.sessions import ReadOnlyServerError, settle

UNREACHABLE: Final = (
    OSError,
    TimeoutError,
    ReadOnlyServerError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that the server is ending, used before its end was seen
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
)
"""Errors of a server that cannot be used now, while another may."""

_SECONDS_OF_A_HOST: Final = 3.0
"""How long one of several hosts may take to answer."""


class Connector:
    """Connects a pool, first to the host that was right the last time."""

    def __init__(self, where: Address, seconds: float) -> None:
        """Connect to `where`; all of it takes at most `seconds`, unless there are several hosts."""
        self._where = where
        self._hosts = hosts(where.url)
        self._seconds = seconds if len(self._hosts) == 1 else min(seconds, _SECONDS_OF_A_HOST)

    async def connect(self, *args: Any, **options: Any) -> asyncpg.Connection:
        """Return a connection to the first host that takes writes; a pool gives the arguments.

        Raises:
            ReadOnlyServerError, OSError, TimeoutError, asyncpg errors: what the last host tried said.
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
        options |= {"timeout": self._seconds, "target_session_attrs": "any"}  # which is looked at below
        connection = await asyncpg.connect(*args, **options)
        try:
            await settle(connection, shared=self._where.pooled)
        except BaseException:
            connection.terminate()
            raise
        return connection


def hosts(url: str) -> list[dict[str, Any]]:
    """Return what asyncpg is to be told of each host of a URL, where there are several; else to tell it nothing."""
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
