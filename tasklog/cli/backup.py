"""The commands that keep and bring back a copy of the embedded Postgres: backup, restore."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tasklog.cli.conventions import EXIT_CODES, Json, Panel, fail, interruptible, show
from tasklog.cli.servers import embedded_settings

app = typer.Typer()


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def backup(
    directory: Annotated[Path, typer.Argument(help="A new directory.", show_default=False)], *, json: Json = False
) -> None:
    """Copy the embedded ledger to a directory and verify the copy, while everything runs."""
    from tasklog.embedded import embedded_postgres
    from tasklog.embedded.backup import BackupError, back_up
    from tasklog.embedded.switch import has_ledger

    settings = embedded_settings("back up and restore")
    if not has_ledger(settings.data_dir):
        fail(f"There is no ledger in {settings.data_dir} yet, so there is nothing to back up.")
    try:
        with embedded_postgres(settings.data_dir) as postgres, interruptible():
            size = back_up(postgres, settings.data_dir, directory)
    except BackupError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{directory} cannot be written: {error.strerror or 'a file could not be copied'}.")
    value = {"directory": str(directory), "bytes": size}
    text = f"Wrote {size / 1e6:,.0f} MB to {directory}, verified. Bring it back with ./run restore {directory}."
    show(value, as_json=json, text=lambda: text)


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.MOVE)
def restore(
    directory: Annotated[Path, typer.Argument(help="A directory that ./run backup wrote.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Verify a backup and copy it to a DATA_DIR that has no ledger."""
    from tasklog.embedded.backup import BackupError
    from tasklog.embedded.backup import restore as restore_backup

    settings = embedded_settings("back up and restore")
    try:
        with interruptible():
            restore_backup(directory, settings.data_dir)
    except BackupError as error:
        fail(str(error))
    except OSError as error:
        fail(f"{settings.data_dir} cannot be written: {error.strerror or 'a file could not be copied'}.")
    value = {"directory": str(directory), "data_dir": str(settings.data_dir)}
    text = f"Restored {directory} to {settings.data_dir}. Check it with ./run verify, and start with ./run."
    show(value, as_json=json, text=lambda: text)
