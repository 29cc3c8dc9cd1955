"""Without a connection the page opens, and with one it is never an old page."""

from __future__ import annotations

from typing import Final

from playwright.sync_api import Page, expect

from tests.console.conftest import Api, Console
from tests.console.test_tasks import add, titles
from tests.servers import RunningService, eventually

_KEPT: Final = """async () => {
    if ((await navigator.serviceWorker.getRegistration("/console"))?.active === undefined) return [];
    const cache = await caches.open("tasklog-console");
    return (await cache.keys()).map(({ url }) => new URL(url).pathname).sort();
}"""
_NAMED: Final = """() => [...document.querySelectorAll("[src], link[href]")]
    .map((node) => new URL(node.src || node.href).pathname)"""
_SPOIL: Final = """async () => {
    const cache = await caches.open("tasklog-console");
    await cache.put("/console", new Response("old", { headers: { "Content-Type": "text/html" } }));
    await cache.put("/console/0123456789abcdef/app.js", new Response("old"));
}"""

_COPY: Final = """async (user) => {
    const of = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await of(indexedDB.open(`tasklog tasks ${location.origin}/api/${user}`, 1));
    const tasks = await of(database.transaction("tasks").objectStore("tasks").getAll());
    database.close();
    return tasks.map(({ title, completed }) => [title, completed]).sort();
}"""
"""Return the titles of the tasks that are kept in the browser, and whether they are completed."""


def named(page: Page) -> list[str]:
    return sorted({"/console", *page.evaluate(_NAMED)})


def visited(console: Console) -> Page:
    """Return a page of which everything is kept."""
    page = console.open()
    assert eventually(lambda: page.evaluate(_KEPT) == named(page))
    return page


def test_only_the_page_and_its_own_files_are_kept(console: Console, api: Api) -> None:
    api.add("Buy milk")
    page = visited(console)
    page.get_by_role("link", name="Proof").click()
    page.get_by_role("button", name="Check it here").click()
    expect(page.get_by_text("The only event fits.")).to_be_visible()
    assert page.evaluate(_KEPT) == named(page)
    assert page.evaluate("() => caches.keys()") == ["tasklog-console"]


def test_without_the_service_the_page_opens_and_sends_what_was_done_once_it_is_back(
    console: Console, service: RunningService
) -> None:
    console.service = service
    page = visited(console)
    page.reload()  # from now on the page is under the service worker
    expect(page.get_by_text("Live")).to_be_visible()
    assert service.gateway.process is not None
    service.gateway.process.kill()
    service.gateway.process.wait()
    add(page, "Buy milk")
    assert eventually(lambda: console.queued(page) == 1)
    console.context.new_cdp_session(page).send("Network.clearBrowserCache")  # what HTTP kept does not last
    page.reload()
    expect(page.get_by_text(", 1 to send")).to_be_visible()
    assert titles(page) == ["Buy milk"]
    add(page, "Buy bread")
    expect(page.get_by_text(", 2 to send")).to_be_visible()
    service.gateway.start()
    expect(page.get_by_text("Live")).to_be_visible()
    tasks = Api(service.client(console.user), console.user)
    assert eventually(lambda: tasks.titles() == ["Buy bread", "Buy milk"])
    assert tasks.types() == ["task.created", "task.created"]
    console.expect_errors("ERR_")


def test_without_the_service_the_tasks_are_shown_as_they_were_last_seen(
    console: Console, service: RunningService
) -> None:
    console.service = service
    api = Api(service.client(console.user), console.user)
    for title in ("Buy wine", "Buy milk", "Buy bread"):
        api.add(title)
    page = visited(console)
    page.get_by_role("checkbox", name="Buy milk").check()
    page.get_by_role("checkbox", name="Buy wine").hover()
    page.get_by_role("button", name="Delete Buy wine").click()
    kept = [["Buy bread", False], ["Buy milk", True]]
    assert eventually(lambda: page.evaluate(_COPY, console.user) == kept)
    assert service.gateway.process is not None
    service.gateway.process.kill()
    service.gateway.process.wait()
    console.context.set_offline(True)
    page.reload()
    expect(page.get_by_text("1 open of 2 tasks, as last seen")).to_be_visible()
    expect(page.get_by_label("Connection")).to_have_text("Offline")
    assert titles(page) == ["Buy bread", "Buy milk"]
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_checked()
    page.get_by_role("checkbox", name="Buy bread").check()
    expect(page.get_by_text("0 open of 2 tasks, as last seen")).to_be_visible()
    service.gateway.start()
    console.context.set_offline(False)
    expect(page.get_by_text("Live")).to_be_visible()
    expect(page.get_by_text("0 open of 2 tasks", exact=True)).to_be_visible()
    assert eventually(lambda: [task["completed"] for task in api.tasks()] == [True, True])
    console.expect_errors("ERR_")


def test_signing_out_takes_the_tasks_out_of_the_browser(console: Console, api: Api) -> None:
    api.add("Buy milk")
    page = console.open()
    assert eventually(lambda: page.evaluate(_COPY, console.user) == [["Buy milk", False]])
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    assert page.evaluate(_COPY, console.user) == []


def test_with_a_connection_the_page_is_never_an_old_one(console: Console) -> None:
    page = visited(console)
    page.evaluate(_SPOIL)
    page.reload()
    expect(page.get_by_role("form", name="New task")).to_be_visible()
    assert eventually(lambda: page.evaluate(_KEPT) == named(page))
    assert "old" not in page.evaluate("async () => (await caches.match('/console')).text()")
