"""The console's view of the history as a line, and of the list as it was."""

from __future__ import annotations

import re
from functools import partial

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import Api, Console
from tests.servers import eventually


@pytest.fixture
def milk(api: Api) -> int:
    """A task that was created, edited and completed, and another one that was deleted: five events."""
    milk = api.add("Buy milk")
    api.edit(milk, title="Buy oat milk", priority="high")
    bread = api.add("Buy bread")
    api.toggle(milk)
    api.delete(bread)
    return milk


def go_to(page: Page, position: int) -> None:
    page.get_by_role("slider", name="Position").fill(str(position))


def shown(page: Page) -> list[str]:
    return page.get_by_role("list", name="Tasks at this position").locator("li:not(.gone) .title").all_text_contents()


def _shows(page: Page, titles: list[str]) -> bool:
    return shown(page) == titles


def test_the_slider_shows_the_list_as_it_was_with_what_changed_marked(console: Console, milk: int) -> None:
    page = console.open("Time")
    expect(page.get_by_text("5 of 5")).to_be_visible()
    expect(page.get_by_role("img", name="5 events from")).to_be_visible()
    assert shown(page) == ["Buy oat milk"]
    both = ["Buy bread", "Buy oat milk"]
    for position, titles in ((4, both), (1, ["Buy milk"]), (0, []), (3, both)):
        go_to(page, position)
        assert eventually(partial(_shows, page, titles))
    marked = page.get_by_role("list", name="Tasks at this position").locator("[aria-current=step]")
    for position, title in ((2, "Buy oat milk"), (3, "Buy bread"), (4, "Buy oat milk"), (5, "Buy bread")):
        go_to(page, position)
        expect(marked).to_have_count(1)
        expect(marked).to_contain_text(title)
    expect(marked.get_by_role("img", name="deleted here")).to_be_visible()
    happened = page.get_by_role("region", name="What happened there")
    go_to(page, 2)
    expect(happened).to_contain_text("Changed “Buy oat milk” (title, priority)")
    expect(happened.get_by_role("row", name="title")).to_contain_text("Buy milk")


def test_the_line_has_a_colour_for_each_kind_and_leads_to_a_moment(console: Console, milk: int) -> None:
    page = console.open("Time")
    expect(page.get_by_text("5 of 5")).to_be_visible()
    kinds = page.get_by_role("list", name="Kinds of events").get_by_role("listitem")
    expect(kinds).to_have_text(["2 added", "1 changed", "1 completed", "1 deleted"])
    chart = page.get_by_role("img", name="5 events from")
    colours = chart.locator("path:not([d=''])").evaluate_all(
        "(paths) => paths.map((path) => getComputedStyle(path).fill)"
    )
    assert len(set(colours)) == len(colours) == 4
    size = chart.bounding_box()
    assert size is not None
    chart.click(position={"x": 1, "y": size["height"] / 2})
    expect(page.get_by_text("1 of 5")).to_be_visible()
    chart.click(position={"x": size["width"] - 1, "y": size["height"] / 2})
    expect(page.get_by_text(re.compile(r"^[45] of 5"))).to_be_visible()


def test_the_slider_goes_by_keyboard(console: Console, milk: int) -> None:
    page = console.open("Time")
    expect(page.get_by_text("5 of 5")).to_be_visible()
    slider = page.get_by_role("slider", name="Position")
    slider.press("ArrowLeft")
    expect(page.get_by_text("4 of 5")).to_be_visible()
    slider.press("Home")
    expect(page.get_by_text("Before the first event")).to_be_visible()
    slider.press("End")
    expect(page.get_by_text("5 of 5")).to_be_visible()


FOLDED = """async ([path, events]) => {
    const { Ledger } = await import(path);
    const ledger = new Ledger();
    ledger.add(events);
    return Array.from({ length: ledger.last + 1 }, (_, at) => ({
        tasks: ledger.newest(at, 1000),
        count: ledger.count(at),
        changes: ledger.event(at)?.changes ?? [],
    }));
}"""


