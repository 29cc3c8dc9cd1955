"""How the console starts: the tasks are asked for at once, and views that nobody looks at come later."""

from __future__ import annotations

from playwright.sync_api import Route, expect

from tests.console.conftest import Api, Console
from tests.servers import eventually, token

FIRST = {"app.js", "tasks.js", "replica.js"}
OTHERS = {"time.js", "proof.js", "step.js", "checker.js"}
_LOADED = """() => performance.getEntriesByType('resource')
    .map(({ name, startTime, responseEnd }) => [name.split('/').at(-1), startTime, responseEnd])"""


def test_the_tasks_are_asked_for_once_while_the_page_still_loads(console: Console, api: Api) -> None:
    api.add("Buy milk")
    page = console.page()
    asked: list[str] = []
    held: list[Route] = []
    page.on("request", lambda request: asked.append(request.url.rpartition("/")[2]))
    page.route("**/replica.js", lambda route: held.append(route))  # noqa: PLW0108 - Playwright marks the function
    with page.expect_request("**/changes/stream"):
        page.goto(f"{console.url}/console#token={token(console.user)}", wait_until="commit")
    assert page.get_by_role("checkbox").count() == 0
    held[0].continue_()
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    api.add("Buy bread")
    expect(page.get_by_role("checkbox", name="Buy bread")).to_be_visible()
    assert asked.count("stream") == 1


def test_modules_of_other_views_come_when_the_first_view_is_there(console: Console) -> None:
    page = console.page()
    page.goto(f"{console.url}/console#token={token(console.user)}")
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    assert eventually(lambda: {name for name, *_ in page.evaluate(_LOADED)} >= OTHERS)
    loaded = {name: (begun, ended) for name, begun, ended in page.evaluate(_LOADED)}
    assert min(loaded[name][0] for name in OTHERS) > max(loaded[name][1] for name in FIRST)


def test_a_view_that_cannot_be_loaded_says_what_to_do(console: Console) -> None:
    page = console.page()
    page.route("**/time.js", lambda route: route.abort())
    page.goto(f"{console.url}/console#token={token(console.user)}")
    page.get_by_role("link", name="Time").click()
    expect(page.get_by_role("alert")).to_have_text(
        "This view could not be loaded. Check the connection, then reload the page."
    )
    page.get_by_role("link", name="Tasks").click()
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    console.expect_errors("ERR_FAILED")
