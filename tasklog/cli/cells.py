"""Verification of several ledgers at once."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import typer

from tasklog.cli.conventions import ExitCode, progress, show_each
from tasklog.cli.servers import ledgers, on_databases
from tasklog.cli.wording import fault_text, report_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from audit.report import Anchors, Report
    from event_log.chain import Fault
    from runtime.database import Database


def verify_each(urls: Sequence[str], anchors: Anchors | None, *, as_json: bool) -> None:
    """Verify several ledgers, and that no user and no task is in two; end with exit code 3 if there are faults."""
    with ledgers(urls) as all_of_them:
        names = [name or "" for name, _ in all_of_them]

        async def work(*databases: Database) -> tuple[list[tuple[Report, float]], list[Fault]]:
            from audit.cells import anchors_of_each, in_two
            from event_log.story import TaskIds

            ids = TaskIds()
            known = [None] * len(databases) if anchors is None else await anchors_of_each(databases, anchors)
            reports = [await _verified(*one, ids) for one in zip(databases, known, strict=True)]
            return reports, await in_two(list(zip(names, databases, strict=True)))

        reports, twice = on_databases("projector", work, *(settings for _, settings in all_of_them))
    shown: list[tuple[str | None, Any, str]] = []
    for name, (report, seconds) in zip(names, reports, strict=True):
        value = {**asdict(report), "seconds": round(seconds, 3)}
        shown.append((name, value, report_text(value)))
    faults = [asdict(fault) for fault in twice]
    verdict = "\n".join(map(fault_text, faults)) or "No user is in two of them."
    show_each([*shown, ("together", {"faults": faults}, verdict)], as_json=as_json)
    if faults or any(report.faults for report, _ in reports):
        raise typer.Exit(ExitCode.FAULTS)


async def _verified(database: Database, anchors: Anchors | None, ids: Any) -> tuple[Report, float]:
    from audit.status import event_count
    from audit.verify import verify

    began = time.monotonic()
    with progress("verify", await event_count(database)) as advance:
        report = await verify(database, anchors=anchors, task_ids=ids, progress=advance)
    return report, time.monotonic() - began
