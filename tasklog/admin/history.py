"""The last ten minutes: lag and rates, sampled every few seconds and kept in the projector's memory."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

from tasklog.admin.reports import REPORT_SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tasklog.admin.ledger_facts import FactReader, LedgerFacts
    from tasklog.admin.reports import Report

_SAMPLES: Final = round(600 / REPORT_SECONDS)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """Lag, parked users and rates per second, at a UNIX time; a value is None while it is unknown."""

    at: float
    lag_seconds: float | None
    lag_events: int | None
    parked_users: int | None
    requests: float | None
    failed: float | None
    events: float | None


class History:
    """The samples of the last ten minutes, oldest first, and the rates of each process."""

    def __init__(self, reader: FactReader) -> None:
        self._reader = reader
        self._samples: deque[Sample] = deque(maxlen=_SAMPLES)
        self._before: tuple[float, Mapping[str, Report]] | None = None
        self.processes: Sequence[Mapping[str, Any]] = ()

    def samples(self) -> Sequence[Mapping[str, Any]]:
        """Return the samples as JSON has them."""
        return [asdict(sample) for sample in self._samples]

    async def sample_forever(self) -> None:
        """Take a sample every `REPORT_SECONDS`."""
        while True:
            self._take(await self._reader.read())
            await asyncio.sleep(REPORT_SECONDS)

    def _take(self, facts: LedgerFacts) -> None:
        now, rates = time.monotonic(), None
        if facts.reports is not None:
            self.processes = _processes(facts.reports, self._before, now)
            rates = {kind: sum(one[kind] or 0 for one in self.processes) for kind in ("requests", "failed", "events")}
            rates = rates if self._before is not None else None
            self._before = now, facts.reports
        else:
            self.processes, self._before = (), None
        behind = facts.lag
        self._samples.append(
            Sample(
                at=time.time(),
                lag_seconds=behind and behind.seconds,
                lag_events=behind and behind.events,
                parked_users=behind and behind.parked_users,
                **(rates or {"requests": None, "failed": None, "events": None}),
            )
        )


def _processes(
    reports: Mapping[str, Report], before: tuple[float, Mapping[str, Report]] | None, now: float
) -> Sequence[Mapping[str, Any]]:
    """Return the processes with their rates per second since the last sample; the rates of a new process are None."""
    processes: list[Mapping[str, Any]] = []
    for name, report in sorted(reports.items(), key=lambda item: (item[1].service, item[1].worker or 0, item[0])):
        then, known = before or (now, {})
        was = known.get(name)
        counted = asdict(report.counted)
        rates: dict[str, float | None] = dict.fromkeys(counted)
        if was is not None and now > then:
            earlier = asdict(was.counted)
            rates = {kind: round(max(0, counted[kind] - earlier[kind]) / (now - then), 2) for kind in counted}
        place = {"service": report.service, "worker": report.worker, "port": report.port}
        processes.append({**place, "version": report.version, **rates})
    return processes
