"""Growth: the same works on an empty ledger and on one of a million events, of 100,000 users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from bench.measure import Rounds, measure
from bench.projection import backlog, delay

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bench.contenders import Tasklog
    from bench.lab import Lab
    from bench.works import Work

_USERS: Final = 100_000
_LONG: Final = 300
"""Users of 1,000 tasks among them."""


async def grow(lab: Lab, tasklog: Tasklog) -> Tasklog:
    """Give 100,000 users a million events: 300 of them 1,000 tasks, the others 2 tasks of 3 or 4 events each."""
    long = [f"long-{n}" for n in range(_LONG)]
    few = [f"few-{n}" for n in range(_USERS - _LONG)]
    await tasklog.ledger.seed(long, 1000)
    await tasklog.ledger.seed(few, 2, edits=2)
    await tasklog.ledger.seed(few, 1)
    await tasklog.settle()
    tasklog.ledger.known.clear()
    await tasklog.ledger.owner.execute("VACUUM ANALYZE", timeout=600)
    await lab.execute("CHECKPOINT")
    return tasklog


async def growth(
    lab: Lab, works: Sequence[Work], empty: Tasklog, grown: Tasklog, rounds: Rounds
) -> list[tuple[str, float, float, float]]:
    """Return, for each work, both figures, measured in turn, and their ratio: above 1 the larger ledger is slower."""
    rows = []
    for work in works:
        found = await measure(lab, work, [empty, grown], rounds)
        a, b = found[empty.name].rate, found[grown.name].rate
        rows.append((f"{work.title}, answers/s", a, b, a / b))
    before, after = [await delay(one, rate=1000, seconds=max(5, rounds.seconds)) for one in (empty, grown)]
    rows.append(("write to projected, p50 ms", before.p50, after.p50, after.p50 / before.p50))
    rows.append(("write to projected, p99 ms", before.p99, after.p99, after.p99 / before.p99))
    a, b = [await backlog(lab, one, events=round(20_000 * rounds.seconds)) for one in (empty, grown)]
    rows.append(("backlog, events/s", a, b, a / b))
    return rows
