"""What a connection does beside single requests: order, silence, clients that leave, a shutdown, apps that fail.

Seen to fail: see each test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import orjson
import pytest
from starlette.types import ASGIApp, Receive, Scope, Send

from tasklog.serving import protocol
from tasklog.serving.protocol import Protocol, sweep_forever
from tests.integration.raw_http import Client, answered, connected, mirror
from tests.ledger import within
from tests.servers import eventually_async

GET = b"GET /length HTTP/1.1\r\nHost: tasklog\r\n\r\n"
CLOSING = b"GET /length/last HTTP/1.1\r\nHost: tasklog\r\nConnection: close\r\n\r\n"
POST = b"POST /length HTTP/1.1\r\nHost: tasklog\r\n"


class Held:
    """An app that answers /held when told to, and everything else at once."""

    def __init__(self) -> None:
        self.begun, self.go_on, self.gone = asyncio.Event(), asyncio.Event(), asyncio.Event()
        self.answered: list[str] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answered.append(scope["path"])
        if scope["path"] != "/held":
            await mirror(scope, receive, send)
            return
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"first", "more_body": True})
        self.begun.set()
        watching = asyncio.create_task(self._watch(receive))
        await self.go_on.wait()
        await send({"type": "http.response.body", "body": b"last"})
        await watching

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self.gone.set()


@pytest.fixture
def held() -> Held:
    return Held()


HELD = GET.replace(b"/length", b"/held")
HELD_ANSWER = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n4\r\nlast\r\n0\r\n\r\n"


@asynccontextmanager
async def swept(app: ASGIApp, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Yield a connection that is checked often, with short times."""
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 0.2)
    monkeypatch.setattr(protocol, "_SWEEP_SECONDS", 0.02)
    async with connected(Protocol, app) as client:
        client.protocol.keep_alive_seconds = 0.2
        sweeping = asyncio.create_task(sweep_forever(client.state.connections))
        try:
            yield client
        finally:
            sweeping.cancel()


async def test_a_client_that_leaves_is_noticed_behind_a_pipelined_request(held: Held) -> None:
    """uvicorn tells only the last request, so one that is held open before it stays for good."""
    async with connected(Protocol, held) as client:
        await client.send(HELD + GET)
        await within(10, held.begun.wait())
        client.protocol.transport.abort()
        await within(10, held.gone.wait())
    assert held.answered == ["/held"]


async def test_answers_come_in_the_order_of_the_requests(held: Held) -> None:
    async with connected(Protocol, held) as client:
        await client.send(HELD + CLOSING)
        await within(10, held.begun.wait())
        assert held.answered == ["/held"]
        held.go_on.set()
        answer = await client.rest()
    assert answer.startswith(HELD_ANSWER + b"HTTP/1.1 200 OK\r\n")
    assert held.answered == ["/held", "/length/last"]


@pytest.mark.parametrize(
    "second",
    [b"GARBAGE\0\r\n\r\n", POST + b"Content-Length: 9\r\n\r\n{", b"GET /", POST + b"Content-Length: x\r\n\r\n",
     POST + b"Transfer-Encoding: chunked\r\n\r\nz\r\n", GET[:-2] + b"X: " + b"x" * 70_000],
    ids=lambda text: ascii(text[:20] + text[-20:]),
)  # fmt: skip
async def test_a_bad_request_does_not_break_into_the_answer_before_it(
    held: Held, monkeypatch: pytest.MonkeyPatch, second: bytes
) -> None:
    """Seen to fail with uvicorn's protocol: the refusal stood in the middle of the running answer."""
    async with swept(held, monkeypatch) as client:
        await client.send(HELD)
        await within(10, held.begun.wait())
        await client.send(second)
        await eventually_async(lambda: client.protocol.is_refused)
        held.go_on.set()
        assert await client.rest() == HELD_ANSWER
    assert held.answered == ["/held"]


@pytest.mark.parametrize("silence", [b"", b"\r\n", b"\r\n\r\n"], ids=ascii)
async def test_an_idle_connection_is_closed_without_a_word(monkeypatch: pytest.MonkeyPatch, silence: bytes) -> None:
    monkeypatch.setattr(protocol, "REQUEST_SECONDS", 100)
    async with swept(mirror, monkeypatch) as client:
        await client.send(GET + silence)
        assert (await client.rest()).count(b"HTTP/1.1 ") == 1


