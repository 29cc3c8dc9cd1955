"""The console in a real browser, at a service of its own origin."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import asyncpg
import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.browser import QUEUED, chromium
from tests.servers import RunningService, token

expect.set_options(timeout=20_000)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium("console") as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    with browser.new_context(locale="en-GB", timezone_id="Europe/Berlin") as context:
        context.set_default_timeout(20_000)
        yield context


class Console:
    """A browser with the console, signed in as a user; it keeps the errors of its pages."""

    def __init__(self, context: BrowserContext, service: RunningService, user: str) -> None:
        self.context = context
        self.service = service
        self.user = user
        self.errors: list[str] = []
        self.hosts: set[str] = set()

    @property
    def url(self) -> str:
        return self.service.url

    def page(self) -> Page:
        """Return a new page whose errors are kept."""
        page = self.context.new_page()
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.hosts.add(request.url.split("/")[2]))
        return page

    def open(self, view: str = "Tasks") -> Page:
        page = self.page()
        page.goto(f"{self.url}/console#token={token(self.user)}")
        page.get_by_role("link", name=view, exact=True).click()
        return page

    def queued(self, page: Page) -> int:
        """Return how many commands a page's queue has: those that the service has not answered to it yet."""
        queued: int = page.evaluate(QUEUED, f"tasklog {self.url}/api/{self.user}")
        return queued

    def expect_errors(self, *parts: str) -> None:
        """Forget the errors that a test means to cause; fail on any other."""
        self.errors[:] = [error for error in self.errors if not any(part in error for part in parts)]

    def execute(self, statement: str, *arguments: object) -> list[asyncpg.Record]:
        """Run a statement as the owner."""
        return self.service.database.execute(statement, *arguments)


@pytest.fixture
def console(context: BrowserContext, shared_service: RunningService, user: str) -> Iterator[Console]:
    console = Console(context, shared_service, user)
    yield console
    assert console.errors == []
    assert console.hosts <= {console.url.split("/")[2]}


class Api:
    """The user's tasks over HTTP, for what a test arranges and checks."""

    def __init__(self, client: httpx.Client, user: str) -> None:
        self.client = client
        self.root = f"/api/{user}"

    def add(self, title: str, **fields: Any) -> int:
        answer = self.client.post(f"{self.root}/tasks", json={"title": title, **fields})
        task: int = answer.json()["id"]
        return task

    def edit(self, task: int, **fields: Any) -> None:
        self.client.put(f"{self.root}/tasks/{task}", json=fields)

    def toggle(self, task: int) -> None:
        self.client.patch(f"{self.root}/tasks/{task}/complete")

    def delete(self, task: int) -> None:
        self.client.delete(f"{self.root}/tasks/{task}")

    def tasks(self) -> list[dict[str, Any]]:
        tasks: list[dict[str, Any]] = self.client.get(f"{self.root}/tasks").json()
        return tasks

    def titles(self) -> list[str]:
        return [task["title"] for task in self.tasks()]

    def history(self) -> dict[str, Any]:
        history: dict[str, Any] = self.client.get(f"{self.root}/history", params={"limit": 1000}).json()
        return history

    def types(self) -> list[str]:
        return [event["type"] for event in self.history()["events"]]


@pytest.fixture
def api(shared_service: RunningService, user: str) -> Api:
    return Api(shared_service.client(user), user)
