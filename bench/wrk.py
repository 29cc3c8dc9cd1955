"""Load by wrk: which requests, over how many connections, and the results."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import jwt

if TYPE_CHECKING:
    from collections.abc import Sequence

SECRET: Final = "the secret of the benchmark, long enough"
_SCRIPT: Final = Path(__file__).with_name("requests.lua")
_DAY: Final = 86400


class Call(NamedTuple):
    """A request of a user; all of nine # in `body` become one number, which differs from request to request."""

    method: str
    path: str
    user: str
    body: str = ""
    etag: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """What wrk saw: answers, seconds, bytes; answers above 399; broken requests; latencies in ms."""

    requests: int
    seconds: float
    bytes: int
    refused: int
    broken: int
    p50: float
    p95: float
    p99: float

    @property
    def rate(self) -> float:
        """Answers per second."""
        return self.requests / self.seconds

    @property
    def size(self) -> float:
        """Bytes of an answer, with its headers, on average."""
        return self.bytes / max(1, self.requests)


def find_wrk() -> str:
    """Return the program, or end this one with a sentence on how to get it."""
    found = shutil.which("wrk")
    if found is None:
        raise SystemExit("The benchmark needs wrk: apt install wrk (Debian, Ubuntu), brew install wrk (macOS).")
    return found


_tokens: dict[str, str] = {}


def token(user: str) -> str:
    """Return a token of a user, signed once, good for a day."""
    if user not in _tokens:
        now = int(time.time())
        _tokens[user] = jwt.encode({"sub": user, "iat": now, "exp": now + _DAY}, SECRET, algorithm="HS256")
    return _tokens[user]


async def load(url: str, calls: Sequence[Call], *, connections: int, seconds: float) -> Measured:
    """Send `calls` in turn for some seconds, each connection one after the other."""
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        for call in calls:
            file.write("\t".join((call.method, call.path, token(call.user), call.body, call.etag)) + "\n")
        file.flush()
        number = str(time.time_ns() // 100_000_000 % 10_000 * 100_000)
        process = await asyncio.create_subprocess_exec(
            find_wrk(),
            *("-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s", "--timeout", "10s", "-s", str(_SCRIPT), url),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "BENCH_CALLS": file.name, "BENCH_FIRST": number},
        )
        output, _ = await process.communicate()
    if process.returncode:
        raise SystemExit(f"wrk ended with {process.returncode}: {output.decode()}")
    return Measured(**json.loads(output.splitlines()[-1]))
