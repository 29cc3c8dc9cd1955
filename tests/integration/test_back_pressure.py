"""How much of what clients send a connection takes in before it is asked for: bodies, requests in a row, trailers.

Seen to fail: see each test.
"""

from __future__ import annotations

import asyncio

import pytest
from starlette.types import Receive, Scope, Send

from tasklog.serving import connection, exchange, reading
from tasklog.serving.protocol import Protocol
from tests.integration.raw_http import Client, answered, connected, mirror
from tests.integration.test_connections import CLOSING, GET, HELD, HELD_ANSWER, POST, Held
from tests.ledger import within
from tests.servers import eventually_async

READ_BYTES = 256 * 1024
"""The most that a loop reads at a time."""


@pytest.fixture
def held() -> Held:
    return Held()


async def test_a_client_that_leaves_is_noticed_behind_requests_that_wait(held: Held) -> None:
    """Seen to fail: with reading paused by the first request that waits, only the next write told of it."""
    async with connected(Protocol, held) as client:
        await client.send(HELD)
        await within(10, held.begun.wait())
        await client.send(GET * 3)
        await eventually_async(lambda: len(client.protocol.waiting) == 3)
        client.socket.close()
        await within(10, held.gone.wait())
    assert held.answered == ["/held"]


async def test_any_number_of_requests_in_a_row_is_answered_and_few_wait_at_a_time() -> None:
    """Seen to fail: without a limit, one read made thousands of waiting requests; without parsing the rest later."""
    most = 0

    async def counting(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal most
        most = max(most, len(served.protocol.waiting))
        await mirror(scope, receive, send)

    number = 5000
    async with connected(Protocol, counting) as served:
        sending = asyncio.create_task(served.send(GET * number + CLOSING))
        answer = await served.rest()
        await sending
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == number + 1
    assert answer.endswith(b"connection=close\n\n")
    assert 1 < most <= connection.WAITING_REQUESTS + reading.PIECE_BYTES // len(GET) + 1


async def poured(client: Client, part: bytes) -> int:
    """Return how many bytes a client can send before nothing more is taken."""
    loop, sent = asyncio.get_running_loop(), 0
    while True:
        try:
            await asyncio.wait_for(loop.sock_sendall(client.socket, part), 0.3)
        except TimeoutError:
            return sent
        sent += len(part)


async def test_a_body_that_the_app_does_not_read_stops_its_client(held: Held) -> None:
    """Seen to fail: without the limit of what waits for the app."""
    async with connected(Protocol, held) as client:
        await client.send(HELD + POST + b"Content-Length: 100000000\r\n\r\n")
        await within(10, held.begun.wait())
        sent = await poured(client, b"x" * READ_BYTES)
        kept = len(client.protocol.latest._body) + len(client.protocol.unparsed)
    assert kept <= exchange.HIGH_WATER_BYTES + 2 * READ_BYTES
    assert sent < 10_000_000


async def test_requests_without_end_behind_one_that_is_held_stop_their_client(held: Held) -> None:
    """Seen not to end without the limit of how many may wait."""
    async with connected(Protocol, held) as client:
        await client.send(HELD)
        await within(10, held.begun.wait())
        sent = await poured(client, GET * 5000)
        assert len(client.protocol.waiting) <= connection.WAITING_REQUESTS + reading.PIECE_BYTES // len(GET) + 1
        assert len(client.protocol.unparsed) <= 2 * READ_BYTES
    assert sent < 10_000_000


@pytest.mark.parametrize("part", [b"x" * 8192, b"X-%d: y\r\n" * 1000], ids=["one", "many"])
async def test_a_trailer_without_end_is_refused(part: bytes) -> None:
    """Seen to fail: without counting behind the last chunk."""
    sent = [POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"]
    sent += [b"X: " if part.startswith(b"x") else b"", *[part] * 20]
    answer = await answered(Protocol, mirror, sent)
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large\r\n")
    assert answer.count(b"HTTP/1.1 ") == 1


async def test_a_short_trailer_and_what_follows_it_are_taken() -> None:
    """Seen to fail: with the bytes of chunks counted as those of the trailer."""
    chunks = b"2\r\n{}\r\n" * 20_000 + b"20000\r\n" + b"x" * 0x20000 + b"\r\n0\r\nX: y\r\n\r\n"
    answer = await answered(Protocol, mirror, [POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks, CLOSING])
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 2
    assert b"{}" * 20_000 + b"x" * 0x20000 in answer


async def test_a_client_that_closes_its_side_is_gone(held: Held) -> None:
    """As with uvicorn: what cannot be told apart from leaving is leaving."""
    async with connected(Protocol, held) as client:
        await client.send(HELD)
        await within(10, held.begun.wait())
        client.socket.shutdown(1)
        await within(10, held.gone.wait())
        assert HELD_ANSWER.startswith(await client.rest())
