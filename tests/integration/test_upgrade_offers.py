"""A request that offers an upgrade is an ordinary request: its body belongs to it, and ends where it says.

Seen to fail: without the second parser (httptools issue 124). The body was dropped, and its content was then parsed as
requests of the next client on the connection.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.integration.test_http_limits import HOST, POST, serving
from tests.ledger import within

OFFER = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
HIDDEN = b"\r\n\r\nDELETE /api/u/tasks/1 HTTP/1.1\r\nHost: tasklog\r\nX-Swallow: "
GET = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"


async def answers(port: int, *sent: bytes, number: int) -> list[tuple[int, bytes]]:
    """Return the statuses and bodies of `number` answers to pieces of data, after which nothing more comes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in sent:
        writer.write(piece)
        await writer.drain()
    found = []
    for _ in range(number):
        head = await within(20, reader.readuntil(b"\r\n\r\n"))
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:-2])
        found.append((int(head.split()[1]), await within(20, reader.readexactly(int(fields[b"content-length"])))))
    writer.write_eof()
    assert await within(20, reader.read()) == b""
    writer.close()
    return found


def post(body: bytes, headers: bytes = OFFER) -> bytes:
    return POST + headers + b"Content-Length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize("body", [b"milk", b"", HIDDEN, HIDDEN * 500], ids=["a word", "nothing", "a request", "many"])
@pytest.mark.parametrize("pieces", [1, 3, 40])
async def test_the_body_is_the_requests_own(body: bytes, pieces: int) -> None:
    whole = post(body) + GET
    size = -(-len(whole) // pieces)
    async with serving() as port:
        sent = [whole[n : n + size] for n in range(0, len(whole), size)]
        (status, echoed), (health, _) = await answers(port, *sent, number=2)
    assert (status, echoed, health) == (200, body, 200)


async def test_a_chunked_body_is_read_as_it_is_framed() -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (b"milk", HIDDEN, b"bread")) + b"0\r\n\r\n"
    async with serving() as port:
        sent = POST + OFFER + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + GET
        (status, echoed), (health, _) = await answers(port, sent, number=2)
    assert (status, echoed, health) == (200, b"milk" + HIDDEN + b"bread", 200)


async def test_offers_may_follow_each_other_on_a_connection() -> None:
    bodies = [b"%d" % n for n in range(200)]
    async with serving() as port:
        found = await answers(port, b"".join(map(post, bodies)), number=len(bodies))
    assert found == [(200, body) for body in bodies]


@pytest.mark.parametrize(
    "framing",
    [
        b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"Content-Length: 4\r\nContent-Length: 5\r\n\r\nmilk!",
        b"Transfer-Encoding: chunked\r\n\r\nz\r\nmilk\r\n0\r\n\r\n",
    ],
)
async def test_a_body_of_two_minds_about_its_end_is_refused(framing: bytes) -> None:
    async with serving() as port:
        ((status, _),) = await answers(port, POST + OFFER + framing, number=1)
    assert status == 400
