"""The console with 10,000 tasks and 100,000 events."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

import asyncpg
import pytest
from playwright.sync_api import BrowserContext, Page, expect

from domain.events import TaskCreated, TaskEdited, TaskEvent
from tests.console.conftest import Console
from tests.console.test_tasks import titles
from tests.ledger import appended, of
from tests.servers import Database, RunningService, Servers, eventually, run_async, running_service

USER = "somebody with a long life"
TASKS = 10_000
EDITS = 9
EVENTS = TASKS * (EDITS + 1)
PATIENCE = 60_000
"""Milliseconds in which a slow machine loads or checks all events."""
_BATCH = 250

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),  # the first test also waits for the fixture
]


@pytest.fixture(scope="module")
def large(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """A service with a long ledger: one task after the other is created, and edited at once."""
    with servers.cloned() as database, servers.emptied_redis() as redis_url:
        run_async(fill(database))
        with running_service(database, redis_url, tmp_path_factory.mktemp("large") / "log") as service:
            yield service


def story(task: int) -> list[TaskEvent]:
    """Return the events of a task."""
    edits = [TaskEdited(title=f"({task}) {edit}") for edit in range(1, EDITS + 1)]
    return [TaskCreated(title=f"({task}) 0", description=None), *edits]


async def fill(database: Database) -> None:
    owner = await asyncpg.connect(database.owner)
    for first in range(1, TASKS + 1, _BATCH):
        await appended(owner, *(of(USER, *story(n)) for n in range(first, first + _BATCH)))
    await owner.close()


def at(position: int) -> list[str]:
    """Return the titles of the newest tasks at a position."""
    newest, edits = divmod(position - 1, EDITS + 1)
    return [f"({newest + 1}) {edits}", *(f"({n}) {EDITS}" for n in range(newest, max(0, newest - 99), -1))]


@pytest.fixture
def console(large: RunningService, context: BrowserContext) -> Iterator[Console]:
    console = Console(context, large, USER)
    yield console
    assert console.errors == []


def check(page: Page) -> None:
    page.get_by_role("link", name="Proof").click()
    page.get_by_role("button", name="Check it here").click()


def test_10000_tasks_are_listed_found_and_changed(console: Console) -> None:
    page = console.open()
    expect(page.get_by_text(f"of {TASKS:,} tasks")).to_be_visible(timeout=PATIENCE)
    seen = len(titles(page))
    page.get_by_role("button", name="Show more").scroll_into_view_if_needed()
    assert eventually(lambda: len(titles(page)) > seen)
    page.get_by_role("searchbox", name="Search").fill("(77)")
    expect(page.get_by_role("checkbox")).to_have_count(1)
    before = page.get_by_role("checkbox").is_checked()
    page.get_by_role("checkbox").click()
    path, search = f"/api/{USER}/tasks", {"search": "(77)"}
    client = console.service.client(USER)
    assert eventually(lambda: [task["completed"] for task in client.get(path, params=search).json()] == [not before])


def test_100000_events_are_travelled(console: Console) -> None:
    page = console.open("Time")
    expect(page.get_by_text(re.compile(r"^(100,00\d) of \1 "))).to_be_visible(timeout=PATIENCE)
    for position in (50_001, 123, 99_990):
        page.get_by_role("slider", name="Position").fill(str(position))
        expect(page.get_by_text(f"{position:,} of 100,00")).to_be_visible()
        assert eventually(partial(begins_with, page, at(position)))


def begins_with(page: Page, expected: list[str]) -> bool:
    shown = page.get_by_role("list", name="Tasks at this position").locator(".title").all_text_contents()
    return shown[: len(expected)] == expected


def test_100000_events_are_proved_and_one_that_was_changed_is_found(console: Console) -> None:
    page = console.open()
    head = console.service.client(USER).get(f"/api/{USER}/events", params={"limit": 1}).json()["head"]
    check(page)
    expect(page.get_by_text(f"All {head['position']:,} events fit.")).to_be_visible(timeout=PATIENCE)
    expect(page.get_by_text(head["hash"])).to_be_visible()
    forged = "UPDATE tasklog.events SET recorded_at = recorded_at + '1 us' WHERE user_id = $1 AND position = 87654"
    console.execute(forged, USER)
    check(page)
    expect(page.get_by_text("Position 87654 does not fit.")).to_be_visible(timeout=PATIENCE)
