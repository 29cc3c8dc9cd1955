"""The command that adopts the table of a backend without a ledger."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from tasklog.cli.conventions import EXIT_CODES, ExitCode, Json, Panel, fail, operator, progress, show
from tasklog.cli.servers import on_database, operator_settings
from tasklog.cli.wording import count

if TYPE_CHECKING:
    from adoption.adopt import Adoption
    from runtime.database import Database

app = typer.Typer()


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def adopt(
    *,
    source: Annotated[
        str,
        typer.Option(
            "--from",
            envvar="ADOPT_FROM",
            help="The Postgres URL of the other backend, which is only read. Put a URL with a password in ADOPT_FROM.",
        ),
    ],
    table: Annotated[str, typer.Option(help="The table or view with its tasks: name or schema.name.")] = "tasks",
    json: Json = False,
) -> None:
    """Take over the tasks of a backend without a ledger: ids, times and completion stay. Run it again for new rows."""
    began, left_behind = time.monotonic(), list[str]()

    async def work(owner: Database) -> Adoption:
        from adoption.adopt import read, write
        from adoption.source import opened
        from adoption.spool import spooled

        with spooled() as spool:
            async with opened(source, table) as rows:
                left_behind.extend(rows.left_behind)
                await read(rows, spool, progress)
            return await write(owner, spool, progress, actor=operator(), request_id=f"adopt-{uuid4()}")

    from adoption.adopt import RefusedError

    with operator_settings() as settings:
        try:
            done = on_database("owner", work, settings)
        except RefusedError as error:
            fail(str(error))
    seconds = time.monotonic() - began
    value = {**asdict(done), "table": table, "left_behind": left_behind, "seconds": round(seconds, 3)}
    show(value, as_json=json, text=lambda: _text(value))
    if done.changed or done.missing:
        raise typer.Exit(ExitCode.FAULTS)


def _text(done: dict[str, Any]) -> str:
    """Return as text what was adopted, and what differs from the source."""
    rate = f"{done['adopted'] / max(done['seconds'], 0.001):,.0f}/s"
    adopted = f"Adopted {count(done['adopted'], 'task')} in {done['seconds']:.1f} s ({rate})"
    lines = [f"{adopted}; {done['there']:,} were here already."]
    different = done["changed"] + done["missing"]
    verdict = f"{different:,} of them differ." if different else "Nothing differs."
    lines.append(f"Compared {count(done['rows'], 'row')} with the ledger, field by field. {verdict}")
    for what, words in _DIFFERENCES.items():
        if done[what]:
            ids = ", ".join(map(str, done[f"{what}_ids"])) + (", …" if done[what] > len(done[f"{what}_ids"]) else "")
            lines.append(f"{count(done[what], 'task')} {words}: {ids}.")
    if done["left_behind"]:
        lines.append(f"These columns stay behind, as tasks have no such field: {', '.join(done['left_behind'])}.")
    return "\n".join(lines)


_DIFFERENCES = {
    "missing": "not in the ledger after all; run this again, then ./run verify",
    "changed": "changed in the source since the adoption; here nothing changed",
    "gone": "adopted before, no longer in the source; here nothing changed",
}
