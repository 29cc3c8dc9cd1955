"""The console in a real Chromium: how long a person waits, measured by the browser's own tracing."""

from __future__ import annotations

import asyncio
import re
import shutil
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, ClassVar, Final

from bench.tracing import end_trace, start_trace
from bench.wrk import token

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

    from bench.contenders import Tasklog

_TASKS: Final = 1_000
_POSITIONS: Final = 10_000
_EVENTS: Final = 100_000
_VISITS: Final = 5
_TOGGLES: Final = 20
_DRAG_SECONDS: Final = 3.0
_FRAMES_A_SECOND: Final = 60
_MOVES_A_SECOND: Final = 125
_FREEZE_MS: Final = 100.0
_FIRST_PAINT: Final = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
_TEXT: Final = "/problems/no-token"
_PATIENCE_MS: Final = 120_000
_MARKS: Final = """
    new MutationObserver((_, seen) => {
        if (document.querySelector("ul.tasks > li") === null) return;
        seen.disconnect();
        performance.mark("listed");
    }).observe(document, { childList: true, subtree: true });
    addEventListener("click", () => performance.mark("clicked"), true);
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """What was measured in the browser, and its bar: at most, or for `more` at least; None if it is for comparison."""

    HEAD: ClassVar = ("what", "measured", "bar", "")

    what: str
    value: float
    unit: str
    bar: float | None = None
    more: bool = False

    def row(self) -> tuple[str, ...]:
        """Return the row of the table."""
        value = round(self.value, 1 if self.value < _FREEZE_MS else None)  # as it is shown
        bar = verdict = ""
        if self.bar is not None:
            bar = f"{'≥' if self.more else '≤'} {self.bar:g} {self.unit}"
            verdict = "met" if (value >= self.bar if self.more else value <= self.bar) else "missed"
        return self.what, f"{value} {self.unit}", bar, verdict


async def console(tasklog: Tasklog) -> Sequence[Wait]:
    """Fill two users' ledgers, then measure what each view takes."""
    from playwright.async_api import async_playwright  # noqa: PLC0415 - installed for this work alone

    from tests.browser import FLAGS  # noqa: PLC0415 - likewise

    await tasklog.ledger.seed(["positions"], _TASKS, _POSITIONS // _TASKS - 1)
    await tasklog.ledger.seed(["events"], _EVENTS // 10, 9)
    await tasklog.settle()
    await tasklog.ledger.owner.execute("VACUUM ANALYZE tasklog.events, tasklog.tasks", timeout=600)
    found = shutil.which("chromium")
    if found is None:
        raise SystemExit("Chromium is not installed: install it (chromium on Debian and Ubuntu).")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        return [
            *await _visits(browser, tasklog),
            *await _drag(browser, tasklog),
            await _toggles(browser, tasklog),
            *await _check(browser, tasklog),
        ]


@asynccontextmanager
async def _new_page(browser: Browser) -> AsyncIterator[Page]:
    """Open a page in a new browser profile, without anything cached."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    context.set_default_timeout(_PATIENCE_MS)
    await context.add_init_script(_MARKS)
    page = await context.new_page()
    await page.wait_for_timeout(1000)  # a new window loads parts of the browser itself
    yield page
    await context.close()


@asynccontextmanager
async def _opened(browser: Browser, tasklog: Tasklog, user: str, view: str) -> AsyncIterator[Page]:
    """Open a view in a new browser profile, and trace it."""
    async with _new_page(browser) as page:
        await start_trace(browser, page)
        await page.goto(f"{tasklog.url}/console#token={token(user)}")
        await page.get_by_role("link", name=view, exact=True).click()
        yield page


async def _visits(browser: Browser, tasklog: Tasklog) -> list[Wait]:
    painted, took, alone = [], [], []
    for _ in range(_VISITS):
        async with _opened(browser, tasklog, "positions", "Tasks") as page:
            await page.get_by_text(f"{_TASKS:,} tasks").wait_for()
            await page.wait_for_timeout(100)
            painted.append(float(await page.evaluate(_FIRST_PAINT)))
            trace = await end_trace(browser)
            took.append(trace.shown(trace.marks("listed")[0]) - trace.navigation("/console"))
        async with _new_page(browser) as page:
            await start_trace(browser, page)
            await page.goto(tasklog.url + _TEXT)
            await page.wait_for_timeout(100)
            trace = await end_trace(browser)
            alone.append(trace.shown(trace.navigation(_TEXT)) - trace.navigation(_TEXT))
    visit = f"first visit to {_TASKS:,} tasks"
    return [
        Wait(what=f"{visit}: first paint", value=median(painted), bar=300, unit="ms"),
        Wait(what=f"{visit}: until they are shown", value=median(took), bar=300, unit="ms"),
        Wait(what="for comparison: a page of text alone, from the same service", value=median(alone), unit="ms"),
    ]


async def _toggles(browser: Browser, tasklog: Tasklog) -> Wait:
    async with _opened(browser, tasklog, "positions", "Tasks") as page:
        await page.get_by_text(f"{_TASKS:,} tasks").wait_for()
        await end_trace(browser)
        await start_trace(browser, page)
        boxes = page.get_by_role("list", name="Tasks").get_by_role("checkbox")
        for n in range(_TOGGLES):
            place = await boxes.nth(n % 5).bounding_box()
            assert place is not None
            await page.mouse.click(place["x"] + 5, place["y"] + 5)
            await page.wait_for_timeout(100)
        trace = await end_trace(browser)
        took = [trace.shown(clicked) - clicked for clicked in trace.marks("clicked")]
    return Wait(what=f"a toggle among {_TASKS:,} tasks: from click to frame", value=median(took), bar=16, unit="ms")


async def _drag(browser: Browser, tasklog: Tasklog) -> list[Wait]:
    async with _opened(browser, tasklog, "positions", "Time") as page:
        await page.get_by_text(re.compile(r"^(\d\d,\d\d\d) of \1")).wait_for()
        await end_trace(browser)
        rate = await _frames_a_second(browser, page)
        await page.goto("about:blank")
        await page.set_content('<input type="range" aria-label="Position" max="10000" value="10000">')
        alone = await _frames_a_second(browser, page)
    what = f"the slider dragged over {_POSITIONS:,} positions"
    return [
        Wait(what=what, value=rate, bar=_FRAMES_A_SECOND, unit="frames/s", more=True),
        Wait(what="for comparison: a slider alone on a page", value=alone, unit="frames/s"),
    ]


async def _frames_a_second(browser: Browser, page: Page) -> float:
    """Drag the slider from right to left as a mouse does, which moves whether or not the page keeps up."""
    place = await page.get_by_role("slider", name="Position").bounding_box()
    assert place is not None
    right, y = place["x"] + place["width"] - 8, place["y"] + place["height"] / 2
    await page.mouse.move(right, y)
    await page.mouse.down()
    await start_trace(browser, page)
    began, moves = time.perf_counter(), []
    while (passed := (time.perf_counter() - began) / _DRAG_SECONDS) < 1:
        moves.append(asyncio.create_task(page.mouse.move(right - passed * (place["width"] - 16), y)))
        await asyncio.sleep(1 / _MOVES_A_SECOND)
    await asyncio.gather(*moves)
    frames = (await end_trace(browser)).frames()
    await page.mouse.up()
    return (len(frames) - 1) / (frames[-1] - frames[0]) * 1000


async def _check(browser: Browser, tasklog: Tasklog) -> list[Wait]:
    async with _opened(browser, tasklog, "events", "Proof") as page:
        await page.get_by_text("Live").wait_for()
        await end_trace(browser)
        seconds = await _checked(page)
        # Traced apart: to trace 200,000 digests takes longer than to compute them.
        await start_trace(browser, page)
        await _checked(page)
        frozen = (await end_trace(browser)).longest_task()
        began = time.perf_counter()
        await page.get_by_role("link", name="Time", exact=True).click()
        await page.get_by_text(f"{_EVENTS:,} of {_EVENTS:,}").wait_for()
        loading = time.perf_counter() - began
    return [
        Wait(what=f'"Check it here" over {_EVENTS:,} events', value=seconds, bar=3, unit="s"),
        Wait(what="the same: the page did not answer for", value=frozen, bar=_FREEZE_MS, unit="ms"),
        Wait(what=f"{_EVENTS:,} events in Time", value=loading, bar=3, unit="s"),
    ]


async def _checked(page: Page) -> float:
    """Check all events, and return how long it took, in seconds."""
    began = time.perf_counter()
    await page.get_by_role("button", name="Check it here").click()
    await page.get_by_role("region", name="Result").wait_for(state="detached")
    await page.get_by_text(f"All {_EVENTS:,} events fit.").wait_for()
    return time.perf_counter() - began
