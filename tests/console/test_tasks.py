"""The console's list of tasks: what a person sees and does, by roles and names."""

from __future__ import annotations

from playwright.sync_api import APIResponse, Locator, Page, Route, expect

from console.assets import assets
from tests.console.conftest import Api, Console
from tests.servers import eventually


def add(page: Page, title: str) -> None:
    form = page.get_by_role("form", name="New task")
    form.get_by_role("textbox", name="Title").fill(title)
    form.get_by_role("button", name="Add", exact=True).click()


def line(page: Page, title: str) -> Locator:
    return page.get_by_role("list", name="Tasks").get_by_role("listitem").filter(has_text=title)


def titles(page: Page) -> list[str]:
    return page.get_by_role("list", name="Tasks").locator(".title").all_text_contents()


def test_a_task_is_added_completed_edited_in_its_place_and_deleted(console: Console, api: Api) -> None:
    page = console.open()
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    add(page, "Buy milk")
    page.get_by_role("checkbox", name="Buy milk").check()
    assert eventually(lambda: [task["completed"] for task in api.tasks()] == [True])
    page.get_by_role("button", name="Edit Buy milk").click()
    editing = page.get_by_role("form", name="Edit Buy milk").get_by_role("textbox", name="Title")
    editing.fill("Buy oat milk")
    editing.press("Enter")
    expect(page.get_by_role("checkbox", name="Buy oat milk")).to_be_checked()
    assert eventually(lambda: api.titles() == ["Buy oat milk"])
    line(page, "Buy oat milk").hover()
    page.get_by_role("button", name="Delete Buy oat milk").click()
    expect(page.get_by_role("status", name="Messages")).to_contain_text("Deleted “Buy oat milk”.")
    assert eventually(lambda: api.tasks() == [])
    assert api.types() == ["task.created", "task.completed", "task.edited", "task.deleted"]


def test_a_task_has_a_due_date_a_priority_tags_a_category_and_a_description(console: Console, api: Api) -> None:
    page = console.open()
    form = page.get_by_role("form", name="New task")
    form.get_by_text("Due, priority, tags and more").click()
    form.get_by_label("Due").fill("2000-01-02")
    form.get_by_label("Priority").select_option("high")
    form.get_by_label("Tags").fill("home, garden")
    form.get_by_label("Category").fill("Chores")
    form.get_by_label("Description").fill("Front and back")
    add(page, "Mow the lawn")
    for text in ("high", "overdue since 2 Jan 2000", "home", "garden", "Chores", "Front and back"):
        expect(line(page, "Mow the lawn")).to_contain_text(text)
    (task,) = eventually(api.tasks)
    assert (task["due_date"], task["priority"], task["tags"]) == ("2000-01-02", "high", ["home", "garden"])
    assert (task["category"], task["description"]) == ("Chores", "Front and back")


def test_an_edit_changes_only_what_was_changed_and_escape_changes_nothing(console: Console, api: Api) -> None:
    task = api.add("Call Bob", due_date="2026-12-24T18:00:00Z", tags=["phone"], priority="P1")
    page = console.open()
    page.get_by_role("button", name="Edit Call Bob").click()
    form = page.get_by_role("form", name="Edit Call Bob")
    form.get_by_label("Title").fill("Call nobody")
    form.get_by_label("Title").press("Escape")
    expect(page.get_by_role("button", name="Edit Call Bob")).to_be_focused()
    page.get_by_role("button", name="Edit Call Bob").click()
    form.get_by_label("Category").fill("Friends")
    form.get_by_role("button", name="Save").click()
    expect(line(page, "Call Bob")).to_contain_text("Friends")
    assert eventually(lambda: api.types() == ["task.created", "task.edited"])
    event = api.history()["events"][1]
    assert event["changes"] == [{"field": "category", "from": None, "to": "Friends"}]
    assert event["task_id"] == task


def test_search_filters_and_sorts_find_tasks(console: Console, api: Api) -> None:
    for title, priority, tag in (("Bread", "low", "shop"), ("Apples", "high", "shop"), ("Call Bob", "urgent", "phone")):
        api.add(title, priority=priority, tags=[tag])
    page = console.open()
    expect(page.get_by_role("checkbox")).to_have_count(3)
    expect(page.get_by_text("3 open of 3 tasks")).to_be_visible()
    page.get_by_role("combobox", name="Sort").select_option("A to Z")
    assert titles(page) == ["Apples", "Bread", "Call Bob"]
    page.get_by_role("combobox", name="Sort").select_option("Most urgent first")
    assert titles(page) == ["Call Bob", "Apples", "Bread"]
    page.get_by_role("search").get_by_role("combobox", name="Tag").select_option("shop")
    assert titles(page) == ["Apples", "Bread"]
    page.get_by_role("search").get_by_role("combobox", name="Priority").select_option("low")
    assert titles(page) == ["Bread"]
    page.get_by_role("search").get_by_role("combobox", name="Priority").select_option("Any priority")
    page.get_by_role("searchbox", name="Search").fill("APP shop")
    assert titles(page) == ["Apples"]
    page.get_by_role("radio", name="Done").check(force=True)
    expect(page.get_by_text("No task matches.")).to_be_visible()


