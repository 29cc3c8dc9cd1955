"""What Chromium itself traces of a page: its marks, the frames that it showed, and when its main thread was busy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.async_api import Browser, Page

_CATEGORIES: Final = (
    "blink.user_timing",
    "disabled-by-default-devtools.timeline",
    "disabled-by-default-devtools.timeline.frame",
    "devtools.timeline.frame",
    "devtools.timeline",
    "toplevel",
    "__metadata",
)


@dataclass(frozen=True, slots=True)
class Trace:
    """The events of a trace; times in milliseconds, from any moment."""

    events: Sequence[dict[str, Any]]

    def marks(self, name: str) -> list[float]:
        """Return when the page set a mark."""
        return sorted(
            event["ts"] / 1000
            for event in self.events
            if event["name"] == name and "blink.user_timing" in event["cat"] and event["ph"] in "RIin"
        )

    def navigation(self, path: str) -> float:
        """Return when the page was asked for."""
        return next(
            float(event["ts"]) / 1000
            for event in self.events
            if event["name"] == "navigationStart" and path in event["args"]["data"]["documentLoaderURL"]
        )

    def frames(self) -> list[float]:
        """Return when frames were shown."""
        return sorted(event["ts"] / 1000 for event in self.events if event["name"] == "DrawFrame")

    def shown(self, mark: float) -> float:
        """Return when the first frame was shown that has what a page had changed at a mark.

        That is the next frame which the page's main thread makes and hands over, as Chromium numbers it.
        """
        made = next(n for at, n in self._frames_made("BeginMainThreadFrame") if at >= mark and self._is_active(n))
        active = next(at for at, n in self._frames_made("ActivateLayerTree") if n >= made and at >= mark)
        return next(frame for frame in self.frames() if frame >= active)

    def _is_active(self, number: int) -> bool:
        return any(n == number for _, n in self._frames_made("ActivateLayerTree"))

    def _frames_made(self, stage: str) -> list[tuple[float, int]]:
        """Return when frames reached a stage, with their numbers."""
        reached = [(event["ts"] / 1000, event["args"]) for event in self.events if event["name"] == stage]
        return sorted((at, args["data"]["frameId"] if "data" in args else args["frameId"]) for at, args in reached)

    def longest_task(self) -> float:
        """Return how long the main thread of a page that was clicked was busy without a pause, at most."""
        pages = {event["pid"] for event in self.events if event["name"] == "clicked"}
        mains = {
            (event["pid"], event["tid"])
            for event in self.events
            if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain" and event["pid"] in pages
        }
        tasks = [
            event["dur"] / 1000
            for event in self.events
            if event["name"] == "RunTask" and (event["pid"], event["tid"]) in mains and "dur" in event
        ]
        return max(tasks, default=0.0)


async def start_trace(browser: Browser, page: Page) -> None:
    """Begin to trace."""
    await browser.start_tracing(page=page, categories=list(_CATEGORIES))


async def end_trace(browser: Browser) -> Trace:
    """Return what was traced."""
    return Trace(orjson.loads(await browser.stop_tracing())["traceEvents"])
