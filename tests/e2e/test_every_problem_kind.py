"""Every kind of problem, provoked over HTTP: its answer has the kind's type and status, and its page explains it.

Seen to fail: with one kind answered as another.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from html import escape
from typing import Any, Final

import httpx
import pytest

from edge import answers
from edge.problem_kinds import Kind
from tasklog.serving import protocol
from tests.e2e.provoked_problems import AUTH_SERVER, PROVOKED, Caller, read
from tests.integration.test_http_limits import POST, large, sent, serving
from tests.integration.test_slow_takers import slow_client
from tests.servers import RunningService, Servers, running_service

IN_THIS_PROCESS: Final = {Kind.REQUEST_TOO_SLOW, Kind.UNREAD_ANSWERS}
"""They come after many seconds, which the tests below shorten."""


@pytest.fixture(scope="module")
def small_service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Start a service with low limits, whose database the tests may break."""
    log = tmp_path_factory.mktemp("small") / "service.log"
    limits = {"RATE_LIMIT": "30/minute", "MAX_STREAMS": "2", "JWKS_URL": f"{AUTH_SERVER}/jwks"}
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, log, **limits) as running,
    ):
        yield running


@pytest.mark.parametrize("kind", [kind for kind in Kind if kind not in IN_THIS_PROCESS], ids=lambda kind: kind.name)
def test_a_problem_has_its_type_and_status_and_a_page_explains_it(
    small_service: RunningService, user: str, kind: Kind
) -> None:
    answer = PROVOKED[kind](Caller(small_service, user))
    status, problem = answer if isinstance(answer, tuple) else (answer.status_code, answer.json())
    assert_is(kind, status, problem, httpx.get(small_service.url + problem["type"]))


def assert_is(kind: Kind, status: int, problem: dict[str, Any], page: httpx.Response) -> None:
    assert (status, problem["type"], problem["title"]) == (kind.status, kind.type, kind.title)
    assert problem["status"] == status
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert all(escape(sentence) in page.text for sentence in (kind.title, *kind.explanation))


async def seen(port: int, answer: bytes) -> tuple[int, dict[str, Any], httpx.Response]:
    """Return the status and the problem of a raw answer, and the problem's page."""
    status, problem = read(answer)
    page = await asyncio.to_thread(httpx.get, f"http://127.0.0.1:{port}{problem['type']}")
    return status, problem, page


async def test_a_request_that_comes_too_slowly_is_such_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving() as port:
        with monkeypatch.context() as patch:
            patch.setattr(protocol, "REQUEST_SECONDS", 0.2)
            answer = await sent(port, b"GET /health HTTP/1.1\r\n")
        assert_is(Kind.REQUEST_TOO_SLOW, *await seen(port, answer))


async def test_an_answer_beside_unread_ones_is_such_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WAITING_SECONDS", 0.2)
    request = POST + b"Connection: close\r\nContent-Length: 0\r\n\r\n"
    async with serving(large) as port:
        with closing(slow_client(port)) as slow:
            slow.sendall(request)
            await asyncio.to_thread(slow.recv, 1)  # its answer is on the way
            assert_is(Kind.UNREAD_ANSWERS, *await seen(port, await sent(port, request)))
