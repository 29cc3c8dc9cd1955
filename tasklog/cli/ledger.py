"""The commands that move, correct and erase data: export, import, rebuild, erase."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from tasklog.cli.conventions import (
    EXIT_CODES,
    Background,
    ExitCode,
    Json,
    Ledgers,
    OptionalUser,
    Panel,
    fail,
    operator,
    progress,
    show,
    stdout_errors,
)
from tasklog.cli.servers import enqueue, ledgers, on_database, operator_settings
from tasklog.cli.wording import behind_lines, count, fault_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from projector.rebuild import Rebuilt
    from runtime.database import Database
    from runtime.database_url import Role
    from runtime.settings import Settings

app = typer.Typer()

_LOOK_SECONDS = 0.2


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MEND)
def rebuild(user: OptionalUser = None, *, background: Background = False, json: Json = False) -> None:
    """Compare every task with its events and correct what differs, while everything runs."""
    with operator_settings() as settings:
        if background:
            enqueue(settings, "rebuild", {"user_id": user}, as_json=json)
            return
        users, done, behind = on_database("projector", lambda database: _rebuild(database, user), settings)
    failed = [{"user_id": user, "position": at, "reason": reason} for user, (at, reason) in done.failed.items()]
    shared = max(0, users - done.users)  # also counts users who were already marked before this command
    value = {**asdict(done), "users": users, "failed": failed, "shared": shared, "behind": behind}
    lines = [fault_text(fault) for fault in failed]
    lines.append(f"Rebuilt {count(users, 'user')}, {shared:,} of them by other processes.")
    lines.append(f"Wrote {count(done.written, 'task')} that differed and removed {done.removed:,}, in this process.")
    lines += behind_lines(behind)
    show(value, as_json=json, text=lambda: "\n".join(lines))
    if failed:
        raise typer.Exit(ExitCode.FAULTS)


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def export(
    user: OptionalUser = None,
    *,
    out: Annotated[str | None, typer.Option(help="A new file, or - for stdout, as without it in a pipe.")] = None,
    url: Ledgers = None,
    background: Background = False,
    json: Json = False,
) -> None:
    """Write all events, or one user's, as JSON Lines that verify --file can check without a database."""
    out = _destination(out, needs_file=json or background)
    with ledgers(url) as all_of_them:
        settings = _that_of(user, all_of_them)
        if background:
            enqueue(settings, "export", {"user_id": user, "out": str(Path(out).resolve())}, as_json=json)
            return
        # Only the owner can read idempotency keys, which are in an export of one user.
        role: Role = "projector" if user is None or settings.database_url is None else "owner"
        if out == "-":
            with stdout_errors():
                on_database(role, lambda database: _export(database, user, out), settings)
            return
        try:
            events = on_database(role, lambda database: _export(database, user, out), settings)
        except OSError as error:
            fail(f"{out} cannot be written: {error.strerror}.")
    value = {"out": out, "events": events}
    show(value, as_json=json, text=lambda: f"Wrote {count(events, 'event')} to {value['out']}.")


@app.command(name="import", epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def import_(
    file: Annotated[Path, typer.Argument(help="A file that ./run export wrote.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Read an export, provided that all of it verifies, and that none of its users and task ids is in the ledger."""
    from audit.arrival import ArrivalError
    from audit.export_file import total_events
    from audit.export_line import ExportError
    from audit.import_ import import_ as import_ledger

    async def work(database: Database) -> int:
        with progress("import", total_events(file)) as advance:
            return await import_ledger(database, file, progress=advance)

    with operator_settings() as settings:
        try:
            events = on_database("owner", work, settings)
        except ArrivalError as error:
            fail(f"Nothing was imported from {file}: {error}.")
        except ExportError as error:
            fail(f"Nothing was imported from {file}: {error}.", ExitCode.FAULTS)
        except OSError as error:
            fail(f"{file} cannot be read: {error.strerror}.")
    value = {"file": str(file), "events": events}
    show(value, as_json=json, text=lambda: f"Imported {count(events, 'event')}; the projector turns them into tasks.")


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def erase(
    user: Annotated[str, typer.Argument(help="The user to erase.", show_default=False)],
    *,
    yes: Annotated[bool, typer.Option("--yes", metavar="", help="Do not ask.")] = False,
    json: Json = False,
) -> None:
    """Erase a user's text for good (GDPR, article 17) from a ledger that still verifies."""
    if not yes:
        if not sys.stdin.isatty():
            fail("Erasing cannot be undone: add --yes to do it without being asked.", ExitCode.USAGE)
        typer.confirm(f"Erase all text of {user} for good?", abort=True, err=True)
    with operator_settings() as settings:
        request = f"erase-{uuid4()}"
        position = on_database("eraser", lambda database: _erase(database, user, request), settings)
        vacuumed = on_database("owner", _vacuum, settings)
    value = {"user_id": user, "position": position, "request_id": request, "vacuumed": vacuumed}
    kept = "" if vacuumed else " Let the owner of the tables run VACUUM on them soon."
    show(value, as_json=json, text=lambda: f"The text of {user} is erased; position {position} records it.{kept}")


def _that_of(user: str | None, all_of_them: Sequence[tuple[str | None, Settings]]) -> Settings:
    """Return the settings of the ledger that has the user; of the only one for all users."""
    from audit.cells import is_here

    if len(all_of_them) == 1:
        return all_of_them[0][1]
    if user is None:
        fail("Write each ledger to a file of its own: name one with --url, or a user.", ExitCode.USAGE)
    found = (one for _, one in all_of_them if on_database("projector", lambda opened: is_here(opened, user), one))
    settings = next(found, None)
    if settings is None:
        fail(f"None of the ledgers has a stream of {user}.")
    return settings


def _destination(out: str | None, *, needs_file: bool) -> str:
    """Return where an export goes: the given file, or - for stdout if it is no terminal."""
    if needs_file and out in (None, "-"):
        fail("With --json or --background, an export needs a file: give --out FILE.", ExitCode.USAGE)
    if out is None and sys.stdout.isatty():
        fail("An export is not for a terminal: name a file with --out FILE, or send it into a pipe.", ExitCode.USAGE)
    return "-" if out is None else out


async def _rebuild(database: Database, user: str | None) -> tuple[int, Rebuilt, int]:
    """Mark users and rebuild them, together with idle projectors; return their number, the result and the lag."""
    import asyncio

    from audit.status import events_behind
    from projector.rebuild import Rebuilt, faults, left, rebuild, request_rebuild

    users = await request_rebuild(database, user)
    _, total = await left(database)
    done = Rebuilt()
    with progress("rebuild", total) as advance:
        while True:
            done.add(await rebuild(database, advance))
            if (await left(database))[0] == 0:
                done.failed = await faults(database, user)
                return users, done, await events_behind(database, user)
            await asyncio.sleep(_LOOK_SECONDS)


async def _export(database: Database, user: str | None, out: str) -> int:
    from audit.export import export, export_to
    from audit.status import event_count

    with progress("export", await event_count(database, user)) as advance:
        if out == "-":
            return await export(database, sys.stdout.buffer, user_id=user, progress=advance)
        return await export_to(database, Path(out), user_id=user, progress=advance)


async def _erase(database: Database, user: str, request: str) -> int:
    from event_log.erase import erase as erase_text

    return await erase_text(database, user, actor=operator(), request_id=request)


async def _vacuum(database: Database) -> bool:
    from event_log.erase import vacuum

    async with database.pool.acquire() as connection:
        return await vacuum(connection)
