"""A JWKS endpoint on loopback that misbehaves on request."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from tests.listeners import close
from tests.signing import key_set_body

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Behaviour = Callable[[asyncio.StreamWriter], Awaitable[None]]

PATIENCE = 10.0  # seconds until a test that waits for an event fails


class JwksEndpoint:
    """Counts its fetches; `behaviour` answers the next ones."""

    def __init__(self) -> None:
        """Answer with all public keys of the tests."""
        self.behaviour: Behaviour = says(key_set_body())
        self.fetches = 0
        self.port = 0
        self._asked = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._serving: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """Return the address of the key set."""
        return f"http://127.0.0.1:{self.port}/api/auth/jwks"

    async def start(self) -> None:
        """Listen, on the same port as last time if there was one."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Refuse connections."""
        if self._server is not None:
            await close(self._server)
            self._server = None

    async def end(self) -> None:
        """Stop, and close all connections."""
        await self.stop()
        for task in self._serving:
            task.cancel()
        await asyncio.gather(*self._serving, return_exceptions=True)

    async def fetched(self, times: int) -> None:
        """Wait until it has been asked this often since the start."""
        async with asyncio.timeout(PATIENCE), self._asked:
            await self._asked.wait_for(lambda: self.fetches >= times)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._answer(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                async with self._asked:
                    self.fetches += 1
                    self._asked.notify_all()
                await self.behaviour(writer)
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()


@asynccontextmanager
async def jwks_endpoint() -> AsyncIterator[JwksEndpoint]:
    """Run an endpoint that behaves well until it is told otherwise."""
    endpoint = JwksEndpoint()
    await endpoint.start()
    try:
        yield endpoint
    finally:
        await endpoint.end()


def says(body: bytes, status: str = "200 OK", *headers: str) -> Behaviour:
    """Answer with a body."""
    head = "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", "connection: close", *headers])
    return sends(head.encode() + b"\r\n\r\n" + body)


def sends(raw: bytes) -> Behaviour:
    """Send bytes that need not be HTTP, and close."""

    async def behaviour(writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        await writer.drain()

    return behaviour


async def hangs(_writer: asyncio.StreamWriter) -> None:
    """Say nothing until the test ends."""
    await asyncio.Event().wait()


async def drips(writer: asyncio.StreamWriter) -> None:
    """Send a byte every few milliseconds, so that no read ever times out."""
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.01)


async def floods(writer: asyncio.StreamWriter) -> None:
    """Send a body without an end."""
    writer.write(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n" + b'{"keys": [')
    while True:
        writer.write(b" " * 65536)
        await writer.drain()
