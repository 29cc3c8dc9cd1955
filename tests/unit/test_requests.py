from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from starlette.requests import Request
from starlette.responses import Response
from structlog.testing import capture_logs

from edge.problem_kinds import Kind
from edge.problems import ProblemError
from edge.requests import BODY_LIMIT, record_of
from runtime.database import UnavailableError
from tests.unit.http_face import ORIGIN, SECURITY_HEADERS, face
from tokens.verifier import KeysUnavailable, Unauthorized

TASKS = "/api/u/tasks"


async def size(request: Request) -> Response:
    return Response(str(len(await request.body())))


async def request_id(request: Request) -> Response:
    return Response(record_of(request).request_id)


async def chunks(count: int, sent: list[int]) -> AsyncIterator[bytes]:
    for number in range(count):
        sent.append(number)
        yield b"x" * (BODY_LIMIT // 4)


async def test_a_body_of_the_limit_is_read() -> None:
    async with face(size) as client:
        assert (await client.post(TASKS, content=b"x" * BODY_LIMIT)).text == str(BODY_LIMIT)


async def test_a_declared_body_over_the_limit_is_413_before_anything_is_read() -> None:
    sent: list[int] = []
    async with face(size) as client:
        answer = await client.post(TASKS, content=chunks(5, sent), headers={"Content-Length": str(BODY_LIMIT * 5 // 4)})
    assert answer.status_code == 413
    assert answer.json()["detail"] == "The body is larger than 1 MiB"
    assert sent == []


async def test_a_chunked_body_over_the_limit_is_413_before_it_is_read_whole() -> None:
    sent: list[int] = []
    async with face(size) as client:
        answer = await client.post(TASKS, content=chunks(1000, sent))
    assert answer.status_code == 413
    assert len(sent) < 10


async def test_a_sane_request_id_is_taken() -> None:
    async with face(request_id) as client:
        answer = await client.get(TASKS, headers={"X-Request-ID": "abc.D-1_2"})
    assert answer.text == answer.headers["x-request-id"] == "abc.D-1_2"


@pytest.mark.parametrize("given", ["", "a b", "é", "a" * 129, '"}\n', "<script>"])
async def test_any_other_request_id_is_made_anew(given: str) -> None:
    async with face(request_id) as client:
        answer = await client.get(TASKS, headers={b"X-Request-ID": given.encode()})
    assert len(answer.headers["x-request-id"]) == 32


async def test_one_trailing_slash_is_dropped_and_no_more() -> None:
    async with face(size) as client:
        assert (await client.get(TASKS + "/")).status_code == 200
        assert (await client.get(TASKS + "//")).status_code == 404


async def test_head_is_get_without_the_body() -> None:
    async with face(request_id) as client:
        answer = await client.head(TASKS)
    assert (answer.status_code, answer.content) == (200, b"")


async def test_every_answer_has_the_security_headers() -> None:
    """Seen to fail with any one of them left out."""
    async with face(size) as client:
        answers = [
            await client.get(path) for path in (TASKS, "/nowhere", "/health", "/docs", "/docs/assets/favicon.png")
        ]
        answers += [await client.post("/health"), await client.post(TASKS, content=b"x" * (BODY_LIMIT + 1))]
        answers.append(await client.options(TASKS, headers={"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}))
    assert [answer.status_code for answer in answers] == [200, 404, 200, 200, 200, 405, 413, 200]
    for answer in answers:
        assert answer.headers.items() >= SECURITY_HEADERS.items()


async def test_a_request_is_one_log_line_with_its_route_and_not_its_path() -> None:
    async with face(size) as client:
        with capture_logs() as lines:
            await client.get(TASKS + "?q=secret")
    assert len(lines) == 1
    assert {**lines[0], "ms": 0, "request_id": ""} == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "route": "/api/{user_id}/tasks",
        "status": 200,
        "ms": 0,
        "request_id": "",
    }


async def test_an_unexpected_error_is_a_500_that_says_nothing_and_one_traceback_in_the_log() -> None:
    async def fail(_request: Request) -> Response:
        raise RuntimeError("the secret title")

    async with face(fail) as client:
        with capture_logs() as lines:
            answer = await client.get(TASKS, headers={"Origin": ORIGIN})
    assert answer.status_code == 500
    assert answer.json() == {
        "type": "/problems/internal-error",
        "title": "The service made a mistake",
        "status": 500,
        "detail": "Internal server error",
    }
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert [line["event"] for line in lines] == ["internal error", "request"]


@pytest.mark.parametrize(
    ("error", "status", "header"),
    [
        (Unauthorized("missing", "Authentication is required"), 401, ("www-authenticate", "Bearer")),
        (
            Unauthorized("expired", "Token has expired"),
            401,
            ("www-authenticate", 'Bearer error="invalid_token", error_description="Token has expired"'),
        ),
        (KeysUnavailable(), 503, ("retry-after", "1")),
        (KeysUnavailable(retry_after=5), 503, ("retry-after", "5")),
        (UnavailableError(), 503, ("retry-after", "1")),
        (ProblemError(Kind.TOO_MANY_REQUESTS, "Slow down", headers={"Retry-After": "7"}), 429, ("retry-after", "7")),
    ],
)
async def test_errors_become_problems(error: Exception, status: int, header: tuple[str, str]) -> None:
    async def fail(_request: Request) -> Response:
        raise error

    async with face(fail) as client:
        answer = await client.get(TASKS)
    assert answer.status_code == answer.json()["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers[header[0]] == header[1]
    assert isinstance(answer.json()["detail"], str)
    assert "message" not in answer.json()


async def test_a_refused_token_is_a_warning_with_why_and_from_where() -> None:
    async def refuse(_request: Request) -> Response:
        raise Unauthorized("expired", "Token has expired")

    async with face(refuse) as client:
        with capture_logs() as lines:
            await client.get(TASKS)
    assert [line["log_level"] for line in lines] == ["warning"]
    assert (lines[0]["refused"], lines[0]["client"]) == ("expired", "127.0.0.1")


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("DELETE", "/api/u/tasks", "GET, HEAD, POST"),
        ("POST", "/api/u/tasks/1", "DELETE, GET, HEAD, PATCH, PUT"),
        ("POST", "/api/u/tasks/1/complete/", "PATCH"),
        ("POST", "/health", "GET, HEAD"),
        ("OPTIONS", "/", "GET, HEAD"),
        ("POST", "/docs", "GET, HEAD"),
    ],
)
async def test_405_allows_what_the_whole_service_can(method: str, path: str, allow: str) -> None:
    async with face(size, path="/elsewhere") as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


async def test_a_path_of_nothing_is_a_404_problem() -> None:
    async with face(size) as client:
        answer = await client.get("/api/u/tasks/1/2/3")
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is nothing at this path")


@pytest.mark.parametrize("path", ["/health", "/docs", "/openapi.json", TASKS])
async def test_a_line_feed_behind_a_path_is_another_path(path: str) -> None:
    """Seen to fail with Starlette's `$`, which matches before a line feed, and with a URL, which drops it."""
    async with face(size) as client:
        answers = [await client.request(method, f"{path}%0A") for method in ("GET", "PATCH")]
    assert [answer.status_code for answer in answers] == [404, 404]


async def test_the_documentation_needs_no_internet() -> None:
    async with face(size) as client:
        page = (await client.get("/docs")).text
        assert "https://" not in page
        for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png"):
            assert f"/docs/assets/{asset}" in page
            assert (await client.get(f"/docs/assets/{asset}")).status_code == 200
        assert (await client.get("/openapi.json")).json()["openapi"].startswith("3.1")