async def test_an_idle_connection_is_closed_also_when_the_body_ended_after_the_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Seen to fail: with idleness noted only at the end of an answer."""
    early = POST.replace(b"/length", b"/early")
    async with swept(mirror, monkeypatch) as client:
        await client.send(early + b"Content-Length: 2\r\n\r\n{")
        await client.head()
        await client.send(b"}")
        assert b"HTTP/1.1" not in await client.rest()


async def test_a_shutdown_closes_an_idle_connection_at_once() -> None:
    async with connected(Protocol, mirror) as client:
        await client.send(GET)
        await client.head()
        await eventually_async(lambda: client.protocol.idle_since is not None)
        client.protocol.shutdown()
        assert b"HTTP/1.1" not in await client.rest()


async def test_a_shutdown_lets_running_and_waiting_requests_finish(held: Held) -> None:
    async with connected(Protocol, held) as client:
        await client.send(HELD + GET)
        await within(10, held.begun.wait())
        await eventually_async(lambda: len(client.protocol.waiting) == 1)
        client.protocol.shutdown()
        held.go_on.set()
        answer = await client.rest()
    assert answer.startswith(HELD_ANSWER)
    assert b"connection: close" in answer.removeprefix(HELD_ANSWER)
    assert held.answered == ["/held", "/length"]


START = {"type": "http.response.start", "status": 200}


def replying(*messages: dict[str, object], error: type[BaseException] | None = None) -> ASGIApp:
    """Return an app that sends these messages, and then fails."""

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        for message in messages:
            await send(message)
        if error is not None:
            raise error

    return app


LONG = [(b"content-length", b"5")]


@pytest.mark.parametrize(
    "app",
    [
        replying(),
        replying(error=ValueError),
        replying(error=asyncio.CancelledError),
        replying({**START, "headers": []}),
        replying({**START, "headers": []}, error=ValueError),
        replying({"type": "http.response.body", "body": b"x"}),
        replying({**START, "headers": LONG}, {"type": "http.response.body", "body": b"short"[:4]}),
        replying({**START, "headers": LONG}, {"type": "http.response.body", "body": b"longer"}),
        replying({**START, "headers": [(b"x", b"a\r\nb: c")]}, {"type": "http.response.body", "body": b""}),
        replying({**START, "headers": [(b"x", b"a\nb: c")]}, {"type": "http.response.body", "body": b""}),
        replying({**START, "headers": [(b"x: y\r\nz", b"a")]}, {"type": "http.response.body", "body": b""}),
    ],
    ids=[
        "no answer", "an error", "cancelled", "a start only", "an error after the start", "no start", "too short",
        "too long", "CR LF in a header", "LF in a header", "CR LF in a name",
    ],
)  # fmt: skip
async def test_an_app_that_fails_before_its_first_byte_is_answered_with_a_problem(app: ASGIApp) -> None:
    head, _, body = (await answered(Protocol, app, [GET])).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
    assert b"\r\ncontent-type: application/problem+json" in head
    assert b"\r\nconnection: close" in head
    assert orjson.loads(body)["detail"] == "Internal server error"


@pytest.mark.parametrize("headers", [[], LONG], ids=["in chunks", "of a length"])
@pytest.mark.parametrize("error", [None, ValueError], ids=["ends", "fails"])
async def test_an_app_that_fails_later_is_cut(
    headers: list[tuple[bytes, bytes]], error: type[Exception] | None
) -> None:
    """The client sees that the answer is incomplete: the last chunk, or a part of the length, is missing."""
    part = {"type": "http.response.body", "body": b"abc", "more_body": True}
    answer = await answered(Protocol, replying({**START, "headers": headers}, part, error=error), [GET, GET])
    assert answer.count(b"HTTP/1.1 ") == 1
    assert answer.endswith(b"\r\n\r\nabc" if headers else b"\r\n\r\n3\r\nabc\r\n")


async def test_an_app_that_wants_the_connection_closed_has_its_will() -> None:
    closing = [(b"content-length", b"0"), (b"connection", b"close")]
    app = replying({**START, "headers": closing}, {"type": "http.response.body"})
    answer = await answered(Protocol, app, [GET, GET])
    assert answer == b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
