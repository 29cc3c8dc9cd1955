"""The commands for audits: status, history, replay, verify, anchor. None of them changes the ledger."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasklog.cli.cells import verify_each
from tasklog.cli.conventions import (
    EXIT_CODES,
    Background,
    ExitCode,
    Json,
    Ledgers,
    OptionalUser,
    Panel,
    fail,
    progress,
    show,
    show_each,
    tell,
)
from tasklog.cli.servers import enqueue, ledgers, on_database, on_redis, operator_settings
from tasklog.cli.status_text import status_text
from tasklog.cli.wording import count, history_text, report_text, tasks_text

if TYPE_CHECKING:
    from datetime import datetime

    from redis.asyncio import Redis

    from audit.report import Anchors, Report
    from audit.status import Heard, Status
    from runtime.database import Database
    from runtime.settings import Settings

app = typer.Typer()

_MOST = 10**18 - 1
"""The largest number that the options accept, as over HTTP; the database can add to it without overflow."""

User = Annotated[str, typer.Argument(help="The user.", show_default=False)]


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.LOOK)
def status(*, url: Ledgers = None, json: Json = False) -> None:
    """Show versions, size, lag, jobs, and problems that need an operator (exit code 3)."""
    from audit.status import status as read_status

    found: list[tuple[str | None, Status]] = []
    with ledgers(url) as all_of_them:
        for name, settings in all_of_them:
            heard = _heard(settings)
            work = partial(read_status, heard=heard)
            found.append((name, on_database("projector", work, settings)))
    show_each([(name, asdict(one), status_text(one)) for name, one in found], as_json=json)
    if any(one.needs_somebody for _, one in found):
        raise typer.Exit(ExitCode.FAULTS)


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.LOOK)
def history(
    user: User,
    *,
    task: Annotated[int | None, typer.Option(max=_MOST, help="Show only this task, which may be deleted.")] = None,
    after: Annotated[int, typer.Option(min=0, max=_MOST, help="Begin after this position.")] = 0,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="The largest number of events to show.")] = 100,
    json: Json = False,
) -> None:
    """Show a user's events: who changed what, and when."""
    import orjson

    from event_log.read import NoStreamError
    from read_api.history import HistoryPage, HistoryQuery
    from read_api.history import history as read_history

    query = HistoryQuery(task_id=task, after=after, limit=limit)

    async def work(database: Database) -> HistoryPage | None:
        page = await read_history(database, user, query)
        if page is not None and not page.head.position:
            raise NoStreamError(user)
        return page

    with operator_settings() as settings:
        page = on_database("reader", work, settings)
    if page is None:
        fail(f"{user} never had a task {task}.")
    value = orjson.loads(page.body)
    show(value, as_json=json, text=lambda: history_text(value))


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.LOOK)
def replay(
    user: User,
    *,
    as_of: Annotated[str | None, typer.Option(help="A position, or a time such as 2026-01-31T12:00:00Z.")] = None,
    json: Json = False,
) -> None:
    """Show a user's tasks from the ledger, now or at an earlier moment."""
    import orjson

    from domain.evolve import HistoryError
    from event_log.codec import UnreadableEventError
    from event_log.read import NoStreamError
    from read_api.queries import TaskQuery, heads
    from read_api.time_travel import FutureError, list_tasks_as_of, moment

    at = _moment(as_of)

    async def work(database: Database) -> Any:
        (head,) = await heads(database, [user])
        if not head.position:
            raise NoStreamError(user)
        position = head.position if at is None else (await moment(database, user, at)).position
        page = await list_tasks_as_of(database, user, TaskQuery(), position)
        return page.head, page.body if page.parts is None else b"".join([part async for part in page.parts])

    with operator_settings() as settings:
        try:
            head, body = on_database("reader", work, settings)
        except FutureError:
            fail(f"{as_of} has not happened yet.", ExitCode.USAGE)
        except (HistoryError, UnreadableEventError) as error:
            fail(f"The ledger cannot be replayed: {error}.", ExitCode.FAULTS)
    tasks = orjson.loads(body)
    value = {"user_id": user, "position": head.position, "tasks": tasks}
    show(value, as_json=json, text=lambda: tasks_text(user, head.position, tasks))


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MEND)
def verify(  # noqa: PLR0913 - its options
    user: OptionalUser = None,
    *,
    anchors: Annotated[Path | None, typer.Option(help="A file that ./run anchor wrote.")] = None,
    file: Annotated[Path | None, typer.Option(help="Check this export, without a database.")] = None,
    url: Ledgers = None,
    background: Background = False,
    json: Json = False,
) -> None:
    """Check that no event was changed, removed, inserted or moved, and that the tasks match the events."""
    if file is not None and (user is not None or background or url):
        fail("--file checks a whole file at once: leave out the user, --url and --background.", ExitCode.USAGE)
    if url:
        if background or user is not None:
            fail("--url checks whole ledgers at once: leave out the user and --background.", ExitCode.USAGE)
        verify_each(url, _anchors(anchors), as_json=json)
        return
    began = time.monotonic()
    known = _anchors(anchors)
    if file is not None:
        report = _verify_file(file, known)
    else:
        with operator_settings() as settings:
            if background:
                enqueue(settings, "verify", {"user_id": user, "anchors": _absolute(anchors)}, as_json=json)
                return
            report = _verify(settings, user, known)
            _record(settings, report, user, time.monotonic() - began)
    value = {**asdict(report), "seconds": round(time.monotonic() - began, 3)}
    show(value, as_json=json, text=lambda: report_text(value))
    if report.faults:
        raise typer.Exit(ExitCode.FAULTS)


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MEND)
def anchor(
    *,
    out: Annotated[str, typer.Option(help="The file to append to, or - for stdout.")],
    url: Ledgers = None,
    json: Json = False,
) -> None:
    """Append the hash of every stream's last event to a file, to keep elsewhere for verify --anchors."""
    from audit.anchor import anchor as write_anchors

    if out == "-" and json:
        fail("--out - and --json both need stdout: name a file, or leave out --json.", ExitCode.USAGE)
    lines, streams = BytesIO(), 0
    with ledgers(url) as all_of_them:
        for _, settings in all_of_them:
            streams += on_database("projector", lambda database: write_anchors(database, lines), settings)
    if out == "-":
        tell(lines.getvalue().decode(), nl=False)
        return
    path = Path(out)
    if streams:
        try:
            _append(path, lines.getvalue())
        except OSError as error:
            fail(f"{path} cannot be written: {error.strerror}.")
    value = {"out": str(path), "streams": streams}
    text = f"Appended {count(streams, 'head')} to {path}." if streams else "There are no streams to anchor yet."
    show(value, as_json=json, text=lambda: text)


