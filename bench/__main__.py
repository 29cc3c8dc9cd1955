"""`./run bench`: measure Tasklog beside others on the same Postgres, print tables, and write them to RESULTS.md."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from bench.builds import earlier
from bench.contenders import start_tasklog
from bench.lab import Lab, running, servers
from bench.measure import Rounds
from bench.plain_table import PEERS
from bench.profile import profile
from bench.report import plain
from bench.run import Choice, run
from bench.works import WORKS, Work
from bench.wrk import find_wrk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WORKS: Final = {work.name: work for work in WORKS}
_FURTHER: Final = ("limits", "delay", "backlog", "idle")
_APART: Final = ("growth", "heavy", "live", "find", "console", "metrics", "workers")
"""What runs for itself, when it is asked for by name."""
_NAMES: Final = (*_WORKS, *_FURTHER, *_APART)
_ALL_PEERS: Final = ",".join(PEERS)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command(name="bench", epilog="Example: ./run bench post get --beside fastify --against HEAD~1 --seconds 4")
def main(  # noqa: PLR0913, PLR0917 - options, each with a default
    works: Annotated[
        list[str] | None, typer.Argument(help=f"Of: {', '.join(_NAMES)}. Without: all but {' and '.join(_APART)}.")
    ] = None,
    seconds: Annotated[float, typer.Option(min=1, help="How long a round takes.")] = 5,
    rounds: Annotated[int, typer.Option(min=1, help="How many rounds each contender has.")] = 3,
    beside: Annotated[str, typer.Option(help="The peers, by comma; or none.")] = _ALL_PEERS,
    against: Annotated[str | None, typer.Option(help="A commit: its build is measured too, as `before`.")] = None,
    events: Annotated[int, typer.Option(min=10_000, help="The size of the ledger that `growth` measures.")] = 1_000_000,
    *,
    profiled: Annotated[bool, typer.Option("--profile", help="Show where Tasklog's time goes instead.")] = False,
) -> None:
    """Measure Tasklog beside others on the same Postgres. All but single works go to bench/RESULTS.md."""
    find_wrk()
    wanted = _chosen(works or [*_WORKS, *_FURTHER], _NAMES, "work")
    peers = [] if beside == "none" else _chosen(beside.split(","), PEERS, "peer")
    chosen = [_WORKS[name] for name in wanted if name in _WORKS]
    with tempfile.TemporaryDirectory(prefix="tasklog-bench-") as directory:
        before = earlier(against, Path(directory)) if against else None
        with servers(Path(directory) / "lab") as lab:
            if profiled:
                asyncio.run(_profile(lab, chosen, seconds))
                return
            further = {name for name in wanted if name not in _WORKS}
            how = Rounds(number=rounds, seconds=seconds)
            choice = Choice(works=chosen, further=further, peers=peers, before=before, rounds=how, events=events)
            report = asyncio.run(run(lab, choice))
    print(plain(report.text()))
    if wanted in [[name] for name in _APART] or (not works and beside == _ALL_PEERS):
        report.save()


def _chosen(names: Sequence[str], known: Iterable[str], what: str) -> list[str]:
    """Return the names, each once; the run ends with a sentence if one is not known."""
    if unknown := set(names) - set(known):
        raise SystemExit(f"There is no {what} {', '.join(sorted(unknown))}: choose of {', '.join(known)}.")
    return list(dict.fromkeys(names))


async def _profile(lab: Lab, works: Sequence[Work], seconds: float) -> None:
    async with running(lab):
        tasklog = await start_tasklog(lab)
        for work in works:
            print(await profile(lab, tasklog, work, seconds))


if __name__ == "__main__":
    app(prog_name="./run bench")
