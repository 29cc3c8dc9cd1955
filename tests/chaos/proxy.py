"""A TCP proxy between services and a server: it freezes, refuses, delays, cuts, and swallows answers.

All of it runs in the background loop; see background.py.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

from tests import listeners
from tests.chaos.postgres_wire import Frontend, ReadyWatch

_CHUNK: Final = 65536


@dataclass(kw_only=True, eq=False)
class _Link:
    """One client's connection, and the connection to the server for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    losing: ReadyWatch | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def cut(self) -> None:
        self.client.transport.abort()
        self.server.transport.abort()


class Proxy:
    """Passes connections on to a unix socket; `statements` counts clients' statements to a Postgres behind it.

    `held` is the number of pieces that it holds back at the moment.
    """

    def __init__(self, target: str, *, postgres: bool = True) -> None:
        self._target = target
        self._postgres = postgres
        self._listener: asyncio.Server | None = None
        self._reserved: socket.socket | None = None
        self._links: set[_Link] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._losses = 0
        self._countdown = 0
        self._action: Callable[[], None] | None = None
        self.port = 0
        self.statements = 0
        self.held = 0
        self.lost = 0

    async def open(self) -> None:
        """Listen, on the same port as before if there was one.

        While the proxy is closed, a socket that does not listen holds the port: connections are refused, and no other
        process gets the port.
        """
        if self._reserved is None:
            self._reserved = socket.socket()
            self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self._reserved.bind(("127.0.0.1", 0))
            self.port = self._reserved.getsockname()[1]
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def close(self) -> None:
        """Refuse new connections and cut open ones."""
        if self._listener is not None:
            await listeners.close(self._listener)
            self._listener = None
        self._flowing.set()
        self.cut()

    async def end(self) -> None:
        """Close for good."""
        await self.close()
        if self._reserved is not None:
            self._reserved.close()

    @property
    def connections(self) -> int:
        """How many connections are open."""
        return len(self._links)

    def lead_to(self, target: str) -> None:
        """Lead to another server's unix socket from now on, and cut existing connections."""
        self._target = target
        self.cut()

    def cut(self) -> bool:
        """Cut all connections; return False if there are none."""
        links = list(self._links)
        for link in links:
            link.cut()
        return bool(links)

    def lead_new_to(self, target: str) -> None:
        """Lead new connections to another server; open ones stay."""
        self._target = target

    def freeze(self) -> None:
        """Pass nothing on, in either direction, and cut nothing."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    def delay(self, seconds: float) -> None:
        """Delay everything by some seconds, in each direction."""
        self._delay = seconds

    def lose_commits(self, number: int) -> None:
        """Let the next commits happen, but cut the connection instead of passing on their answers."""
        self._losses = number

    def at_statement(self, number: int, action: Callable[[], None] | None) -> None:
        """Call a function before the `number`th statement from now is passed on."""
        self._countdown, self._action = number, action

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server_reader, server_writer = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()
            return
        except asyncio.CancelledError:
            writer.transport.abort()
            raise
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        link = _Link(client=writer, server=server_writer)
        self._links.add(link)
        pumps = [self._to_server(link, reader), self._to_client(link, server_reader)]
        link.tasks = [asyncio.ensure_future(self._until_end(link, pump)) for pump in pumps]
        await asyncio.wait(link.tasks)
        self._links.discard(link)

    async def _until_end(self, link: _Link, pump: Coroutine[Any, Any, None]) -> None:
        with suppress(OSError):
            await pump
        for writer in (link.client, link.server):
            writer.close()

    async def _to_server(self, link: _Link, reader: asyncio.StreamReader) -> None:
        frontend = Frontend()
        while data := await reader.read(_CHUNK):
            for piece, is_statement, commits in frontend.feed(data) if self._postgres else [(data, False, False)]:
                await self._hold()
                if is_statement:
                    self._count()
                if commits and self._losses > 0:
                    self._losses -= 1
                    link.losing = ReadyWatch()
                link.server.write(piece)
            await link.server.drain()

    async def _to_client(self, link: _Link, reader: asyncio.StreamReader) -> None:
        while data := await reader.read(_CHUNK):
            if link.losing is not None:
                if link.losing.feed(data):
                    self.lost += 1
                    link.cut()
                    return
                continue
            await self._hold()
            link.client.write(data)
            await link.client.drain()

    async def _hold(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        self.held += 1
        await self._flowing.wait()
        self.held -= 1

    def _count(self) -> None:
        self.statements += 1
        if self._action is None:
            return
        self._countdown -= 1
        if self._countdown <= 0:
            action, self._action = self._action, None
            action()
