"""The commands that move users between cells, each an installation with its own ledger: move, remove-moved."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import re
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasklog.cli.conventions import EXIT_CODES, ExitCode, Json, Panel, fail, progress, show
from tasklog.cli.servers import named_url, on_database, on_databases, operator_settings, settings_at
from tasklog.cli.wording import count

if TYPE_CHECKING:
    from audit.move import Moved
    from runtime.database import Database

app = typer.Typer()

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def move(
    user: Annotated[str, typer.Argument(help="The user to move.", show_default=False)],
    *,
    to: Annotated[
        str,
        typer.Option(
            envvar="MOVE_TO",
            help="The Postgres URL of the other ledger's owner, or its name in CELLS. Put a URL with a password in "
            "MOVE_TO.",
        ),
    ],
    cell: Annotated[
        str | None, typer.Option(help="The gateway's name for the other cell. Default: its name in CELLS.")
    ] = None,
    json: Json = False,
) -> None:
    """Move a user to another ledger while both are in use. After a failure, the same command goes on from there."""
    from audit.move import MoveError
    from audit.move import move as move_user
    from audit.status import event_count

    if cell is not None and not _NAME.fullmatch(cell):
        fail("--cell takes letters, digits, hyphens, points and underscores, at most 63.", ExitCode.USAGE)

    with operator_settings() as settings:
        name, url = named_url(settings, to)

        async def work(source: Database, target: Database) -> Moved:
            with progress("move", await event_count(source, user)) as advance:
                return await move_user(source, target, user, cell or name, advance)

        try:
            there = settings_at(settings, url, f"{name} in CELLS" if name else "--to")
            done = on_databases("owner", work, settings, there)
        except MoveError as error:
            fail(str(error))
    value = asdict(done)
    show(value, as_json=json, text=lambda: _text(value))


def _text(done: dict[str, Any]) -> str:
    """Return as text where a user is now."""
    where = done["cell"] or "the other ledger"
    held = "" if done["held_seconds"] is None else f" New writes waited for {done['held_seconds']:.2f} s."
    return (
        f"{done['user_id']} is in {where}: position {done['position']:,} has the same hash in both, "
        f"{done['hash']}.{held}\nFrom now on this ledger answers 421. ./run remove-moved removes the old rows later."
    )


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def remove_moved(
    *,
    hours: Annotated[int, typer.Option(min=0, max=8760, help="Only users who left at least so many hours ago.")] = 24,
    json: Json = False,
) -> None:
    """Remove what is left of users who have moved to another ledger."""
    from audit.departures import remove

    with operator_settings() as settings:
        users = on_database("owner", lambda database: remove(database, hours), settings)
    show({"users": users}, as_json=json, text=lambda: f"Removed the rows of {count(users, 'user')} who moved.")
