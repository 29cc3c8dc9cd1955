"""What a connection may do to the server: how slowly and how much it may send, and answers to what is not HTTP.

Seen to fail: the last test without the discarding of trailers; the slow ones without the check of the time.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from select import select
from typing import Any

import orjson
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import Response

from edge import overload
from edge.authorization import authorized_user
from edge.requests import BODY_LIMIT
from edge.routing import ReadyRoute
from edge.service import service
from runtime.settings import Settings
from tasklog.serving import protocol
from tasklog.serving.listener import listen
from tasklog.serving.protocol import Protocol, sweep_forever
from tasklog.serving.server import opened
from tests.ledger import within
from tests.servers import eventually_async
from tests.signing import bearer, good, verifier
from tests.unit.http_face import SECURITY_HEADERS

LARGE = 30_000_000
HOST = b"Host: tasklog\r\n"
GOOD = b"GET /health HTTP/1.1\r\n" + HOST + b"\r\n"
POST = b"POST /api/u/tasks HTTP/1.1\r\n" + HOST


async def echo(request: Request) -> Response:
    return Response(await request.body())


async def whose(request: Request) -> Response:
    await request.body()
    return Response(await authorized_user(request))


async def large(_request: Request) -> Response:
    return Response(b"x" * LARGE)


@asynccontextmanager
async def running(endpoint: Any) -> AsyncIterator[tuple[int, set[Any]]]:
    """Run a service with one route behind the server's protocol; yield its port and its connections."""

    @asynccontextmanager
    async def lifespan(_app: object) -> AsyncIterator[dict[str, object]]:
        yield {"verifier": verifier("secret"), "limiter": None}

    route = ReadyRoute("/api/{user_id}/tasks", endpoint, methods=["POST"])
    app = service(Settings(_env_file=None), [route], lifespan)
    async with opened(app) as ready:
        config = uvicorn.Config(ready, http=Protocol, interface="asgi3", lifespan="off", log_config=None)
        server = uvicorn.Server(config)
        config.load()
        server.lifespan = config.lifespan_class(config)
        listener = listen("127.0.0.1", 0)
        await server.startup(sockets=[listener])
        sweeping = asyncio.create_task(sweep_forever(server.server_state.connections))
        try:
            yield listener.getsockname()[1], server.server_state.connections
        finally:
            sweeping.cancel()
            await server.shutdown(sockets=[listener])


@asynccontextmanager
async def serving(endpoint: Any = echo) -> AsyncIterator[int]:
    """Yield the port of such a service."""
    async with running(endpoint) as (port, _):
        yield port


def received(connection: socket.socket) -> bytes:
    """Return all data that came, also before a reset: an asyncio stream would lose them."""
    parts = []
    with suppress(ConnectionError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


async def sent(port: int, *parts: bytes) -> bytes:
    """Return everything that is answered to some bytes until the server closes, even before it has read all of them."""

    def send_and_receive() -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            with suppress(ConnectionError):
                for part in parts:
                    connection.sendall(part)
            return received(connection)

    return await asyncio.to_thread(send_and_receive)


@asynccontextmanager
async def connected(port: int, count: int) -> AsyncIterator[list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]]:
    """Yield `count` connections, and close them afterwards."""
    connections = [await asyncio.open_connection("127.0.0.1", port) for _ in range(count)]
    try:
        yield connections
    finally:
        for _, writer in connections:
            writer.close()


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_SWEEP_SECONDS", 0.05)


