"""What real clients of this API do, as seen in their code and in a browser: all of it must work."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.e2e.contract import create
from tests.servers import RunningService

ORIGIN = "http://localhost:3000"
JSON = {"Content-Type": "application/json", "Origin": ORIGIN}


@pytest.fixture
def browser(shared_service: RunningService, user: str) -> httpx.Client:
    """Return a client that sends a JSON content type with every request, as a shared fetch helper does."""
    client = shared_service.client(user)
    client.headers.update(JSON)
    return client


def created(browser: httpx.Client, tasks: str) -> dict[str, Any]:
    return dict(browser.post(tasks, json={"title": "a", "description": ""}).json())


def test_json_is_announced_on_every_request_even_without_a_body(browser: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{created(browser, tasks)['id']}"
    assert browser.get(tasks).status_code == 200
    assert browser.patch(path + "/complete").json()["completed"] is True
    assert browser.patch(path + "/complete", content=b"null").json()["completed"] is False
    assert browser.delete(path).json() == {"message": "Task deleted successfully"}


def test_the_whole_task_is_echoed_to_change_one_field(browser: httpx.Client, tasks: str) -> None:
    task = created(browser, tasks)
    changed = browser.put(f"{tasks}/{task['id']}", json=task | {"title": "b", "recurrence": "daily"}).json()
    assert changed == task | {"title": "b", "updated_at": changed["updated_at"]}


def test_a_form_sends_every_field_and_empty_texts_for_those_without_a_value(browser: httpx.Client, tasks: str) -> None:
    form = {"title": "a", "description": "", "priority": "High", "dueDate": "", "tags": "", "category": ""}
    task = browser.post(tasks, json=form).json()
    assert (task["priority"], task["due_date"], task["tags"], task["category"]) == ("High", None, [], None)
    filled = {"due_date": "2026-03-01T14:30", "tags": "home, work", "category": "Errands", "is_completed": True}
    changed = browser.put(f"{tasks}/{task['id']}", json=form | filled).json()
    assert changed == browser.get(tasks).json()[0]
    assert (changed["due_date"], changed["tags"], changed["status"]) == (
        "2026-03-01T14:30",
        ["home", "work"],
        "completed",
    )


def test_the_list_is_fetched_right_after_each_write_and_replaces_the_screen(browser: httpx.Client, tasks: str) -> None:
    screen: list[dict[str, Any]] = []
    for number in range(20):
        task = browser.post(tasks, json={"title": f"t{number}"}).json()
        screen = [task, *screen]
        assert browser.get(tasks).json() == screen
        screen[0] = browser.patch(f"{tasks}/{task['id']}/complete").json()
        assert browser.get(tasks).json() == screen
    browser.delete(f"{tasks}/{screen[0]['id']}")
    assert browser.get(tasks).json() == screen[1:]


def test_a_trailing_slash_is_neither_redirected_nor_lost(browser: httpx.Client, tasks: str) -> None:
    assert browser.post(tasks + "/", json={"title": "a"}).status_code == 201
    assert browser.get(tasks + "/?status=all&sort=created").status_code == 200


def test_a_preflight_comes_before_each_write(browser: httpx.Client, tasks: str) -> None:
    asked = {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "authorization,content-type"}
    answer = httpx.options(str(browser.base_url.join(f"{tasks}/1/complete")), headers=asked | {"Origin": ORIGIN})
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN


def test_an_error_can_be_read_by_the_page_and_shown_as_it_is(browser: httpx.Client, tasks: str) -> None:
    for answer in (
        browser.get(tasks, headers={"Authorization": ""}),
        browser.get("/api/somebody/tasks"),
        browser.get(tasks + "/999999999"),
        browser.post(tasks, json={"title": ""}),
        browser.post(tasks),
    ):
        assert answer.status_code >= 400
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert isinstance(answer.json()["detail"], str)


def test_another_users_page_does_not_log_the_person_out(browser: httpx.Client) -> None:
    assert browser.get("/api/somebody/tasks").status_code == 403


def test_filters_are_sent_as_the_plan_names_them(browser: httpx.Client, tasks: str) -> None:
    task = created(browser, tasks)
    for status, ids in (("all", [task["id"]]), ("pending", [task["id"]]), ("completed", [])):
        answer = browser.get(tasks, params={"status": status, "sort": "title", "search": "", "priority": "all"})
        assert [found["id"] for found in answer.json()] == ids


def test_an_answer_that_takes_more_than_one_trip_is_compressed_for_who_takes_gzip(
    client: httpx.Client, tasks: str
) -> None:
    """Seen to fail: with the strong tag on the compressed answer, and without Vary."""
    for _ in range(20):
        create(client, tasks, description="long " * 200)
    for path in (tasks, tasks.replace("/tasks", "/history"), f"{tasks}?as_of=20"):
        plain = client.get(path, headers={"Accept-Encoding": "identity"})
        packed = client.get(path, headers={"Accept-Encoding": "gzip, br"})
        assert plain.json() == packed.json()
        assert "content-encoding" not in plain.headers
        assert packed.headers["content-encoding"] == "gzip"
        assert int(packed.headers["content-length"]) < len(plain.content) / 10
        assert packed.headers["etag"] == f"W/{plain.headers['etag']}"
        for answer in (plain, packed):
            assert "Accept-Encoding" in answer.headers["vary"]
            assert client.get(path, headers={"If-None-Match": answer.headers["etag"]}).status_code == 304
    short = client.get(f"{tasks}?limit=2", headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in short.headers
