"""The contract, point by point, over HTTP: each test's name has the number of its point."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.e2e.contract import FIELDS, TIME, assert_problem, create, raw, titles
from tests.servers import RunningService, token


def test_00_every_endpoint_of_the_plan_answers_as_planned(client: httpx.Client, tasks: str, user: str) -> None:
    created = client.post(tasks, json={"title": "Buy groceries", "description": "Milk"})
    task = created.json()
    assert created.status_code == 201
    assert created.headers["location"] == f"{tasks}/{task['id']}"
    assert task.keys() >= FIELDS
    assert (task["user_id"], task["title"], task["description"]) == (user, "Buy groceries", "Milk")
    assert task["completed"] is False
    assert isinstance(task["id"], int)
    assert task["id"] < 2**53
    assert TIME.fullmatch(task["created_at"])
    assert TIME.fullmatch(task["updated_at"])
    assert client.get(created.headers["location"]).json() == task
    edited = client.put(f"{tasks}/{task['id']}", json={"title": "Buy more", "completed": True}).json()
    assert (edited["title"], edited["description"], edited["completed"]) == ("Buy more", "Milk", True)
    assert client.patch(f"{tasks}/{task['id']}/complete").json()["completed"] is False
    deleted = client.delete(f"{tasks}/{task['id']}")
    assert (deleted.status_code, deleted.json()) == (200, {"message": "Task deleted successfully"})


def test_00_health_and_root_need_no_token(shared_service: RunningService) -> None:
    with httpx.Client(base_url=shared_service.url) as anonymous:
        assert anonymous.get("/health").json().items() >= {"status": "healthy"}.items()
        assert set(anonymous.get("/health").json()) == {"status", "version"}
        assert set(anonymous.get("/").json()) == {"name", "version", "docs", "health"}


def test_00_ids_are_unique_over_all_users(shared_service: RunningService, user: str) -> None:
    ids = []
    for name in (f"{user}-x", f"{user}-y"):
        client = shared_service.client(name)
        ids += [create(client, f"/api/{name}/tasks")["id"] for _ in range(3)]
    assert len(set(ids)) == 6


def test_01_the_list_is_a_bare_array_of_everything(client: httpx.Client, tasks: str) -> None:
    for number in range(30):
        create(client, tasks, f"t{number}")
    assert titles(client.get(tasks)) == [f"t{number}" for number in reversed(range(30))]


def test_01_a_limit_pages_the_list_with_its_metadata_in_headers(client: httpx.Client, tasks: str) -> None:
    for number in range(7):
        create(client, tasks, f"t{number}")
    for sort in ("created", "title"):
        whole = client.get(tasks, params={"sort": sort}).json()
        assert list(pages(client, f"{tasks}?sort={sort}&limit=3")) == [whole[:3], whole[3:6], whole[6:]]


def pages(client: httpx.Client, start: str) -> Iterator[list[dict[str, Any]]]:
    following: str | None = start
    while following is not None:
        answer = client.get(following)
        assert answer.headers["x-total-count"] == "7"
        yield answer.json()
        following = answer.links.get("next", {}).get("url")


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "", "1.5", "9" * 5000])
def test_01_a_limit_that_is_none_is_422(client: httpx.Client, tasks: str, limit: str) -> None:
    assert_problem(client.get(tasks, params={"limit": limit}), 422)


def test_02_a_trailing_slash_answers_directly(client: httpx.Client, tasks: str) -> None:
    created = client.post(tasks + "/", json={"title": "a"}, follow_redirects=False)
    assert created.status_code == 201
    assert titles(client.get(tasks + "/", follow_redirects=False)) == ["a"]
    assert client.get(f"{tasks}/{created.json()['id']}/", follow_redirects=False).status_code == 200
    assert client.patch(f"{tasks}/{created.json()['id']}/complete/", follow_redirects=False).status_code == 200


def test_03_put_merges_and_null_clears_the_description(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks, "a", description="d")
    path = f"{tasks}/{task['id']}"
    assert client.put(path, json={"title": "b"}).json()["description"] == "d"
    assert client.put(path, json={"description": None}).json()["description"] is None
    assert client.put(path, json={"completed": True}).json()["title"] == "b"
    assert_problem(client.put(path, json={"title": None}), 422)


def test_03_a_put_that_changes_nothing_answers_the_task_and_leaves_no_event(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks, "a", description="d")
    path = f"{tasks}/{task['id']}"
    head = client.get(tasks).headers["etag"]
    for body in ({}, {"title": "a"}, {"description": "d", "completed": False}, task, {"completed": None}):
        answer = client.put(path, json=body)
        assert (answer.status_code, answer.json()) == (200, task)
    assert client.get(tasks).headers["etag"] == head


def test_03_unknown_fields_and_parameters_are_ignored(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks, "a", priority="high", due_date="2026-12-24", id=2**53, user_id="other", completed=True)
    assert task["id"] != 2**53
    assert task["completed"] is False
    assert titles(client.get(tasks, params={"priority": "high", "page": "x"})) == ["a"]


def test_04_patch_complete_toggles_without_arguments_and_sets_with_them(client: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}/complete"
    json_type = {"Content-Type": "application/json"}
    assert client.patch(path).json()["completed"] is True
    assert client.patch(path, headers=json_type).json()["completed"] is False
    assert client.patch(path, json={}).json()["completed"] is True
    assert client.patch(path, json={"completed": False}).json()["completed"] is False
    assert_problem(client.patch(path, json={"completed": "yes"}), 422)


def test_04_setting_what_holds_answers_the_task_and_leaves_no_event(client: httpx.Client, tasks: str) -> None:
    task = create(client, tasks)
    head = client.get(tasks).headers["etag"]
    answer = client.patch(f"{tasks}/{task['id']}/complete", json={"completed": False})
    assert (answer.status_code, answer.json()) == (200, task)
    assert client.get(tasks).headers["etag"] == head


def test_05_delete_answers_json_once_and_then_404(client: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    deleted = client.request("DELETE", path, content=b"", headers={"Content-Type": "application/json"})
    assert (deleted.status_code, deleted.json()) == (200, {"message": "Task deleted successfully"})
    assert_problem(client.delete(path), 404)
    assert_problem(client.get(path), 404)
    assert titles(client.get(tasks)) == []


def test_06_every_error_has_a_sentence_as_its_detail(client: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    assert_problem(client.get("/nowhere"), 404)
    assert_problem(client.get(tasks, params={"cursor": "x"}), 422)
    assert_problem(client.post(tasks, content=b"{"), 422)
    assert_problem(client.post(tasks, content=b"a", headers={"Content-Type": "text/plain"}), 415)
    assert_problem(client.post(tasks, content=b"x" * (2 << 20)), 413)
    assert_problem(client.get(path, headers={"Authorization": "Bearer x"}), 401)
    refused = client.patch(tasks)
    assert_problem(refused, 405)
    assert refused.headers["allow"] == "GET, HEAD, POST"
    assert client.get(path + "/complete").headers["allow"] == "PATCH"


def test_06_field_errors_stand_beside_the_detail_without_the_input(client: httpx.Client, tasks: str) -> None:
    answer = client.post(tasks, json={"title": "sesame" * 40, "description": ["sesame"]})
    assert_problem(answer, 422, "title: must be 1 to 200 characters")
    assert answer.json()["errors"] == [
        {"field": "title", "message": "must be 1 to 200 characters"},
        {"field": "description", "message": "must be a string"},
    ]
    assert "sesame" not in answer.text


def test_07_a_token_that_is_not_good_is_401(shared_service: RunningService, user: str, tasks: str) -> None:
    with httpx.Client(base_url=shared_service.url) as anonymous:
        for authorization in (None, "Bearer", "Basic eDp5"):
            answer = anonymous.get(tasks, headers={} if authorization is None else {"Authorization": authorization})
            assert_problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
        for authorization in ("Bearer a.b.c", f"Bearer {token(user)}x"):
            answer = anonymous.get(tasks, headers={"Authorization": authorization})
            assert_problem(answer, 401)
            said = 'Bearer error="invalid_token", error_description="The token is not valid"'
            assert answer.headers["www-authenticate"] == said
        expired = token(user, exp=int(time.time()) - 3600)
        answer = anonymous.get(tasks, headers={"Authorization": f"Bearer {expired}"})
        assert_problem(answer, 401, "Token has expired")


def test_07_two_tokens_are_none(shared_service: RunningService, user: str, tasks: str) -> None:
    twice = [("Authorization", f"Bearer {token(user)}")] * 2
    assert raw(shared_service, "GET", tasks, twice) == 401


def test_07_the_path_of_another_user_is_403(client: httpx.Client, shared_service: RunningService, user: str) -> None:
    other = f"{user}-other"
    task = create(shared_service.client(other), f"/api/{other}/tasks")
    detail = "Access denied: Cannot access other user's resources"
    path = f"/api/{other}/tasks"
    for method, target in (
        ("GET", path),
        ("POST", path),
        ("GET", f"{path}/{task['id']}"),
        ("PUT", f"{path}/{task['id']}"),
        ("DELETE", f"{path}/{task['id']}"),
        ("PATCH", f"{path}/{task['id']}/complete"),
    ):
        assert_problem(client.request(method, target), 403, detail)


def test_07_a_task_of_another_user_on_the_own_path_is_404(
    client: httpx.Client, shared_service: RunningService, user: str, tasks: str
) -> None:
    other = f"{user}-other"
    number = create(shared_service.client(other), f"/api/{other}/tasks")["id"]
    for method, target in (
        ("GET", f"{tasks}/{number}"),
        ("PUT", f"{tasks}/{number}"),
        ("DELETE", f"{tasks}/{number}"),
        ("PATCH", f"{tasks}/{number}/complete"),
    ):
        body = {"title": "mine"} if method == "PUT" else None
        assert_problem(client.request(method, target, json=body), 404, f"Task {number} not found")


def test_07_the_token_is_checked_before_the_user_and_that_before_the_body(
    client: httpx.Client, shared_service: RunningService, tasks: str
) -> None:
    with httpx.Client(base_url=shared_service.url) as anonymous:
        assert_problem(anonymous.post("/api/other/tasks", content=b"{"), 401)
        assert_problem(anonymous.put(f"{tasks}/x", content=b"{"), 401)
    assert_problem(client.post("/api/other/tasks", content=b"{"), 403)
    assert_problem(client.get("/api/other/tasks/x?status=x"), 403)
