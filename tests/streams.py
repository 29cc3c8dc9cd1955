"""A client of a stream of changes: reads events as a browser parses them, and can stop at any byte."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import httpx

from tests.servers import token as token_of


class Seen(NamedTuple):
    """An event: its id, its data, and the `retry` in it."""

    id: str
    data: dict[str, Any]
    retry: int | None


class Stream:
    """An open stream."""

    def __init__(self, answer: httpx.Response, most_bytes: int | None) -> None:
        self.answer = answer
        self.comments = 0
        self.is_cut = False
        self.received = b""
        self._left = most_bytes
        self._bytes = answer.iter_raw()

    def events(self) -> Iterator[Seen]:
        """Yield events until the stream ends, or the client has read as many bytes as it wants."""
        text = b""
        with suppress(httpx.RemoteProtocolError, httpx.ReadTimeout):
            for part in self._limited():
                self.received += part
                text += part
                *blocks, text = text.split(b"\n\n")
                for block in blocks:
                    if block.startswith(b":"):
                        self.comments += 1
                    else:
                        yield _event(block)
            return
        self.is_cut = True

    def _limited(self) -> Iterator[bytes]:
        for part in self._bytes:
            if self._left is None:
                yield part
                continue
            yield part[: self._left]
            self._left -= len(part)
            if self._left <= 0:
                return

    def next(self) -> Seen:
        """Return the next event."""
        return next(self.events())


def _event(block: bytes) -> Seen:
    fields = dict(line.split(": ", 1) for line in block.decode("ascii").splitlines())
    assert fields.keys() <= {"id", "data", "retry"}
    return Seen(fields["id"], json.loads(fields["data"]), int(fields["retry"]) if "retry" in fields else None)


@contextmanager
def opened(  # noqa: PLR0913 - what a client can choose
    url: str,
    user: str,
    since: str | None = None,
    *,
    last: str | None = None,
    most_bytes: int | None = None,
    silence: float = 20,
    **claims: Any,
) -> Iterator[Stream]:
    """Open a stream of a user's changes; the client stops after `most_bytes`, and after `silence` in seconds."""
    headers = {"Authorization": f"Bearer {token_of(user, **claims)}"} | ({"Last-Event-ID": last} if last else {})
    with (
        httpx.Client(base_url=url, headers=headers, timeout=20) as client,
        client.stream("GET", f"/api/{user}/changes/stream", params={"since": since} if since else {}) as answer,
    ):
        assert answer.status_code == 200, answer.read()
        answer.request.extensions["timeout"]["read"] = silence  # a slow machine may take longer for the head
        yield Stream(answer, most_bytes)


@contextmanager
def opened_until_it_expires(url: str, user: str) -> Iterator[tuple[Stream, float]]:
    """Open a stream with a token that expires soon; yield it, and when, with the leeway of 30 s, as UNIX seconds."""
    for seconds in (3, 10, 25):  # if this machine cannot open it sooner
        expires = time.time() + seconds
        with ExitStack() as stack:
            try:
                stream = stack.enter_context(opened(url, user, exp=expires - 30))
            except AssertionError:
                continue
            yield stream, expires
            return
    raise AssertionError("the stream was not opened within 25 s")


def seconds_until(stream: Stream, wanted: Any, since: float) -> float:
    """Return after how many seconds since a moment the stream shows something."""
    for event in stream.events():
        if wanted(event.data):
            return time.monotonic() - since
    raise AssertionError("the stream ended before")
