"""Input of every kind, through HTTP: never a 500, and a log line stays one line.

Seen to fail: with NaN let through.
"""

from __future__ import annotations

import gzip
import json
import socket
import string
from statistics import median
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from tests.servers import RunningService, token

USER = "hostile"
TASKS = f"/api/{USER}/tasks"
effort = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
ODD = '\0\u202e\u200b\u2028\ufeff\u0301\U0001f600\U0010ffff\ud800\udfff\r\n\x1b[31m"\\{}'
texts = st.text(st.one_of(st.sampled_from(ODD), st.characters()), max_size=220)


@pytest.fixture(scope="module")
def client(shared_service: RunningService) -> httpx.Client:
    return shared_service.client(USER)


def checked(answer: httpx.Response, *statuses: int) -> httpx.Response:
    """Check that the answer has one of these statuses, and that an error is a problem; return the answer."""
    assert answer.status_code in statuses, (answer.status_code, answer.text[:300])
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json"
        assert isinstance(answer.json()["detail"], str)
    return answer


def storable(text: str) -> bool:
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


@effort
@given(title=texts, description=st.none() | texts)
def test_any_text_is_kept_as_sent_or_refused(client: httpx.Client, title: str, description: str | None) -> None:
    body = json.dumps({"title": title, "description": description})
    good = 1 <= len(title) <= 200 and not title.isspace() and storable(title) and storable(description or "")
    answer = checked(client.post(TASKS, content=body), 201 if good else 422)
    if good:
        task = answer.json()
        assert (task["title"], task["description"]) == (title, description)
        assert checked(client.get(f"{TASKS}/{task['id']}"), 200).json() == task
        checked(client.delete(f"{TASKS}/{task['id']}"), 200)


@pytest.mark.parametrize(
    "body",
    [
        b'{"title":"a","x":NaN}',
        b'{"title":"a","x":Infinity}',
        b'{"title":"a","x":-Infinity}',
        b'{"title":NaN}',
        b'{"title":"a"',
        b'{"title":"a"}{}',
        b'{"title":"a",}',
        b"{'title':'a'}",
        b'\xef\xbb\xbf{"title":"a"}',
        '{"title":"a"}'.encode("utf-16"),
        '{"title":"a"}'.encode("utf-32"),
        b'{"title":"\xff"}',
        b'{"title":"\xed\xa0\x80"}',
        b'{"title":"a\nb"}',
        b'{"title":"\\ud800"}',
        b'{"title":"a","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"title":"a","x":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}",
        b'{"title":' + b"9" * 100_000 + b"}",
        b"[" * 1_000_000,
        b"\0",
    ],
    ids=lambda body: ascii(body[:24]),
)
def test_what_is_not_json_by_the_letter_is_422(client: httpx.Client, body: bytes) -> None:
    checked(client.post(TASKS, content=body, headers={"Content-Type": "application/json"}), 422)


def test_odd_but_good_json_is_taken(client: httpx.Client) -> None:
    """The last of two members counts, as in all our parsers; NaN may be a word in a title."""
    for body, title in (
        (b'{"title":"first","title":"last"}', "last"),
        (b'{"t\\u0069tle":"escaped"}', "escaped"),
        (b'{"title":"NaN and Infinity"}', "NaN and Infinity"),
        (b' \n{"title":"a","x":1e999999,"y":' + b"9" * 4000 + b"}", "a"),
        (b'{"title":"a",' + b",".join(b'"k%d":%d' % (n, n) for n in range(50_000)) + b"}", "a"),
    ):
        assert checked(client.post(TASKS, content=body), 201).json()["title"] == title


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Type": "application/json; charset=utf-16"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "text/html"}, 415),
        ({"Content-Type": "multipart/form-data; boundary=x"}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": ";;;"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, 415),
        ({"Content-Type": "application/json", "Content-Encoding": "br"}, 415),
        ({"Content-Type": "application/merge-patch+json"}, 201),
        ({"Content-Type": "APPLICATION/JSON; charset=UTF-8"}, 201),
        ({"Content-Encoding": "identity"}, 201),
    ],
    ids=str,
)
def test_content_types_and_encodings(client: httpx.Client, headers: dict[str, str], status: int) -> None:
    body = b'{"title":"a"}'
    if headers.get("Content-Encoding") == "gzip":
        body = gzip.compress(body)
    checked(client.post(TASKS, content=body, headers=headers), status)


segments = st.one_of(
    st.text(min_size=1, max_size=60).map(lambda text: quote(text.encode("utf-8", "replace"), safe="")),
    st.text(string.hexdigits, min_size=2, max_size=2).map(lambda digits: "%" + digits),
    st.sampled_from(
        ["%00", "%2F", "%252F", "%2e%2e", "..", ".", "%", "%zz", "%C0%AF", "%FF", "~", "a;b=c", "a" * 5000]
    ),
    st.integers().map(str),
)


@effort
@given(user=segments, task=segments, tail=st.sampled_from(["", "/", "/complete", "//", "/x"]))
def test_any_path_is_an_error_of_ours(shared_service: RunningService, user: str, task: str, tail: str) -> None:
    """Sent raw: no library normalizes the path."""
    for method in ("GET", "PUT", "PATCH", "DELETE", "POST", "OPTIONS", "TRACE"):
        answer = raw(shared_service, f"{method} /api/{user}/tasks/{task}{tail} HTTP/1.1")
        assert answer.split(b" ")[1] in {b"400", b"403", b"404", b"405"}, answer[:200]
        assert b"application/problem+json" in answer


