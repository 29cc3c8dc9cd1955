"""Our protocol beside uvicorn's own ones: the same bytes have the same answers.

Differences, each with a test of its own here or in test_connections.py:

- what is not HTTP is answered with a problem document, uvicorn's with plain text;
- a client of HTTP/1.0 gets no chunks, as with uvicorn's h11;
- a URL without a path is `/`;
- CONNECT is refused, uvicorn's hands it to the app;
- trailers come to nothing (test_http_limits.py), uvicorn's adds them to the headers;
- requests that come before what is not HTTP are answered (test_http_limits.py), and a body after the offer of an
  upgrade belongs to its request (test_upgrade_offers.py).

Seen to fail: without the lower case of header names, and with chunks for HEAD.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from tasklog.serving.protocol import Protocol
from tests.integration.raw_http import answered, mirror

LAST = b"GET /length/last HTTP/1.1\r\nHost: tasklog\r\nConnection: close\r\n\r\n"

tokens = st.text("abcXYZ-_09", min_size=1, max_size=12).map(str.encode)
values = st.text("ab \t,;=\"'\\{}(é", max_size=20).map(lambda text: text.strip(" \t").encode("latin-1"))
segments = st.sampled_from([b"", b"/", b"/a%20b", b"/%2F", b"//x", b"/~;v=1", b"/%C3%A9", b"/%zz"])
queries = st.sampled_from([b"", b"?", b"?a=1&b=%20", b"?a?b", b"?/x"])
paths = st.sampled_from([b"/length", b"/parts", b"/early", b"/whole", b"/empty", b"/same"])
bodies = st.binary(max_size=300) | st.just(b"x" * 70_000)


@st.composite
def chunked(draw: st.DrawFn, body: bytes) -> bytes:
    """Return a body in chunks, with extensions."""
    cuts = sorted({0, len(body), *draw(st.lists(st.integers(0, len(body)), max_size=4))})
    extension = draw(st.sampled_from([b"", b";a=b", b';name="x y"']))
    size = draw(st.sampled_from([b"%x", b"%X", b"00%x"]))
    text = b"".join(
        size % (end - start) + extension + b"\r\n" + body[start:end] + b"\r\n" for start, end in pairwise(cuts)
    )
    return text + b"0\r\n" + b"\r\n"


@st.composite
def requests(draw: st.DrawFn, origins: tuple[bytes, ...] = (b"", b"http://tasklog")) -> bytes:
    """Return a good request that leaves the connection open."""
    method = draw(st.sampled_from([b"GET", b"POST", b"PUT", b"HEAD", b"DELETE", b"OPTIONS", b"PATCH"]))
    target = draw(st.sampled_from(origins)) + draw(paths) + draw(segments) + draw(queries)
    headers = [
        b"Host: tasklog",
        *[b"X-" + name + b":" + value for name, value in draw(st.lists(st.tuples(tokens, values), max_size=4))],
    ]
    headers += draw(st.sampled_from([[], [b"Connection: keep-alive"], [b"cOnNeCtIoN:Keep-Alive"]]))
    body = b""
    if method in {b"POST", b"PUT", b"PATCH"}:
        body = draw(bodies)
        framing = draw(st.sampled_from([b"length", b"chunks"]))
        headers.append(b"Content-Length: %d" % len(body) if framing == b"length" else b"Transfer-Encoding: chunked")
        headers += draw(st.sampled_from([[], [b"Expect: 100-continue"]]))
        body = body if framing == b"length" else draw(chunked(body))
    blank = draw(st.sampled_from([b"", b"\r\n"]))
    return (
        blank
        + b"%b %b HTTP/1.1\r\n" % (method, target)
        + b"".join(b"%b\r\n" % header for header in headers)
        + b"\r\n"
        + body
    )


def pieces(text: bytes, cuts: list[int]) -> Iterator[bytes]:
    """Yield the text in pieces, cut at these places as far as they are in it."""
    for start, end in pairwise(sorted({0, len(text), *[cut % (len(text) + 1) for cut in cuts]})):
        yield text[start:end]


cuts_anywhere = st.lists(st.integers(0, 100_000) | st.integers(0, 400), max_size=12)


@given(st.lists(requests(), max_size=5), cuts_anywhere)
def test_good_requests_have_the_same_answers_byte_for_byte(sent: list[bytes], cuts: list[int]) -> None:
    """Pipelined, and cut anywhere."""

    async def both() -> tuple[bytes, bytes]:
        text = b"".join(sent) + LAST
        return (
            await answered(Protocol, mirror, pieces(text, cuts)),
            await answered(HttpToolsProtocol, mirror, pieces(text, cuts)),
        )

    ours, uvicorns = asyncio.run(both())
    assert ours == uvicorns
    assert ours.count(b"GET\n/length/last\n") == 1


@pytest.mark.parametrize("path", [b"/length", b"/parts", b"/empty", b"/same"])
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST"])
@pytest.mark.parametrize("kept", [b"", b"Connection: keep-alive\r\n"])
async def test_http_1_0_has_the_answers_of_h11(method: bytes, path: bytes, kept: bytes) -> None:
    """The end of the connection ends them; uvicorn's httptools sends chunks, which HTTP/1.0 does not know."""
    text = b"%b %b HTTP/1.0\r\nHost: tasklog\r\n%bContent-Length: 2\r\n\r\n{}" % (method, path, kept)
    found = []
    for kind in (Protocol, H11Protocol):
        head, _, body = (await answered(kind, mirror, [text])).partition(b"\r\n\r\n")
        start, *headers = head.lower().split(b"\r\n")
        found.append((start.split()[1], sorted(headers), body))
    assert found[0] == found[1]
    assert b"connection: close" in found[0][1]
    assert not [header for header in found[0][1] if header.startswith(b"transfer-encoding")]


