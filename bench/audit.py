"""The cost of audits of a large ledger: `./run bench-audit [--events 1000000]`, on a Postgres of its own.

Beside each figure there is a plain COPY of the same rows: the ratio also holds on other machines.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import io
import os
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson
import structlog
from pydantic import SecretStr

import migrations
from audit.export import export
from audit.export_file import verify_file
from audit.import_ import import_
from audit.verify import verify
from bench.adoption import measure_adoption
from event_log.chain import GENESIS
from projector.rebuild import rebuild, request_rebuild
from read_api.history import HistoryQuery, history
from runtime.database import Database, open_database
from runtime.settings import Settings
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres

_EVENTS_OF_A_USER: Final = 500
_LARGEST_STREAM: Final = 100_000
_PAGES: Final = 200
_EXPORTED: Final = "2026-01-01T00:00:00Z"


@dataclass(kw_only=True, slots=True)
class _Stream:
    """One user's generated stream: tasks are created, edited and toggled, and some are deleted."""

    user_id: str
    tasks: Iterator[int]
    chance: random.Random
    hash: str = GENESIS
    position: int = 0

    def lines(self, number: int) -> Iterator[bytes]:
        """Yield more events, as lines of an export."""
        open_tasks: dict[int, tuple[int, bool]] = {}
        for _ in range(number):
            draw = self.chance.random()
            if draw < 0.4 or not open_tasks:
                task, version, kind = next(self.tasks), 1, "task.created"
                data = {"description": "Two litres, the blue one" if draw < 0.2 else None, "title": f"Buy milk {task}"}
                open_tasks[task] = (1, False)
            else:
                task = self.chance.choice(list(open_tasks)[-20:])
                version, completed = open_tasks[task][0] + 1, open_tasks[task][1]
                if draw < 0.6:
                    kind, data = "task.edited", {"title": f"Buy oat milk {task}, edited"}
                elif draw < 0.9:
                    kind, data = ("task.reopened" if completed else "task.completed"), {}
                    completed = not completed
                else:
                    kind, data = "task.deleted", {}
                open_tasks[task] = (version, completed)
                if kind == "task.deleted":
                    del open_tasks[task]
            yield self._line(task, version, kind, orjson.dumps(data).decode())

    def _line(self, task: int, version: int, kind: str, data: str) -> bytes:
        self.position += 1
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=self.position)
        event: dict[str, Any] = {
            "user_id": self.user_id,
            "position": self.position,
            "task_id": task,
            "version": version,
            "event_id": str(UUID(int=self.chance.getrandbits(128))),
            "type": kind,
            "schema_version": 2 if kind == "task.created" else 1,
            "recorded_at": at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "data": data,
            "metadata": f'{{"actor":"{self.user_id}","nonce":"{self.chance.randbytes(16).hex()}",'
            f'"request_id":"{self.chance.randbytes(16).hex()}"}}',
            "erased_digest": None,
        }
        content = sha256(f"{event['metadata']}\n{data}".encode()).hexdigest()
        names = ("position", "task_id", "version", "event_id", "type", "schema_version", "recorded_at")
        fields = [self.hash, self.user_id, *(str(event[name]) for name in names), content]
        self.hash = sha256("\n".join(fields).encode()).hexdigest()
        return orjson.dumps(event | {"hash": self.hash}) + b"\n"


def make_export(path: Path, events: int) -> None:
    """Write an export of a generated ledger: one large stream, and many of 500 events."""
    chance, tasks, digest, left = random.Random(1), iter(range(1, events + 1)), sha256(), events
    sizes = [min(_LARGEST_STREAM, events)]
    while (left := events - sum(sizes)) > 0:
        sizes.append(min(_EVENTS_OF_A_USER, left))
    with path.open("wb") as out:
        for number, size in enumerate(sizes):
            for line in _Stream(user_id=f"user-{number:07}", tasks=tasks, chance=chance).lines(size):
                digest.update(line)
                out.write(line)
        out.write(
            orjson.dumps(
                {"end": True, "user_id": None, "events": events, "exported_at": _EXPORTED, "sha256": digest.hexdigest()}
            )
            + b"\n"
        )


@contextmanager
def _postgres(directory: Path) -> Iterator[Settings]:
    data_dir = open_data_dir(directory)
    postgres = Postgres(data_dir, socket_dir(data_dir), {"max_wal_size": "4GB"})
    try:
        postgres.start()
        migrations.upgrade(postgres.url())
        yield Settings(_env_file=None, database_url=SecretStr(postgres.url()), allow_superuser=True)
    finally:
        postgres.stop(timeout=10)