def _append(path: Path, lines: bytes) -> None:
    """Append all of `lines`, or nothing."""
    with path.open("ab", buffering=0) as file:
        before = file.tell()
        try:
            rest = memoryview(lines)
            while rest:
                rest = rest[file.write(rest) :]
            os.fsync(file.fileno())
        except OSError:
            with suppress(OSError):
                file.truncate(before)
                if not before:
                    path.unlink()
            raise


def _heard(settings: Settings) -> Heard | None:
    """Return the last jobs and the running projectors, or None if Redis does not answer."""
    from audit.status import Heard
    from projector.heartbeat import running_projectors
    from projector.job_states import job_states
    from tasklog.admin.reports import processes

    async def work(redis: Redis) -> Heard:
        return Heard(
            jobs=await job_states(redis),
            projectors=await running_projectors(redis),
            processes=[asdict(process) for process in await processes(redis)],
        )

    return on_redis(work, settings)


def _record(settings: Settings, report: Report, user: str | None, seconds: float) -> None:
    from audit.verifications import record

    on_redis(lambda redis: record(redis, report, user, seconds), settings)


def _verify(settings: Settings, user: str | None, anchors: Anchors | None) -> Report:
    from audit.status import event_count
    from audit.verify import verify

    async def work(database: Database) -> Report:
        with progress("verify", await event_count(database, user)) as advance:
            return await verify(database, user_id=user, anchors=anchors, progress=advance)

    return on_database("projector", work, settings)


def _verify_file(file: Path, anchors: Anchors | None) -> Report:
    from audit.export_file import total_events, verify_file
    from audit.export_line import ExportError

    try:
        with progress("verify", total_events(file)) as advance:
            return verify_file(file, anchors=anchors, progress=advance)
    except ExportError as error:
        fail(f"{file} is not a complete export: {error}.", ExitCode.FAULTS)
    except OSError as error:
        fail(f"{file} cannot be read: {error.strerror}.")


def _anchors(path: Path | None) -> Anchors | None:
    from audit.anchor import AnchorsError, read_anchors

    try:
        return None if path is None else read_anchors(path)
    except OSError as error:
        fail(f"{path} cannot be read: {error.strerror}.")
    except AnchorsError as error:
        fail(str(error), ExitCode.USAGE)


def _absolute(path: Path | None) -> str | None:
    return None if path is None else str(path.resolve())


def _moment(text: str | None) -> int | datetime | None:
    from edge.problems import ProblemError
    from read_api.schemas import as_of

    try:
        return as_of({} if text is None else {"as_of": text})
    except ProblemError:
        fail("--as-of takes a position, or a time like 2026-01-31T12:00:00Z.", ExitCode.USAGE)