GET = b"GET /length HTTP/1.1\r\nHost: tasklog\r\n"
POST = b"POST /length HTTP/1.1\r\nHost: tasklog\r\n"
BAD = [
    b"hello\r\n\r\n",
    b"get /length HTTP/1.1\r\n\r\n",
    b"GET /length HTTP/1.1 \r\n\r\n",
    b"GET /length HTTP/1.2\r\n\r\n",
    b"GET length HTTP/1.1\r\n\r\n",
    b"GET /a\tb HTTP/1.1\r\n\r\n",
    GET + b"No colon\r\n\r\n",
    GET + b": no name\r\n\r\n",
    GET + b"A b: space in the name\r\n\r\n",
    GET + b"A : space behind the name\r\n\r\n",
    GET + b"A: bare\rCR\r\n\r\n",
    GET + b"A: NUL \0\r\n\r\n",
    POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    POST + b"Content-Length: 2, 2\r\n\r\n{}",
    POST + b"Content-Length: \r\n\r\n{}",
    POST + b"Content-Length: 2 2\r\n\r\n{}",
    POST + b"Content-Length: 99999999999999999999999\r\n\r\n{}",
    POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: gzip\r\n\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
    POST + b"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffffff\r\n",
]
"""Not HTTP: each is refused whole and in pieces, and nothing behind it is answered."""


@pytest.mark.parametrize("size", [1, 7, 1000], ids="pieces of {}".format)
@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text[-36:]))
async def test_what_uvicorn_refuses_is_refused(text: bytes, size: int) -> None:
    sent = [(text + LAST)[start : start + size] for start in range(0, len(text + LAST), size)]
    for kind in (Protocol, HttpToolsProtocol):
        answer = await answered(kind, mirror, sent)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"\r\nconnection: close\r\n" in answer
        assert answer.count(b"HTTP/1.1 ") == 1


@pytest.mark.parametrize("target", [b"/length", b"http://tasklog/length", b"tasklog:443"])
async def test_connect_is_refused(target: bytes) -> None:
    answer = await answered(Protocol, mirror, [b"CONNECT %b HTTP/1.1\r\nHost: tasklog\r\n\r\n" % target + LAST])
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.count(b"HTTP/1.1 ") == 1


async def paths_by(kind: Any, text: bytes) -> tuple[bytes, bytes]:
    """Return the status and the body of one answer."""
    head, _, body = (await answered(kind, mirror, [text])).partition(b"\r\n\r\n")
    return head.split()[1], body if head.split()[1] == b"200" else b""


@pytest.mark.parametrize("where", [b"/length%b", b"/length?%b", b"http://tasklog/length%b", b"/length#%b"])
async def test_every_byte_of_a_target_is_taken_or_refused_as_by_uvicorn(where: bytes) -> None:
    for byte in range(256):
        text = b"GET " + where % bytes([byte]) + b" HTTP/1.1\r\nHost: tasklog\r\nConnection: close\r\n\r\n"
        assert await paths_by(Protocol, text) == await paths_by(HttpToolsProtocol, text), byte


async def test_a_url_without_a_path_is_the_root() -> None:
    text = b"GET http://tasklog HTTP/1.1\r\nHost: tasklog\r\nConnection: close\r\n\r\n"
    status, body = await paths_by(Protocol, text)
    assert (status, body.split(b"\n")[1:4]) == (b"200", [b"GET", b"/", b"/"])