def test_the_page_folds_events_as_the_service_does(console: Console, api: Api, milk: int) -> None:
    all_fields = {"description": "d", "due_date": "2026-12-24", "priority": "P1", "tags": ["a", "b"], "category": "c"}
    task = api.add("All of it", **all_fields)
    for field in all_fields:
        api.edit(task, **{field: None})
    api.edit(task, title="Done", completed=True)
    api.delete(task)
    api.client.post(f"{api.root}/tasks/{task}/restore")
    api.client.post(f"{api.root}/undo")
    api.toggle(milk)
    events = api.client.get(f"{api.root}/events").json()["events"]
    page = console.open()
    path = page.locator("script[src$='app.js']").get_attribute("src") or ""
    folded = page.evaluate(FOLDED, [path.replace("app.js", "ledger.js"), events])
    history = api.history()["events"]
    assert len(folded) == len(history) + 1 > 15
    for position, at in enumerate(folded):
        then = api.client.get(f"{api.root}/tasks", params={"as_of": position}).json()
        assert at["tasks"] == [{name: task[name] for name in ("id", *FIELDS)} for task in then], position
        assert at["count"] == len(then)
        changed = history[position - 1]["changes"] if position > 0 else []
        assert [change for change in at["changes"] if change["field"] != "completed"] == [
            {**change, **{side: empty(change["field"], change[side]) for side in ("from", "to")}}
            for change in changed
            if change["field"] != "completed" and change["from"] != change["to"]
        ]


FIELDS = ("title", "description", "due_date", "priority", "tags", "category", "completed")


def empty(field: str, value: object) -> object:
    """Return a value as the page has it: where there is no task, the API has null."""
    return {"title": "", "priority": "medium", "tags": []}.get(field) if value is None else value


def test_play_goes_through_the_whole_history(console: Console, api: Api, milk: int) -> None:
    for n in range(45):  # it plays for 4 s: long enough to see that it does
        api.add(f"Task {n}")
    page = console.open("Time")
    expect(page.get_by_text("50 of 50")).to_be_visible()
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_text("50 of 50")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_the_line_of_time_grows_with_each_event_and_stays_where_one_is(console: Console, api: Api, milk: int) -> None:
    page = console.open("Time")
    expect(page.get_by_text("5 of 5")).to_be_visible()
    api.add("Buy tea")
    expect(page.get_by_text("6 of 6")).to_be_visible()
    go_to(page, 3)
    api.add("Buy jam")
    expect(page.get_by_text("3 of 7")).to_be_visible()


def test_an_event_leads_to_its_tasks_history_with_before_and_after_of_each_field(console: Console, milk: int) -> None:
    page = console.open("Time")
    go_to_task(page, "Buy oat milk")
    story = page.get_by_role("region", name="History of a task")
    heads = story.get_by_role("listitem").locator("strong")
    expect(heads).to_have_text(
        ["Completed “Buy oat milk”", "Changed “Buy oat milk” (title, priority)", "Added “Buy milk”"]
    )
    edited = story.get_by_role("listitem").nth(1)
    for field, before, after in (("title", "Buy milk", "Buy oat milk"), ("priority", "medium", "high")):
        expect(edited.get_by_role("row", name=field).get_by_role("cell")).to_have_text([before, after])
    edited.get_by_role("button", name="Position 2").click()
    expect(page.get_by_text("2 of 5")).to_be_visible()


def test_a_task_is_restored_as_it_was(console: Console, api: Api, milk: int) -> None:
    page = console.open("Time")
    go_to_task(page, "Buy oat milk")
    page.get_by_role("button", name="Restore it like this").last.click()
    expect(page.get_by_role("status", name="Messages")).to_contain_text("“Buy milk” is as it was at position 1.")
    (task,) = api.tasks()
    assert (task["id"], task["title"], task["priority"], task["completed"]) == (milk, "Buy milk", "medium", False)


def test_a_deleted_task_is_restored_as_it_was(console: Console, api: Api, milk: int) -> None:
    page = console.open("Time")
    expect(page.get_by_text("5 of 5")).to_be_visible()
    go_to(page, 3)
    go_to_task(page, "Buy bread")
    page.get_by_role("button", name="Restore it like this").click()
    assert eventually(lambda: api.titles() == ["Buy bread", "Buy oat milk"])
    expect(page.get_by_text("3 of 6")).to_be_visible()


def test_a_task_leads_from_the_list_to_its_history(console: Console, milk: int) -> None:
    page = console.open()
    page.get_by_role("checkbox", name="Buy oat milk").hover()
    page.get_by_role("link", name="History of Buy oat milk").click()
    expect(page.get_by_role("heading", name="Buy oat milk", exact=True)).to_be_focused()


def go_to_task(page: Page, title: str) -> None:
    page.get_by_role("list", name="Tasks at this position").get_by_role("button", name=title).click()
