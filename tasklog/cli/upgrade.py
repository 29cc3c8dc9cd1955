"""The command that moves the embedded ledger to another major version of Postgres: upgrade."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from tasklog.cli.conventions import EXIT_CODES, ExitCode, Json, Panel, fail, interruptible, progress, show, tell
from tasklog.cli.servers import embedded_settings, log_to_stderr, on_database
from tasklog.cli.wording import count, fault_text

if TYPE_CHECKING:
    from audit.report import Report
    from runtime.database import Database
    from runtime.settings import Settings
    from tasklog.embedded.postgres import Postgres

app = typer.Typer()


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def upgrade(*, json: Json = False) -> None:
    """Move the embedded ledger to a newer major version of Postgres, verify it, and keep the old one."""
    from audit.transfer import TransferError
    from tasklog.embedded.upgrade import NothingNewerError, UpgradeError
    from tasklog.embedded.upgrade import upgrade as upgraded

    settings = embedded_settings("upgrade")
    log_to_stderr()
    try:
        with interruptible(), upgraded(settings.data_dir) as found:
            _move(found.old, found.new, settings)
            report = _verify(found.new, settings)
    except NothingNewerError as error:
        tell(str(error))
        return
    except (UpgradeError, TransferError) as error:
        fail(str(error))
    faults = [asdict(fault) for fault in report.faults]
    value: dict[str, Any] = {
        "from": found.before,
        "to": found.after,
        "events": report.events,
        "streams": report.streams,
    }
    value |= {"tasks": report.tasks, "kept": str(found.kept), "faults": faults}
    moved = f"{count(report.events, 'event')} in {count(report.streams, 'stream')}"
    lines = [
        *map(fault_text, faults),
        f"Moved {moved} from Postgres {found.before} to {found.after}: every row is the same. "
        + (f"Verified: {count(len(faults), 'fault')}, as before." if faults else "Verified: no faults."),
        f"The old data are in {found.kept}: delete that directory when you no longer need it.",
    ]
    show(value, as_json=json, text=lambda: "\n".join(lines))
    if faults:
        raise typer.Exit(ExitCode.FAULTS)


def _move(old: Postgres, new: Postgres, settings: Settings) -> None:
    """Give the new server this version's schema and roles, and all rows of the old one."""
    import asyncio

    import asyncpg

    import migrations
    from audit.transfer import refuse_other_databases, tables_of, transfer
    from tasklog.embedded import service_urls

    async def move() -> None:
        source, target = await asyncpg.connect(old.url()), await asyncpg.connect(new.url())
        try:
            await refuse_other_databases(source)
            tables = await tables_of(source, target)
            with progress("move", 2 * sum(table.rows for table in tables)) as advance:
                await transfer(source, target, tables, advance)
        finally:
            source.terminate()
            target.terminate()

    migrations.upgrade(new.url(), list(service_urls(new).values()), task_ids=settings.task_ids)
    asyncio.run(move())


def _verify(new: Postgres, settings: Settings) -> Report:
    """Verify the moved ledger. A fault of a user was there before, as every row is the same; one of the schema was not.

    Raises:
        TransferError: the schema has a fault.
    """
    from pydantic import SecretStr

    from audit.transfer import TransferError
    from audit.verify import verify

    async def work(database: Database) -> Report:
        events = await database.fetch("SELECT coalesce(sum(head), 0)::bigint FROM tasklog.streams")
        with progress("verify", events[0][0]) as advance:
            return await verify(database, progress=advance)

    there = settings.model_copy(update={"allow_superuser": True, "database_url": SecretStr(new.url())})
    report = on_database("owner", work, there)
    for fault in report.faults:
        if fault.user_id is None:
            raise TransferError(f"The new ledger has a fault, so the old one stays in use: {fault.reason}.")
    return report