def problem_of(answer: bytes) -> tuple[int, str]:
    """Return the status and detail of a raw answer, which must be a problem with the security headers."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    headers = {line.partition(": ")[::2] for line in head.decode().split("\r\n")[1:]}
    assert headers >= {*SECURITY_HEADERS.items()}
    return int(head.split()[1]), orjson.loads(body)["detail"]


async def test_a_good_request_is_answered_and_the_connection_kept() -> None:
    async with serving() as port:
        answer = await sent(port, GOOD, b"GET /health HTTP/1.1\r\nConnection: close\r\n" + HOST + b"\r\n")
    assert answer.count(b"HTTP/1.1 200 OK") == 2


@pytest.mark.parametrize(
    "half",
    [b"", b"GET", b"GET /health HTTP/1.1\r\nX: ", POST + b"Content-Length: 9\r\n\r\n1234", GOOD[:-2], b"\r\n\r\n"],
    ids=ascii,
)
async def test_a_request_that_does_not_come_is_given_up(impatient: None, half: bytes) -> None:
    async with serving() as port:
        assert problem_of(await sent(port, half)) == (408, "The request was not sent in time")


async def test_dripping_bytes_gain_no_time(impatient: None) -> None:
    def drip(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(POST + b"Content-Length: 100000\r\n\r\n")
            dripped = 0
            while not select([connection], [], [], 0.01)[0]:
                connection.sendall(b"x")
                dripped += 1
                assert dripped < 1000
            return received(connection)

    async with serving() as port:
        assert problem_of(await asyncio.to_thread(drip, port)) == (408, "The request was not sent in time")


async def test_a_body_that_goes_on_after_the_answer_is_cut(impatient: None) -> None:
    def pour(port: int) -> None:
        deadline = time.monotonic() + 30
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.sendall(b"POST /nowhere HTTP/1.1\r\nTransfer-Encoding: chunked\r\n" + HOST + b"\r\n")
            while time.monotonic() < deadline:
                connection.sendall(b"400\r\n" + b"x" * 1024 + b"\r\n")

    async with serving() as port:
        with pytest.raises(ConnectionError):
            await asyncio.to_thread(pour, port)


async def test_large_bodies_are_bounded_together_and_small_ones_taken_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen to fail without the count of bytes, without the exception of small bodies, and with bytes never given back.

    All but the last byte of each large body is sent: only those that are refused are answered.
    """
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 100)  # however long a slow machine takes to send so much
    most = overload.BODY_BYTES // BODY_LIMIT
    small = POST + b"Connection: close\r\nContent-Length: 100\r\n\r\n" + b"100 bytes." * 10
    all_but_one = POST + b"Content-Length: %d\r\n\r\n" % BODY_LIMIT + b"x" * (BODY_LIMIT - 1)
    async with serving() as port:
        for _ in range(2):
            async with connected(port, most + 10) as connections:
                for _, writer in connections:
                    writer.write(all_but_one)
                heads = [asyncio.create_task(reader.readuntil(b"\r\n\r\n")) for reader, _ in connections]
                await eventually_async(lambda: sum(head.done() for head in heads) >= 10, timeout=40)  # noqa: B023 - at once
                assert (await sent(port, small)).endswith(b"100 bytes.")
                refused = {head for head in heads if head.done()}
                for _, writer in connections:
                    writer.write(b"x")
                await within(40, asyncio.gather(*heads))
            for head in refused:
                assert head.result().startswith(b"HTTP/1.1 503")
                assert b"\r\nretry-after: 1\r\n" in head.result()
                assert b"\r\ncontent-type: application/problem+json\r\n" in head.result()
            taken = [head.result() for head in heads if head not in refused]
            assert most // 2 < len(taken) <= most
            assert all(head.startswith(b"HTTP/1.1 200") for head in taken)


async def test_who_does_not_take_an_answer_is_let_go(impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "ANSWER_SECONDS", 0.2)
    made, connection_made = asyncio.Event(), Protocol.connection_made

    def noted(connection: Protocol, transport: asyncio.Transport) -> None:
        connection_made(connection, transport)
        made.set()

    monkeypatch.setattr(Protocol, "connection_made", noted)
    async with running(large) as (port, connections):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(POST + b"Connection: close\r\n\r\n")
            await within(20, made.wait())
            await eventually_async(lambda: not connections)
            assert 0 < len(await asyncio.to_thread(received, connection)) < LARGE


@pytest.mark.parametrize(
    "endless", [b"GET /" + b"a" * 200_000, GOOD[:-2] + b"X: " + b"a" * 200_000], ids=["url", "field"]
)
async def test_an_endless_header_is_431(endless: bytes) -> None:
    async with serving() as port:
        assert problem_of(await sent(port, *[endless[i : i + 8192] for i in range(0, len(endless), 8192)]))[0] == 431


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n" + HOST + b"\r\n",
        b"CONNECT tasklog:443 HTTP/1.1\r\n" + HOST + b"\r\n",
        GOOD[:-2] + b"X-Request-ID: a\rb\r\n\r\n",
        GOOD[:-2] + b"X-Request-ID: a\n\0b\r\n\r\n",
        GOOD[:-2] + b"Bad Name: x\r\n\r\n",
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        POST + b"Content-Length: -1\r\n\r\n",
        POST + b"Content-Length: +3\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\nabc",
        POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ],
    ids=lambda text: ascii(text[-36:]),
)
async def test_what_is_not_plain_http_is_a_problem_and_the_end_of_the_connection(text: bytes) -> None:
    """Among them are both lengths at once, two lengths, and other shapes of request smuggling."""
    async with serving() as port:
        assert problem_of(await sent(port, text))[0] == 400


async def test_a_good_request_before_garbage_has_its_own_answer() -> None:
    async with serving() as port:
        answer = await sent(port, GOOD + b"GARBAGE\0\r\n\r\n" + GOOD)
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_trailer_is_no_header() -> None:
    """Behind a gateway that checks headers, it would be a header that nobody checked."""
    chunked = POST + b"Transfer-Encoding: chunked\r\nConnection: close\r\n%b\r\n2\r\n{}\r\n0\r\n%b\r\n"
    given = b"Authorization: " + bearer(good().claims_with(sub="u")) + b"\r\n"
    async with serving(whose) as port:
        assert (await sent(port, chunked % (given, b""))).startswith(b"HTTP/1.1 200")
        assert (await sent(port, chunked % (b"", given))).startswith(b"HTTP/1.1 401")
