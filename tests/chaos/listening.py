"""Clients that follow a user's stream of changes: they cut it, pause, let the token expire, and note its events."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import jwt
import orjson

from tests.servers import SECRET

_LEEWAY_SECONDS: Final = 30
_SILENCE_SECONDS: Final = 40.0
"""How long a client waits for a byte before it gives a stream up, in seconds: more than two heartbeats."""
_PAUSE_SECONDS: Final = 0.2


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """An event of a stream that began at `begun`; `anew` marks the first one after the client forgot all tasks."""

    begun: float
    anew: bool
    position: int
    more: bool
    tasks: Sequence[dict[str, Any]]
    deleted: Sequence[int]


class Listener:
    """A client of one user; `told` holds the events, `refused` the moments at which the token was unknown."""

    def __init__(self, user: str, ports: Sequence[int], rng: random.Random) -> None:
        self.user = user
        self.told: list[Told] = []
        self.refused: list[float] = []
        self.cuts = 0
        self._ports, self._random = ports, rng
        self._token: str | None = None
        self._forgot = True

    async def follow_forever(self) -> None:
        """Follow, with one connection after the other."""
        while True:
            try:
                await self._follow_once()
            except (OSError, EOFError, ValueError, TimeoutError):
                self.cuts += 1
            await asyncio.sleep(self._random.uniform(0, _PAUSE_SECONDS))

    async def _follow_once(self) -> None:
        seconds = 2 if self._random.random() < 0.2 else 3600
        reader, writer = await asyncio.open_connection("127.0.0.1", self._random.choice(self._ports), limit=2**22)
        try:
            writer.write(self._request(seconds))
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _SILENCE_SECONDS)
            begun = time.monotonic()
            match head.split(b" ", 2)[1]:
                case b"200":
                    await self._take_all(_chunks(reader), begun)
                case b"410":
                    self.refused.append(begun)
                    self._token, self._forgot = None, True
        finally:
            writer.transport.abort()

    async def _take_all(self, chunks: AsyncIterator[bytes], begun: float) -> None:
        """Take events up to the end or to a random byte; sometimes read nothing for a while."""
        left = self._random.randrange(1, 6000) if self._random.random() < 0.7 else 2**40
        text = b""
        async for chunk in chunks:
            text += chunk[:left]
            left -= len(chunk)
            *blocks, text = text.split(b"\n\n")
            for block in blocks:
                if not block.startswith(b":"):
                    self._take(block, begun)
            if left <= 0:
                self.cuts += 1
                return
            if self._random.random() < 0.05:
                await asyncio.sleep(self._random.uniform(0, 2))

    def _take(self, block: bytes, begun: float) -> None:
        fields = dict(line.split(b": ", 1) for line in block.splitlines())
        data = orjson.loads(fields[b"data"])
        told = {name: data[name] for name in ("position", "more", "tasks", "deleted")}
        self.told.append(Told(begun=begun, anew=self._forgot, **told))
        self._token, self._forgot = fields[b"id"].decode(), False

    def _request(self, seconds: float) -> bytes:
        now = int(time.time())
        claims = {"sub": self.user, "iat": now - 3600, "exp": now - _LEEWAY_SECONDS + seconds}
        lines = [
            f"GET /api/{self.user}/changes/stream HTTP/1.1",
            "Host: localhost",
            f"Authorization: Bearer {jwt.encode(claims, SECRET, algorithm='HS256')}",
            *([f"Last-Event-ID: {self._token}"] if self._token else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode()


async def _chunks(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield the chunks of a body in the order in which they come; a cut raises an error."""
    while True:
        async with asyncio.timeout(_SILENCE_SECONDS):
            size = int(await reader.readuntil(b"\r\n"), 16)
            chunk = await reader.readexactly(size)
            await reader.readexactly(2)
        if not size:
            return
        yield chunk
