"""What a setting costs: the same build under different settings, in turn, in CPU µs an answer."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar, Final

import httpx

from bench.contenders import start_tasklog
from bench.lab import free_port
from bench.measure import WARM_UP, measure, one_round
from bench.processes import cpu_seconds, tree
from bench.works import WORKS

if TYPE_CHECKING:
    from bench.contenders import Tasklog
    from bench.lab import Lab
    from bench.measure import Figures, Rounds
    from bench.works import Work

CORES: Final = (2, 4, 8, 16)
"""Numbers of cores in the table of what more of them give."""
_SCRAPE_SECONDS: Final = 5.0
"""How often the metrics are scraped, in seconds: three times as often as in docs/operate/prometheus.yml."""
_WARM_UP_SECONDS: Final = 2.0
_WORKS: Final = {work.name: work for work in WORKS}


@dataclass(frozen=True, kw_only=True, slots=True)
class Setup:
    """A work under one setting; `of_first` is its CPU by that of the first setting, of which `most` is allowed."""

    HEAD: ClassVar = (
        "work",
        "setting",
        "CPU µs: API",
        "projector",
        "Postgres",
        "all",
        "of the first",
        "target",
        "",
        "answers/s",
    )

    work: str
    setting: str
    figures: Figures
    of_first: float
    most: float | None = None

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        cpu = [self.figures.cpu.get(name, 0.0) for name in ("api", "projector", "postgres")]
        target = (
            ("", "")
            if self.most is None
            else (f"≤ {self.most:.2f} ×", "met" if self.of_first <= self.most else "missed")
        )
        numbers = (f"{value:.0f}" for value in (*cpu, self.figures.cost))
        return (self.work, self.setting, *numbers, f"{self.of_first:.2f} ×", *target, f"{self.figures.rate:,.0f}")


async def metrics(lab: Lab, rounds: Rounds) -> list[Setup]:
    """Measure POST with the admin port off and on, and with traces of every request and of one in a hundred."""
    with _sink() as url:
        traces = {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
        some = {"OTEL_TRACES_SAMPLER": "parentbased_traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.01"}
        port = free_port()
        settings: Mapping[str, dict[str, str]] = {
            "off": {},
            "metrics, scraped every 5 s": {"ADMIN_PORT": str(port)},
            "1 % of the requests traced": traces | some,
            "all requests traced": traces,
        }
        started = await _start(lab, "setup", settings)
        scraping = asyncio.create_task(_scrape_forever(f"http://127.0.0.1:{port}/metrics"))
        try:
            return await _in_turn(lab, started, ["post"], rounds, {"metrics, scraped every 5 s": 1.05})
        finally:
            scraping.cancel()


async def workers(lab: Lab, rounds: Rounds) -> tuple[list[Setup], list[tuple[str, str]]]:
    """Measure POST, GET and lists with one API process and with two, and how evenly two share the work."""
    settings = {"one worker": {"API_WORKERS": "1"}, "two workers": {"API_WORKERS": "2"}}
    started = await _start(lab, "workers", settings)
    two = tree(started["two workers"].gateway.pid)[1:]
    before = [cpu_seconds(pid) for pid in two]
    found = await _in_turn(lab, started, ["post", "get", "list"], rounds, {"two workers": 1.05})
    after = [cpu_seconds(pid) for pid in two]
    spent = [ended - began for ended, began in zip(after, before, strict=True)]
    shares = [("share of the busiest of two workers, of both", f"{max(spent) / sum(spent):.0%}")]
    return found, [*shares, *_by_arithmetic(found)]


def _by_arithmetic(found: Sequence[Setup]) -> Iterator[tuple[str, str]]:
    """Yield what more cores give if all processes share them and nothing else is short: computed, not measured."""
    for one in found:
        if one.setting == "two workers":
            rates = ", ".join(f"{cores}: {cores * 1e6 / one.figures.cost:,.0f}" for cores in CORES)
            yield f"{one.work}, answers/s by cores, by arithmetic from {one.figures.cost:.0f} µs", rates


async def _start(lab: Lab, name: str, settings: Mapping[str, Mapping[str, str]]) -> dict[str, Tasklog]:
    numbered = enumerate(settings.items())
    return {setting: await start_tasklog(lab, f"{name}{n}", env=env) for n, (setting, env) in numbered}


async def _in_turn(
    lab: Lab, started: Mapping[str, Tasklog], works: Sequence[str], rounds: Rounds, most: Mapping[str, float]
) -> list[Setup]:
    found: list[Setup] = []
    for work in (_WORKS[name] for name in works):
        for tasklog in started.values():
            await one_round(lab, work, tasklog, WARM_UP, _WARM_UP_SECONDS)
        figures = [*(await measure(lab, work, [*started.values()], rounds)).values()]
        new = [
            _setup(work, setting, one, figures[0], most.get(setting))
            for setting, one in zip(started, figures, strict=True)
        ]
        print("\n".join("  ".join(one.row()) for one in new), flush=True)
        found += new
    return found


def _setup(work: Work, setting: str, figures: Figures, first: Figures, most: float | None) -> Setup:
    return Setup(work=work.title, setting=setting, figures=figures, of_first=figures.cost / first.cost, most=most)


async def _scrape_forever(url: str) -> None:
    async with httpx.AsyncClient() as client:
        while True:
            with suppress(httpx.HTTPError):
                await client.get(url)
            await asyncio.sleep(_SCRAPE_SECONDS)


class _Sink(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _sink() -> Iterator[str]:
    """Take spans at an address while the block runs, and drop them."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Sink) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