def test_a_line_feed_belongs_to_the_path(client: httpx.Client) -> None:
    """Seen to fail, but for the task id, with routes that end in a `$`."""
    task = checked(client.post(TASKS, json={"title": "a"}), 201).json()["id"]
    for method, path in [("GET", TASKS), ("POST", TASKS), ("PATCH", f"{TASKS}/{task}/complete"), ("GET", "/health")]:
        checked(client.request(method, f"{path}%0A", json={"title": "a"}), 404)
    checked(client.get(f"{TASKS}/{task}%0A"), 422)


@effort
@given(number=segments)
def test_any_task_id_is_a_404_or_422(client: httpx.Client, shared_service: RunningService, number: str) -> None:
    own = {task["id"] for task in client.get(TASKS).json()}
    assume(not (number.isdecimal() and int(number) in own))
    for suffix, method in (("", "GET"), ("", "DELETE"), ("/complete", "PATCH"), ("/history", "GET")):
        answer = raw(shared_service, f"{method} {TASKS}/{number}{suffix} HTTP/1.1")
        assert answer.split(b" ")[1] in {b"400", b"404", b"405", b"422"}, answer[:200]


@pytest.mark.parametrize(
    "name", ["y" * 255, "a b", "%2F", "%252F", "a..", "~", "a;b", "a%00", "é", "\U0001f600", "'--", "<b>", "{x}"]
)
def test_a_user_of_any_name_has_a_list_of_their_own(shared_service: RunningService, name: str) -> None:
    client = shared_service.client(name)
    path = f"/api/{quote(name, safe='')}/tasks"
    created = checked(client.post(path, json={"title": "a"}), 201)
    assert created.json()["user_id"] == name
    assert checked(client.get(created.headers["location"]), 200).json() == created.json()
    checked(shared_service.client(USER).get(path), 403)


INJECTED = [
    "a\r\nX-Evil: 1",
    "a\nX-Evil: 1",
    "a\rX-Evil: 1",
    "\x00",
    "\x1b[2J",
    '","level":"error',
    "é" * 100,
    "x" * 9000,
]


@pytest.mark.parametrize("value", INJECTED, ids=lambda value: ascii(value[:20]))
@pytest.mark.parametrize("name", ["X-Request-ID", "Origin", "If-Match", "If-None-Match", "Idempotency-Key", "Host"])
def test_headers_inject_nothing(shared_service: RunningService, name: str, value: str) -> None:
    lines = [f"GET {TASKS} HTTP/1.1", f"{name}: {value}"]
    answer = raw(shared_service, *lines)
    assert answer.split(b" ")[1] in {b"200", b"304", b"400", b"422"}
    head = answer.partition(b"\r\n\r\n")[0].lower()
    assert b"\r\nx-evil" not in head
    if value.isascii() and "\r" not in value and "\n" not in value:
        assert value.encode().lower() not in head


def test_smuggled_requests_are_not_answered(shared_service: RunningService) -> None:
    """Two lengths, or a length and chunks: one 400, and the connection ends; the hidden request never runs."""
    hidden = f"POST {TASKS} HTTP/1.1\r\nHost: x\r\nContent-Length: 19\r\n\r\n" + '{"title":"smuggled"}'
    for shape in (
        ["Content-Length: 4", "Transfer-Encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 4"],
        ["Content-Length: 0", "Content-Length: 40"],
        ["Transfer-Encoding: chunked", "Transfer-Encoding: identity"],
        ["Transfer-Encoding:\x0bchunked"],
        ["Content-Length: 0x4"],
    ):
        answer = raw(shared_service, f"POST {TASKS} HTTP/1.1", *shape, body="0\r\n\r\n" + hidden)
        assert answer.startswith(b"HTTP/1.1 400"), (shape, answer[:100])
        assert answer.count(b"HTTP/1.1 ") == 1
    assert "smuggled" not in shared_service.client(USER).get(TASKS).text


def test_half_sent_requests_do_not_matter_to_others(shared_service: RunningService, client: httpx.Client) -> None:
    where = urlsplit(shared_service.url)
    halves = [b"GET /health HTTP/1.1\r\nX:", f"POST {TASKS} HTTP/1.1\r\nContent-Length: 99\r\n\r\n{{".encode()]
    open_ = [socket.create_connection((where.hostname, where.port)) for _ in range(500)]
    try:
        for number, connection in enumerate(open_):
            connection.sendall(halves[number % 2])
        took = [checked(client.get(TASKS), 200).elapsed.total_seconds() for _ in range(20)]
        assert median(took) < 2
    finally:
        for connection in open_:
            connection.close()


def test_every_log_line_of_all_this_is_one_object_without_secrets(shared_service: RunningService) -> None:
    injected = quote('a\r\n{"x":1}')
    raw(shared_service, f"GET /api/{injected}/tasks HTTP/1.1")
    text = shared_service.logged()
    for line in text.split("\n")[:-1]:
        assert isinstance(json.loads(line), dict), line[:200]
    for hidden in ("eyJ", "password-of-the-tests", "a secret of the tests", '"traceback"', "Traceback"):
        assert hidden not in text, hidden


def raw(service: RunningService, *lines: str, body: str = "") -> bytes:
    """Send a raw request with the user's token, and return everything that is answered until the end."""
    where = urlsplit(service.url)
    head = [*lines, "Host: tasklog", f"Authorization: Bearer {token(USER)}", "Connection: close", "", ""]
    with socket.create_connection((where.hostname, where.port), timeout=20) as connection:
        connection.sendall("\r\n".join(head).encode() + body.encode())
        parts: list[Any] = []
        try:
            while part := connection.recv(65536):
                parts.append(part)
        except ConnectionResetError:
            pass
    return b"".join(parts)
