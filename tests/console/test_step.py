"""The console's view of one position: the command, the event, the state and the row before and after."""

from __future__ import annotations

from playwright.sync_api import Page, expect

from tests.console.conftest import Api, Console


def table(page: Page, part: str, row: str) -> list[str]:
    found = page.get_by_role("region", name=part).get_by_role("row", name=row, exact=False).first
    return found.get_by_role("cell").all_inner_texts()


def test_a_position_shows_the_command_the_event_the_states_and_the_rows(console: Console, api: Api) -> None:
    task = api.add("Buy milk")
    api.edit(task, title="Buy oat milk")
    event = api.history()["events"][1]
    page = console.open("Step through")
    command = page.get_by_role("region", name="Command")
    for text in ("task.edit", "Buy oat milk", console.user, event["request_id"]):
        expect(command).to_contain_text(text)
    stored = page.get_by_role("region", name="Event")
    for text in ("task.edited", event["hash"], event["event_id"], event["data"], event["metadata"]):
        expect(stored).to_contain_text(text)
    assert table(page, "State", "title") == ["Buy milk", "Buy oat milk"]
    assert table(page, "State", "version") == ["1", "2"]
    assert table(page, "Row", "title") == ["Buy milk", "Buy oat milk"]


def test_one_steps_from_position_to_position(console: Console, api: Api) -> None:
    task = api.add("Buy milk")
    api.toggle(task)
    api.delete(task)
    page = console.open("Step through")
    expect(page.get_by_label("Position")).to_have_value("3")
    expect(page.get_by_role("region", name="Command")).to_contain_text("task.delete")
    page.get_by_role("button", name="Previous").click()
    expect(page.get_by_role("region", name="Event")).to_contain_text("task.completed")
    page.get_by_label("Position").fill("1")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("region", name="Event")).to_contain_text("task.created")
    assert table(page, "Row", "title") == ["\u2013", "Buy milk"]
    assert page.url.endswith("#step?position=1")
    page.reload()
    expect(page.get_by_role("region", name="Event")).to_contain_text("task.created")


def test_without_events_there_is_nothing_to_step_through(console: Console) -> None:
    page = console.open("Step through")
    expect(page.get_by_role("alert")).to_have_text("Nothing has happened yet.")
