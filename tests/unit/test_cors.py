"""What a browser learns about other origins: contract, point 9. Whole sets are compared: nothing may be extra."""

from __future__ import annotations

import httpx
import orjson
import pytest
import structlog
from starlette.requests import Request
from starlette.responses import Response

from edge.openapi import FILE
from tests.unit.http_face import ORIGIN, face

TASKS = "/api/u/tasks"
METHODS = {"get", "post", "put", "delete", "patch", "options"}
EXPOSED = {
    "etag",
    "link",
    "location",
    "retry-after",
    "tasklog-cell",
    "tasklog-hash",
    "tasklog-position",
    "x-request-id",
    "x-total-count",
}


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


def preflight(**other: str) -> dict[str, str]:
    """Return the headers of a preflight of an allowed origin; `other` replaces some."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "PUT"}
    return asked | {name.replace("_", "-"): value for name, value in other.items()}


@pytest.mark.parametrize(
    "header",
    ["authorization,if-match,idempotency-key", "x-requested-with", "cache-control, traceparent", "x-csrf-token"],
)
async def test_an_allowed_origin_may_send_any_header_with_each_of_our_methods(header: str) -> None:
    async with face(nothing) as client:
        answer = await client.options(TASKS, headers=preflight(Access_Control_Request_Headers=header))
    assert answer.status_code == 200
    assert words(answer, "access-control-allow-methods") == METHODS
    assert words(answer, "access-control-allow-headers") == {name.strip() for name in header.split(",")}
    assert answer.headers["access-control-allow-origin"] == ORIGIN


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        (
            {"Origin": "https://evil.example", "Access_Control_Request_Headers": "x-other"},
            "This origin is not allowed: the service's CORS_ORIGINS does not name it",
        ),
        (
            {"Access_Control_Request_Method": "TRACE"},
            "This method is not allowed from a browser: use one of GET, POST, PUT, DELETE, PATCH, OPTIONS",
        ),
    ],
)
async def test_a_refused_preflight_is_a_problem_that_names_what_was_refused(other: dict[str, str], detail: str) -> None:
    async with face(nothing) as client:
        answer = await client.options(TASKS, headers=preflight(**other))
    assert (answer.status_code, answer.json()["status"], answer.json()["detail"]) == (400, 400, detail)
    assert ("access-control-allow-origin" in answer.headers) == ("Origin" not in other)


LOCAL = ["http://localhost:5173", "https://localhost", "http://127.0.0.1:8080", "http://[::1]:4321"]
NEARLY_LOCAL = ["http://localhost.evil.example", "http://127.0.0.1.evil.example:5173", "http://evil.example?localhost"]


@pytest.mark.parametrize(
    ("origin", "let_in"), [*((one, True) for one in LOCAL), *((one, False) for one in NEARLY_LOCAL)]
)
async def test_development_lets_in_this_machine_on_any_port_and_nothing_that_looks_like_it(
    origin: str, let_in: bool
) -> None:
    async with face(nothing, environment="development") as client:
        asked = await client.options(TASKS, headers=preflight(Origin=origin))
        answer = await client.get(TASKS, headers={"Origin": origin})
    assert asked.status_code == (200 if let_in else 400)
    assert answer.headers.get("access-control-allow-origin") == (origin if let_in else None)


@pytest.mark.parametrize("origin", LOCAL)
async def test_production_lets_in_only_what_it_is_told(origin: str) -> None:
    async with face(nothing) as client:
        assert (await client.options(TASKS, headers=preflight(Origin=origin))).status_code == 400


async def test_a_refused_origin_is_one_line_in_the_log_that_names_it_and_the_setting() -> None:
    with structlog.testing.capture_logs() as lines:
        async with face(nothing) as client:
            for origin in ["https://a.example", "https://b.example", "https://a.example", "http://tasklog", ORIGIN]:
                await client.options(TASKS, headers=preflight(Origin=origin)) if origin != "http://tasklog" else None
                await client.get(TASKS, headers={"Origin": origin})
    refused = [line for line in lines if line["event"] == "an origin is refused"]
    assert [(line["origin"], line["setting"], line["log_level"]) for line in refused] == [
        ("https://a.example", "CORS_ORIGINS", "warning"),
        ("https://b.example", "CORS_ORIGINS", "warning"),
    ]
