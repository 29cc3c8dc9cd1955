"""Load shedding: what exceeds a limit is refused at once, and slow senders do not take others' places.

Seen to fail: the first test, without the check of the limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from edge import overload
from tests.servers import eventually_async
from tests.unit.http_face import ORIGIN, face
from tokens import jwks
from tokens.jwks import KeySet
from tokens.look_ups import KeysUnavailable, Timing

TASKS = "/api/u/tasks"


async def test_a_request_beyond_the_limit_is_503_at_once_with_cors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload, "IN_PROGRESS", 2)
    go_on, waiting = asyncio.Event(), []

    async def wait(request: Request) -> Response:
        waiting.append(request)
        await go_on.wait()
        return Response()

    async with face(wait) as client:
        held = [asyncio.create_task(client.get(TASKS)) for _ in range(2)]
        await eventually_async(lambda: len(waiting) == 2)
        refused = await client.get(TASKS, headers={"Origin": ORIGIN})
        go_on.set()
        assert [answer.status_code for answer in await asyncio.gather(*held)] == [200, 200]
        assert (await client.get(TASKS)).status_code == 200
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    assert refused.headers["access-control-allow-origin"] == ORIGIN
    assert isinstance(refused.json()["detail"], str)


async def test_half_sent_requests_take_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overload, "IN_PROGRESS", 2)
    go_on, half_sent = asyncio.Event(), []

    async def size(request: Request) -> Response:
        return Response(str(len(await request.body())))

    async def slow() -> AsyncIterator[bytes]:
        yield b"x"
        half_sent.append(b"x")
        await go_on.wait()
        yield b"y"

    async with face(size) as client:
        held = [asyncio.create_task(client.post(TASKS, content=slow())) for _ in range(20)]
        await eventually_async(lambda: len(half_sent) == 20)
        assert (await client.post(TASKS, content=b"abc")).text == "3"
        go_on.set()
        assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}


async def test_few_may_wait_for_an_unknown_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "MAX_SEARCHING", 3)
    go_on = asyncio.Event()

    async def hang(_request: httpx.Request) -> httpx.Response:
        await go_on.wait()
        return httpx.Response(500)

    http = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    keys = KeySet("http://auth.example/jwks", http, timing=Timing(timeout=60), on_change=lambda: None)
    waiting = [asyncio.create_task(keys.find("unknown")) for _ in range(10)]
    await eventually_async(lambda: sum(task.done() for task in waiting) == 7)
    go_on.set()
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert {type(outcome) for outcome in outcomes} == {KeysUnavailable}
    await keys.close()
