"""A protocol of the server on one real connection, with a small app behind it, and what it answers to raw bytes."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any, NamedTuple

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.server import ServerState

from tests.ledger import within


class Client(NamedTuple):
    """The client's end of a connection, with the server's protocol and state at its other end."""

    socket: socket.socket
    protocol: Any
    state: ServerState

    async def send(self, data: bytes) -> None:
        """Send data, unless the server has closed."""
        with suppress(ConnectionError):
            await within(10, asyncio.get_running_loop().sock_sendall(self.socket, data))

    async def rest(self) -> bytes:
        """Return everything that comes until the server closes."""
        return b"".join([part async for part in self._parts()])

    async def head(self) -> bytes:
        """Return what comes until the end of a head, and maybe more."""
        received = b""
        async for part in self._parts():
            received += part
            if b"\r\n\r\n" in received:
                break
        return received

    async def _parts(self) -> AsyncIterator[bytes]:
        with suppress(ConnectionError):
            while part := await within(10, asyncio.get_running_loop().sock_recv(self.socket, 65536)):
                yield part


@asynccontextmanager
async def connected(kind: Any, app: ASGIApp) -> AsyncIterator[Client]:
    """Yield a connection to a protocol that serves `app`."""
    config = uvicorn.Config(
        app, http=kind, interface="asgi3", ws="none", lifespan="off", log_config=None, access_log=False
    )
    config.load()
    state = ServerState()
    loop, (ours, theirs) = asyncio.get_running_loop(), socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        protocol: Any = kind(config=config, server_state=state, app_state={}, _loop=loop)
        await loop.connect_accepted_socket(lambda: protocol, ours)
        try:
            yield Client(theirs, protocol, state)
        finally:
            protocol.transport.abort()
            for task in state.tasks:
                task.cancel()


async def answered(kind: Any, app: ASGIApp, pieces: Iterable[bytes]) -> bytes:
    """Return everything that a protocol answers to pieces of bytes until it closes."""

    async def send(client: Client) -> None:
        for piece in pieces:
            await client.send(piece)
            await asyncio.sleep(0)  # the server's turn

    async with connected(kind, app) as client:
        sending = asyncio.create_task(send(client))
        received = await client.rest()
        await sending
    return received


async def mirror(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with what was asked, framed as the path says; `/early` does not read the body."""
    path, body, more = scope["path"], b"", not scope["path"].startswith("/early")
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        body, more = body + message["body"], message["more_body"]
    asked = [scope["method"].encode(), scope["raw_path"], path.encode(), scope["query_string"]]
    asked += [b"%b=%b" % header for header in scope["headers"]]
    await _reply(path, b"\n".join([*asked, b"", body]), send)


async def _reply(path: str, text: bytes, send: Send) -> None:
    headers = [(b"content-type", b"text/plain")]
    status = {"/empty": 204, "/same": 304}.get(path, 200)
    parts = [text[:3], b"", text[3:]] if path.startswith("/parts") else [b"" if status > 200 else text]
    if path.startswith("/length") and status == 200:
        headers.append((b"content-length", b"%d" % len(text)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    for part in parts[:-1]:
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": parts[-1]})
