"""The console is live: windows agree, nothing is lost without a network or a service, and long lists stay quick."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import expect

from tests.console.conftest import Api, Console
from tests.console.test_tasks import add, titles
from tests.servers import RunningService, eventually


def test_two_windows_agree(console: Console) -> None:
    one, other = console.open(), console.open()
    add(one, "Buy milk")
    expect(other.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    other.get_by_role("checkbox", name="Buy milk").check()
    expect(one.get_by_role("checkbox", name="Buy milk")).to_be_checked()


def test_offline_it_shows_what_it_has_and_sends_what_was_done_once_in_order(console: Console, api: Api) -> None:
    page = console.open()
    add(page, "Buy milk")
    assert eventually(api.titles)
    assert eventually(lambda: console.queued(page) == 0)
    console.context.set_offline(True)
    page.get_by_role("checkbox", name="Buy milk").check()
    add(page, "Buy bread")
    expect(page.get_by_text("Offline, 2 to send")).to_be_visible()
    assert titles(page) == ["Buy bread", "Buy milk"]
    assert api.types() == ["task.created"]
    console.context.set_offline(False)
    expect(page.get_by_text("Live")).to_be_visible()
    assert eventually(lambda: api.types() == ["task.created", "task.completed", "task.created"])
    console.expect_errors("ERR_")


def test_what_was_done_offline_survives_a_closed_window(console: Console, api: Api) -> None:
    page = console.open()
    expect(page.get_by_text("Live")).to_be_visible()
    console.context.set_offline(True)
    add(page, "Buy milk")
    expect(page.get_by_text("Offline, 1 to send")).to_be_visible()
    assert eventually(lambda: console.queued(page) == 1)  # it is shown before it is kept
    page.close()
    console.context.set_offline(False)
    expect(console.open().get_by_role("checkbox", name="Buy milk")).to_be_visible()
    assert eventually(lambda: api.types() == ["task.created"])
    console.expect_errors("ERR_")


def test_a_killed_service_costs_nothing_that_was_done(
    console: Console, service: RunningService, tmp_path: Path
) -> None:
    console.service = service
    page = console.open()
    add(page, "Buy milk")
    tasks = Api(service.client(console.user), console.user)
    assert eventually(tasks.titles)
    assert eventually(lambda: console.queued(page) == 0)
    assert service.gateway.process is not None
    service.gateway.process.kill()
    service.gateway.process.wait()
    add(page, "Buy bread")
    expect(page.get_by_text(", 1 to send")).to_be_visible()  # it is offline, or still tries to connect
    page.get_by_role("checkbox", name="Buy milk").check()
    service.gateway.start()
    expect(page.get_by_text("Live")).to_be_visible()
    assert eventually(lambda: tasks.types() == ["task.created", "task.created", "task.completed"])
    assert [(task["title"], task["completed"]) for task in tasks.tasks()] == [("Buy bread", False), ("Buy milk", True)]
    console.expect_errors("ERR_")
