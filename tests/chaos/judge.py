"""After the faults: does it heal by itself and in time, and was every promise kept?"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import Iterator
from itertools import chain
from typing import Final

import orjson

from audit.verify import verify
from runtime.database import open_database
from runtime.settings import Settings, SettingsError
from tests.chaos.checker import Evidence, Violation, check_answers, check_writes
from tests.chaos.history import forgiven
from tests.chaos.ledger import lagging
from tests.chaos.memory import check_memory
from tests.chaos.order import check_order
from tests.chaos.storage import check_projection, check_streams
from tests.chaos.world import HEALTHY_SECONDS, UnhealthyError, World
from tests.machine import processes_of
from tests.servers import SECRET

_END_SECONDS: Final = 5.0
_SHOWN: Final = 5
_GREETINGS_LINK = re.compile(r"  http://127\.0\.0\.1:\d+/console#token=[\w.-]+")
_NEVER_IN_LOGS: Final = {
    "a traceback": re.compile(r'"traceback"|Traceback \(most recent call last\)'),
    "a token": re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]+"),
    "the secret": re.compile(re.escape(SECRET)),
    "a title": re.compile(r"(Milk|äpfel|Ärger|zebra) user\d"),
}


def heal(world: World, lag_seconds: float, patience: float = 1) -> Iterator[Violation]:
    """Check the healing: healthy within 5 s; then the clients stop, and the lag is 0 within `lag_seconds`.

    `patience` multiplies these times.
    """
    began = time.monotonic()
    healthy_seconds, lag_seconds = HEALTHY_SECONDS * patience, lag_seconds * patience
    try:
        world.wait_until_healthy(healthy_seconds)
        world.pause(0.3)
    except UnhealthyError as error:
        yield Violation("it heals by itself", "all", str(error))
        world.pause(lag_seconds)
    world.background.run(world.load.stop())
    # A client may wait long for an answer that was lost, so the lag counts from the last write.
    deadline = max(began, time.monotonic() - healthy_seconds) + lag_seconds
    while behind := {user for url in world.urls for user in asyncio.run(lagging(url))} - world.parked:
        if time.monotonic() > deadline:
            yield Violation(f"lag is 0 within {lag_seconds:.0f} s", ", ".join(sorted(behind)), "still behind")
            return
        world.pause(0.05)


def judge(world: World) -> Iterator[Violation]:
    """Make every check of what happened, after everything has stopped."""
    stored = world.stored()
    evidence = Evidence(forgiven(world.load.history, world.forgiven_until), stored)
    yield from chain(
        check_answers(world.load.history),
        check_writes(evidence),
        check_order(evidence),
        check_streams(stored),
        check_projection(stored),
        *(_audit(world, url) for url in world.urls),
        check_log(world.log.read_text(errors="replace")),
        check_memory(world.memory),
        world.complaints,
    )


def _audit(world: World, url: str) -> Iterator[Violation]:
    """Check that the product's own verification finds nothing either."""

    async def run() -> list[Violation]:
        settings = Settings(_env_file=None, database_url=url)
        try:
            async with open_database(settings, "owner") as database:
                report = await verify(database)
        except SettingsError as error:
            return [Violation("./run verify finds nothing", "the database", str(error))]
        return [
            Violation("./run verify finds nothing", fault.user_id or "the schema", f"{fault.position}: {fault.reason}")
            for fault in report.faults
            if fault.user_id not in world.parked
        ]

    yield from asyncio.run(run())


def left_running(world: World, seconds: float = _END_SECONDS) -> list[str]:
    """Return this world's processes that are still running; those of a killed server get `seconds` to end.

    The world's patience multiplies them.
    """
    deadline = time.monotonic() + seconds * world.patience
    while (found := processes_of(str(world.directory))) and time.monotonic() < deadline:
        time.sleep(0.05)
    return [f"{number} {command}" for number, command in found.items()]


def check_log(text: str) -> Iterator[Violation]:
    """Check that no log line shows a traceback, a token, the secret, or what a user wrote.

    The greeting of `./run` is on the same stdout: in development it ends with a link that has a token.
    """
    for line in text.splitlines():
        if _GREETINGS_LINK.fullmatch(line):
            continue
        for what, pattern in _NEVER_IN_LOGS.items():
            if pattern.search(line):
                yield Violation(f"no log shows {what}", "all", _shortened(line))


def _shortened(line: str) -> str:
    """Return a log line; of a traceback only the error types and our frames."""
    try:
        entry = orjson.loads(line)
    except orjson.JSONDecodeError:
        return line[:1000]
    frames = entry.get("traceback", [])
    entry["traceback"] = [frame for frame in frames if not frame.startswith(" ") or "site-packages" not in frame]
    entry["traceback"] += [frame.strip().rpartition("/")[2] for frame in frames if "asyncpg" in frame]
    return str(entry)[:1200]


def summary(violations: list[Violation]) -> str:
    """Return how often each rule was broken, and the first few violations in full."""
    counts = Counter(violation.rule for violation in violations)
    shown: Counter[str] = Counter()
    lines = [f"  {number} x {rule}" for rule, number in counts.most_common()]
    for violation in violations:
        shown[violation.rule] += 1
        if shown[violation.rule] <= _SHOWN:
            lines.append(f"    {violation}"[:1200])
    return "\n".join(lines)
