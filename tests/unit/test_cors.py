"""What a browser is told of other origins: contract, point 9. Whole sets, so that nothing is left out or let in."""

from __future__ import annotations

import httpx
import orjson
import pytest
from starlette.requests import Request
from starlette.responses import Response

from edge.openapi import FILE
from tests.unit.http_face import ORIGIN, face

TASKS = "/api/u/tasks"
METHODS = {"get", "post", "put", "delete", "patch", "options"}
ASKED_WITH = {"authorization", "content-type", "if-match", "if-none-match", "idempotency-key", "x-request-id"}
ALWAYS_ALLOWED = {"accept", "accept-language", "content-language", "content-type"}
EXPOSED = {"etag", "link", "location", "retry-after", "tasklog-position", "x-request-id", "x-total-count"}


async def nothing(_request: Request) -> Response:
    return Response()


def words(answer: httpx.Response, header: str) -> set[str]:
    return {word.strip().lower() for word in answer.headers[header].split(",")}


async def test_an_allowed_origin_is_echoed_and_our_headers_are_exposed() -> None:
    """Seen to fail with X-Total-Count alone exposed."""
    async with face(nothing) as client:
        answer = await client.get(TASKS, headers={"Origin": ORIGIN})
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert words(answer, "access-control-expose-headers") == EXPOSED
    assert "origin" in words(answer, "vary")


def test_every_header_that_an_operation_describes_is_exposed_but_for_the_one_that_a_browser_undoes() -> None:
    operations = [one for path in orjson.loads(FILE.read_bytes())["paths"].values() for one in path.values()]
    answers = [answer for operation in operations for answer in operation["responses"].values()]
    described = {name.lower() for answer in answers for name in answer.get("headers", ())}
    assert {"etag", "link", "location", "x-total-count"} <= described - {"content-encoding"} <= EXPOSED


@pytest.mark.parametrize("origin", ["https://app.example.evil", "http://app.example", "null", "https://app.example:1"])
async def test_any_other_origin_is_not_echoed(origin: str) -> None:
    async with face(nothing) as client:
        answer = await client.get(TASKS, headers={"Origin": origin})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("origins", [("*",), (ORIGIN, "*")])
def test_any_origin_is_refused_at_start_because_answers_carry_credentials(origins: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="name each origin"):
        face(nothing, origins=origins)


async def test_a_preflight_allows_our_methods_and_headers_and_no_others() -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "if-match"}
    async with face(nothing) as client:
        answer = await client.options(TASKS, headers=asked)
    assert answer.status_code == 200
    assert words(answer, "access-control-allow-methods") == METHODS
    assert words(answer, "access-control-allow-headers") == ASKED_WITH | ALWAYS_ALLOWED


@pytest.mark.parametrize(
    "other",
    [
        {"Origin": "https://evil.example"},
        {"Access-Control-Request-Method": "TRACE"},
        {"Access-Control-Request-Headers": "x-other"},
    ],
)
async def test_a_refused_preflight_is_a_problem(other: dict[str, str]) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"} | other
    async with face(nothing) as client:
        answer = await client.options(TASKS, headers=asked)
    assert answer.status_code == answer.json()["status"] == 400
    assert ("access-control-allow-origin" in answer.headers) == (asked["Origin"] == ORIGIN)