@dataclass(kw_only=True, slots=True)
class _Figures:
    events: int

    def show(self, what: str, seconds: float, plain: float | None = None) -> None:
        ratio = "" if plain is None else f"  {seconds / plain:5.1f} x plain COPY"
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{what:<24}{self.events / seconds:>10,.0f} events/s {seconds:>7.1f} s{ratio:<22}  peak {memory:.0f} MB")


async def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


async def _copy_out(database: Database) -> None:
    async def forget(_: bytes) -> None: ...

    async with database.transaction() as connection:
        await connection.copy_from_table("events", schema_name="tasklog", output=forget, timeout=None)


async def _copy_in(owner: Database) -> float:
    """Return the seconds of a COPY of the events' rows into a table with only its primary key."""
    rows = io.BytesIO()
    async with owner.transaction() as connection:
        await connection.copy_from_table("events", schema_name="tasklog", output=rows, timeout=None)
        await connection.execute("CREATE TABLE public.scratch (LIKE tasklog.events INCLUDING INDEXES)")
        rows.seek(0)
        began = time.perf_counter()
        await connection.copy_to_table("scratch", schema_name="public", source=rows, timeout=None)
        seconds = time.perf_counter() - began
        await connection.execute("DROP TABLE public.scratch")
    return seconds


async def _measure(settings: Settings, path: Path, events: int) -> None:
    figures = _Figures(events=events)
    async with (
        open_database(settings, "owner", seconds=3600) as owner,
        open_database(settings, "projector", seconds=3600) as projector,
        open_database(settings, "reader") as reader,
    ):
        imported = await _timed(lambda: import_(owner, path))
        figures.show("import", imported)
        async with owner.pool.acquire() as connection:
            await connection.execute("VACUUM (ANALYZE) tasklog.events, tasklog.streams")
        await owner.fetch(
            "INSERT INTO tasklog.checkpoints (user_id, position) SELECT user_id, head FROM tasklog.streams"
        )
        await owner.fetch("UPDATE tasklog.streams SET unprojected_since = NULL")
        plain = await _timed(lambda: _copy_out(owner))
        figures.show("plain COPY events TO", plain)
        await request_rebuild(projector)
        figures.show("rebuild, from empty", await _timed(lambda: rebuild(projector)), plain)
        await request_rebuild(projector)
        figures.show("rebuild, all is right", await _timed(lambda: rebuild(projector)), plain)
        figures.show("verify", await _timed(lambda: verify(projector)), plain)
        with path.with_suffix(".again").open("wb") as out:
            figures.show("export", await _timed(lambda: export(projector, out)), plain)
        figures.show("verify --file", await asyncio.to_thread(_seconds, lambda: verify_file(path)), plain)
        await _show_history(reader, min(_LARGEST_STREAM, events))
        copied_in = await _copy_in(owner)
        figures.show("plain COPY events FROM", copied_in)
        print(f"import took {imported / copied_in:.1f} x the plain COPY")


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


async def _show_history(reader: Database, length: int) -> None:
    took = []
    for n in range(_PAGES):
        query = HistoryQuery(after=n * (length - 100) // _PAGES, limit=100)
        began = time.perf_counter()
        await history(reader, "user-0000000", query)
        took.append(time.perf_counter() - began)
    took.sort()
    print(
        f"history, a page of 100 of {length:,}: median {took[_PAGES // 2] * 1000:.1f} ms,"
        f" 99 of 100 within {took[-_PAGES // 100] * 1000:.1f} ms"
    )


def main() -> None:
    """Generate a ledger, and print how many events per second each operation handles."""
    parser = argparse.ArgumentParser(prog="./run bench-audit", description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    events = parser.parse_args().events
    print(f"{events:,} events; load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix="tasklog-bench-") as directory:
        path = Path(directory) / "ledger.jsonl"
        make_export(path, events)
        with _postgres(Path(directory) / "data") as settings:
            structlog.configure(wrapper_class=structlog.make_filtering_bound_logger("error"))
            gc.set_threshold(200_000, 50, 100)  # as in tasklog/cli/servers.py
            asyncio.run(_measure(settings, path, events))
        with _postgres(Path(directory) / "adopted") as settings:
            asyncio.run(measure_adoption(settings, events, _Figures(events=events).show))


if __name__ == "__main__":
    main()
