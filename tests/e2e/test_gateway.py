"""Debian's Caddy with compose's Caddyfile before the real service: its own answers are problems like all others."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import httpx
import orjson
import pytest

from edge.problem_kinds import Kind
from tests.e2e.all_in_one import RUN
from tests.machine import free_port, go_without
from tests.servers import RunningService, client_of, eventually, token
from tests.streams import opened

ORIGIN: Final = "https://app.example"
HEADERS: Final = {
    "access-control-allow-origin": ORIGIN,
    "access-control-allow-credentials": "true",
    "access-control-expose-headers": "Retry-After",
    "content-type": "application/problem+json",
    "referrer-policy": "no-referrer",
    "vary": "Origin",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}
MALFORMED: Final = {
    "no number": b"zz\r\nabc\r\n0\r\n\r\n",
    "a negative number": b"-3\r\nabc\r\n0\r\n\r\n",
    "no number after a good chunk": b"3\r\nabc\r\nxx\r\n",
    "a number too large": b"fffffffffffffffffff\r\nab",
    "a chunk longer than its number": b"3\r\nabcdef\r\n0\r\n\r\n",
    "a size line without end": b"3;" + b"a" * 5000 + b"\r\nabc\r\n0\r\n\r\n",
    "a trailer without colon": b"3\r\nabc\r\n0\r\nnocolon\r\n\r\n",
    "a trailer without end": b"3\r\nabc\r\n0\r\nA: " + b"a" * 9000 + b"\r\n\r\n",
}


@contextmanager
def running_gateway(upstream: str, directory: Path, *, read_body: str = "30s") -> Iterator[str]:
    """Run Caddy on a free port, both services at `upstream`.

    `read_body` is the time in which a whole request must have come.
    """
    port = free_port()
    replaced = {
        "\n:8000 {": f"\n:{port} {{",
        "read_api:8000": upstream,
        "command_api:8000": upstream,
        "read_body 30s": f"read_body {read_body}",
    }
    with running_caddy(RUN.with_name("Caddyfile").read_text(), replaced, port, directory) as url:
        yield url


@contextmanager
def running_caddy(text: str, replaced: Mapping[str, str], port: int, directory: Path) -> Iterator[str]:
    """Run Caddy with a Caddyfile in which each text of `replaced` is replaced; it listens on `port`.

    Without Caddy skip, or fail where `CI` is set.
    """
    caddy = shutil.which("caddy")
    if caddy is None:
        go_without("Caddy", "caddy is not installed")
    for written, here in replaced.items():
        assert written in text
        text = text.replace(written, here)
    (directory / "Caddyfile").write_text(text)
    folders = {"XDG_CONFIG_HOME": str(directory), "XDG_DATA_HOME": str(directory)}
    # Settings normalizes the entries of CORS_ORIGINS, so the gateway must do it too.
    env = os.environ | folders | {"CORS_ORIGINS": "http://localhost:3000, HTTPS://app.example/"}
    command = [caddy, "run", "--config", str(directory / "Caddyfile")]
    with (
        (directory / "caddy.log").open("wb") as log,
        subprocess.Popen(command, env=env, stdout=log, stderr=log) as process,
    ):
        try:
            eventually(lambda: _listens(port) or process.poll() is not None)
            assert process.poll() is None, (directory / "caddy.log").read_text()
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


@pytest.fixture(scope="module")
def gateway(shared_service: RunningService, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    upstream = shared_service.url.removeprefix("http://")
    with running_gateway(upstream, tmp_path_factory.mktemp("gateway")) as url:
        yield url


@pytest.fixture(scope="module")
def gateway_to_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_gateway(f"127.0.0.1:{free_port()}", tmp_path_factory.mktemp("gateway")) as url:
        yield url


def post_chunks(url: str, user: str, chunks: bytes, *, origin: str = ORIGIN) -> httpx.Response:
    """Send a raw body, which no client library would, and return the answer."""
    address = httpx.URL(url)
    head = (
        f"POST /api/{user}/tasks HTTP/1.1\r\nHost: {address.host}\r\nOrigin: {origin}\r\nConnection: close\r\n"
        f"Authorization: Bearer {token(user)}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    with socket.create_connection((address.host, address.port or 80), timeout=20) as connection:
        connection.sendall(head.encode() + chunks)
        answer = b""
        with suppress(ConnectionResetError):  # the gateway closes before it has read all of a long body
            while part := connection.recv(65536):
                answer += part
    start, _, body = answer.partition(b"\r\n\r\n")
    status, *lines = start.decode().split("\r\n")
    headers = [(name, value) for name, _, value in (line.partition(": ") for line in lines)]
    return httpx.Response(int(status.split()[1]), headers=headers, content=body)


def assert_is_problem(answer: httpx.Response, status: int, kind: Kind, detail: str) -> None:
    assert answer.status_code == status, answer.text
    expected = {"type": kind.type, "title": kind.title, "status": status, "detail": detail}
    assert orjson.loads(answer.content) == expected
    assert {name: answer.headers.get(name) for name in HEADERS} == HEADERS


def test_a_browser_gets_from_the_root_to_the_console_and_to_the_problems(gateway: str) -> None:
    browser = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
    for method in ("GET", "HEAD"):
        answer = httpx.request(method, gateway, headers=browser)
        assert (answer.status_code, answer.headers["location"]) == (303, "/console")
    for path in ("/console", "/problems"):
        answer = httpx.get(f"{gateway}{path}", headers=browser)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert httpx.get(gateway).json()["name"] == "Tasklog"


@pytest.mark.parametrize("chunks", MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_chunked_body_is_400_through_the_gateway(gateway: str, user: str, chunks: bytes) -> None:
    answer = post_chunks(gateway, user, chunks)
    assert_is_problem(answer, 400, Kind.MALFORMED_REQUEST, "The chunks of the body are not as HTTP asks for them")
    assert "retry-after" not in answer.headers
    with client_of(gateway, user) as client:
        assert client.get(f"/api/{user}/tasks").json() == []


def test_a_good_chunked_body_goes_through_the_gateway(gateway: str, user: str) -> None:
    answer = post_chunks(gateway, user, b'9\r\n{"title":\r\n5\r\n"a b"\r\n1\r\n}\r\n0\r\n\r\n')
    assert (answer.status_code, answer.json()["title"]) == (201, "a b")


@pytest.mark.parametrize("chunks", [b'd\r\n{"title":"a"}\r\n0\r\n\r\n', b"zz\r\n"])
def test_a_dead_service_is_503_whatever_the_body(gateway_to_nobody: str, user: str, chunks: bytes) -> None:
    answer = post_chunks(gateway_to_nobody, user, chunks)
    detail = "The service cannot answer now, try again in a moment"
    assert_is_problem(answer, 503, Kind.UNAVAILABLE, detail)
    assert answer.headers["retry-after"] == "1"


def test_a_stream_comes_through_the_gateway_at_once_and_outlives_the_time_for_requests(
    shared_service: RunningService, tmp_path: Path, user: str
) -> None:
    upstream = shared_service.url.removeprefix("http://")
    client = shared_service.client(user)
    with running_gateway(upstream, tmp_path, read_body="1s") as url, opened(url, user) as stream:
        assert stream.next().data["tasks"] == []
        assert "content-encoding" not in stream.answer.headers
        began = time.monotonic()
        while time.monotonic() - began < 2.5:
            title = f"at {time.monotonic()}"
            client.post(f"/api/{user}/tasks", json={"title": title})
            written = time.monotonic()
            assert [task["title"] for task in stream.next().data["tasks"]] == [title]
            assert time.monotonic() - written < 15
        assert stream.received.isascii()


@pytest.mark.parametrize("origin", ["https://evil.example", "https://app.example.evil.example", "http://localhost"])
def test_a_page_of_another_origin_cannot_read_the_gateways_answers(gateway: str, user: str, origin: str) -> None:
    answer = post_chunks(gateway, user, b"zz\r\n", origin=origin)
    assert not [name for name in answer.headers if name.startswith("access-control-")]
