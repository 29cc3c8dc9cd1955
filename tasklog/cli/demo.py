"""`./run demo`: an example ledger of three people, to look at."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.settings import load_settings
from tasklog.cli.conventions import EXIT_CODES, Json, Panel, fail, show
from tasklog.cli.servers import on_database, operator_settings

if TYPE_CHECKING:
    from audit.demo import Demo
    from runtime.settings import Settings

app = typer.Typer()


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.START)
def demo(
    *,
    seed: Annotated[int, typer.Option(help="A number; another one makes another history.")] = 1,
    until: Annotated[
        datetime | None, typer.Option(formats=["%Y-%m-%d"], help="The history ends before this day; by default today.")
    ] = None,
    json: Json = False,
) -> None:
    """Fill an empty database with the tasks of three people over two months, to look at."""
    from audit.demo import PEOPLE
    from audit.demo import demo as made

    found = made(seed, (until or datetime.now(UTC)).date())
    _migrate_first(load_settings())
    with operator_settings() as settings:
        _bring_in(settings, found)
    value = {"events": found.events, "people": PEOPLE, "first": found.first, "until": found.until, "seed": seed}
    names = f"{', '.join(PEOPLE[:-1])} and {PEOPLE[-1]}"
    show(
        value,
        as_json=json,
        text=lambda: "\n".join(
            [
                f"Added {found.events} events of {names}, from {found.first} to before {found.until}.",
                "Look at them while ./run is running: ./run console alice prints a link to open in a browser.",
            ]
        ),
    )


def _migrate_first(settings: Settings) -> None:
    """Create the embedded database if there is none yet; ./run or ./run migrate prepares one of your own."""
    from tasklog.embedded.switch import has_ledger

    if settings.embedded and not has_ledger(settings.data_dir):
        from tasklog.cli.migration import migrate

        migrate(settings)


def _bring_in(settings: Settings, found: Demo) -> None:
    from audit.import_ import LedgerNotEmptyError, import_

    with TemporaryDirectory(prefix="tasklog-demo-") as directory:
        path = Path(directory) / "demo.jsonl"
        found.write(path)
        try:
            on_database("owner", lambda database: import_(database, path, into_empty=True), settings)
        except LedgerNotEmptyError:
            fail("There are people in this database: use an empty one, as with DATA_DIR=.demo ./run demo.")
