"""A plain HTTP/1.1 client on one connection that it keeps: cheap, and exact about what was cut."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import NamedTuple


class CutError(Exception):
    """No complete answer came: whether the request was carried out is unknown."""


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: bytes


class HttpConnection:
    """Sends requests to one address, one after the other; it connects when needed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def request(
        self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"", *, seconds: float = 8
    ) -> Answer:
        """Return the answer to a request.

        Raises:
            CutError: the connection broke, or nothing came within `seconds`.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._exchange(method, path, headers, body)
        except (OSError, EOFError, TimeoutError, ValueError) as error:
            self.close()
            raise CutError(type(error).__name__) from error
        except asyncio.CancelledError:
            self.close()
            raise

    async def _exchange(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        reader, writer = self._streams
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest if line)}
        status = int(first.split(" ", 2)[1])
        if fields.get("transfer-encoding", "").lower() == "chunked":
            content = await _read_chunks(reader)
        else:
            content = b"" if status == 304 else await reader.readexactly(int(fields.get("content-length", "0")))
        if fields.get("connection", "").lower() == "close":
            self.close()
        return Answer(status, fields, content)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None


async def _read_chunks(reader: asyncio.StreamReader) -> bytes:
    """Return the body of a chunked answer."""
    chunks = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(chunks)