def test_ctrl_z_takes_back_what_was_done_last_and_says_what_it_was(console: Console, api: Api) -> None:
    page = console.open()
    add(page, "Buy milk")
    page.get_by_role("checkbox", name="Buy milk").check()
    page.get_by_role("checkbox", name="Buy milk").press("Control+z")
    expect(page.get_by_role("status", name="Messages")).to_contain_text("Undid: Completed “Buy milk”")
    expect(page.get_by_role("checkbox", name="Buy milk")).not_to_be_checked()
    page.get_by_role("button", name="Redo").click()
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_checked()
    page.get_by_role("button", name="Undo", exact=True).click()
    expect(page.get_by_role("checkbox", name="Buy milk")).not_to_be_checked()
    page.get_by_role("form", name="New task").get_by_label("Title").press("Control+z")
    expect(page.get_by_role("status", name="Messages")).to_contain_text("Undid: Added “Buy milk”")
    assert eventually(lambda: api.tasks() == [])


def test_ctrl_z_in_a_text_belongs_to_the_text(console: Console, api: Api) -> None:
    api.add("Buy milk")
    page = console.open()
    field = page.get_by_role("form", name="New task").get_by_label("Title")
    field.press_sequentially("Buy")
    field.press("Control+z")
    expect(field).to_have_value("")
    assert api.types() == ["task.created"]


def test_a_deleted_task_comes_back_from_the_trash(console: Console, api: Api) -> None:
    api.delete(api.add("Buy milk"))
    page = console.open()
    page.get_by_role("radio", name="Trash").check(force=True)
    expect(page.get_by_role("list", name="Trash")).to_contain_text("Buy milk")
    page.get_by_role("button", name="Restore Buy milk").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    page.get_by_role("radio", name="All").check(force=True)
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_visible()


def test_a_task_is_shown_once_also_if_the_stream_is_faster_than_the_answer(console: Console, api: Api) -> None:
    """The replica holds changes back for 60 s in place of 5, in which a slow machine may not get to the answer."""
    replica = assets(None).files["client/replica.js"].body.decode()
    patient = replica.replace("LONGEST_HOLD = 5_000;", "LONGEST_HOLD = 60_000;")
    assert patient != replica
    console.context.route(
        "**/client/replica.js", lambda route: route.fulfill(body=patient, content_type="text/javascript")
    )
    page, other = console.open(), console.open()
    held: list[tuple[Route, APIResponse]] = []
    page.route("**/commands", lambda route: held.append((route, route.fetch())))
    add(page, "Buy milk")
    expect(other.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    api.add("Buy bread")
    expect(other.get_by_role("checkbox", name="Buy bread")).to_be_visible()
    assert titles(page) == ["Buy milk"]
    ((route, answer),) = held
    route.fulfill(response=answer)
    expect(page.get_by_role("checkbox", name="Buy bread")).to_be_visible()
    assert titles(page) == ["Buy bread", "Buy milk"]


def test_a_refused_change_is_taken_back_and_explained(console: Console, api: Api) -> None:
    task = api.add("Buy milk")
    page = console.open()
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    console.context.set_offline(True)
    page.get_by_role("checkbox", name="Buy milk").check()
    expect(page.get_by_text("Offline, 1 to send")).to_be_visible()
    api.delete(task)
    console.context.set_offline(False)
    expect(page.get_by_role("status", name="Messages")).to_contain_text(f"Task {task} not found")
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    console.expect_errors("ERR_INTERNET_DISCONNECTED")


def test_all_of_it_works_by_keyboard_alone(console: Console, api: Api) -> None:
    page = console.open()
    expect(page.get_by_text("Nothing to do.")).to_be_visible()
    page.get_by_role("form", name="New task").get_by_label("Title").focus()
    page.keyboard.type("Buy milk")
    page.keyboard.press("Enter")
    page.keyboard.type("Buy bread")
    page.keyboard.press("Enter")
    assert eventually(lambda: titles(page) == ["Buy bread", "Buy milk"])
    tab_to(page, page.get_by_role("checkbox", name="Buy bread"))
    page.keyboard.press("Space")
    expect(page.get_by_role("checkbox", name="Buy bread")).to_be_checked()
    assert eventually(lambda: api.types() == ["task.created", "task.created", "task.completed"])
    expect(page.get_by_role("checkbox", name="Buy bread")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.keyboard.type(" and butter")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Edit Buy bread and butter")).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Delete Buy bread and butter"))
    page.keyboard.press("Enter")
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_focused()
    assert eventually(lambda: api.titles() == ["Buy milk"])


def tab_to(page: Page, target: Locator) -> None:
    """Press Tab until the target has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if target.evaluate("(node) => node === document.activeElement"):
            return
    raise AssertionError(f"Tab never reaches {target}")
