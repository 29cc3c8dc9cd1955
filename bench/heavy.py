"""Light users beside heavy ones: what 30 of them notice of one who has very much, and whether they are refused.

The users' clients are processes of their own (`bench.heavy_clients`), so that the service is what is measured.
"""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Final
from urllib.parse import urlsplit

from bench.ledger import TITLE, of
from bench.processes import peak_memory
from domain.events import TaskCreated, TaskEdited, TaskEvent

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.measure import Rounds

KINDS: Final[Mapping[str, str]] = {
    "many": "50,000 tasks",
    "big": "300 tasks of 1 MB",
    "edited": "a task of 3,000 edits",
    "all": "all of them",
}
"""The heavy users, and what each has."""

_MANY_TASKS: Final = 50_000
_BIG_TASKS: Final = 300
_EDITS: Final = 3_000
_EDITS_AT_ONCE: Final = 500
_MEGABYTE: Final = "All work and no play. " * 45_000
_KILOBYTE: Final = "All work and no play. " * 45
_WARM_UP_SECONDS: Final = 2.0
_LEAST_MS: Final = 20.0
_MOST_MS: Final = 200.0
_MOST_TIMES: Final = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Light:
    """What the light users of a round saw: how many answers, their latencies in ms, and how many were no 2xx."""

    requests: int
    p50: float
    p99: float
    refused: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Beside:
    """The light users alone and beside one kind of heavy user, all rounds; MB of each process at its most."""

    HEAD: ClassVar = (
        *("beside", "alone: p50 / p99 ms", "beside: p50 / p99 ms", "p99 ratio", ""),
        *("light requests", "refused", "heavy answers", "most MB"),
    )

    kind: str
    alone: Sequence[Light]
    beside: Sequence[Light]
    heavy: Mapping[str, int]
    memory: Mapping[str, float]

    def row(self) -> tuple[str, ...]:
        """Return the row of the table: medians of latencies, sums of counts."""
        alone, beside = (median(one.p99 for one in rounds) for rounds in (self.alone, self.beside))
        refused = sum((Counter(one.refused) for one in self.beside), Counter[str]())
        met = beside <= min(_MOST_MS, _MOST_TIMES * max(alone, _LEAST_MS)) and not refused
        return (
            KINDS[self.kind],
            f"{median(one.p50 for one in self.alone):.1f} / {alone:.1f}",
            f"{median(one.p50 for one in self.beside):.1f} / {beside:.1f}",
            f"{beside / alone:.2f} ×",
            "met" if met else "missed",
            f"{sum(one.requests for one in self.beside):,}",
            _counts(refused) or "0",
            _counts(self.heavy),
            ", ".join(f"{name} {most:.0f}" for name, most in self.memory.items()),
        )


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {number:,}" for name, number in sorted(counts.items()))


async def heavy(tasklog: Tasklog, rounds: Rounds) -> list[Beside]:
    """Fill the heavy users' ledger, then measure the light ones alone and beside each kind, in turn."""
    await _store(tasklog)
    await _light(tasklog, _WARM_UP_SECONDS)
    found = []
    for kind in KINDS:
        alone, beside, answers = [], [], Counter[str]()
        for _ in range(rounds.number):
            alone.append(await _light(tasklog, rounds.seconds))
            clients = await _clients(tasklog, kind)
            beside.append(await _light(tasklog, rounds.seconds))
            clients.send_signal(signal.SIGTERM)
            answers.update(json.loads((await clients.communicate())[0]))
            await tasklog.settle()
        memory = {name: peak_memory(pid) for name, pid in tasklog.processes().items()}
        found.append(Beside(kind=kind, alone=alone, beside=beside, heavy=answers, memory=memory))
        print("  ".join(found[-1].row()), flush=True)
    return found


async def _store(tasklog: Tasklog) -> None:
    ledger = tasklog.ledger
    await ledger.seed(["many"], _MANY_TASKS)
    for first in range(0, _BIG_TASKS, 10):
        numbers = range(first, first + 10)
        await ledger.append([of("big", None, TaskCreated(title=f"{n}", description=_MEGABYTE)) for n in numbers])
    (task,) = await ledger.append([of("edited", None, TaskCreated(title=TITLE, description=None))])
    for first in range(0, _EDITS, _EDITS_AT_ONCE):
        numbers = range(first, first + _EDITS_AT_ONCE)
        edits: list[TaskEvent] = [TaskEdited(description=f"{n} {_KILOBYTE}") for n in numbers]
        await ledger.append([of("edited", task, *edits, version=first + 1)])
    await ledger.wake()
    await tasklog.settle()


async def _light(tasklog: Tasklog, seconds: float) -> Light:
    process = await _clients(tasklog, "light", str(seconds))
    return Light(**json.loads((await process.communicate())[0]))


async def _clients(tasklog: Tasklog, kind: str, *seconds: str) -> asyncio.subprocess.Process:
    """Start clients; return once they ask."""
    port = str(urlsplit(tasklog.url).port)
    politely = () if kind == "light" else ("nice",)
    command = (*politely, sys.executable, "-m", "bench.heavy_clients", kind, port, *seconds)
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    await process.stdout.readline()
    return process
