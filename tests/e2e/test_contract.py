"""The contract, point by point, over HTTP: each test bears the number of the point that it holds."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

import httpx
import pytest

from tests.servers import RunningService, token

ORIGIN = "http://localhost:3000"
FIELDS = {"id", "user_id", "title", "description", "completed", "created_at", "updated_at"}
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")


@pytest.fixture
def client(shared_service: RunningService, user: str) -> httpx.Client:
    return shared_service.client(user)


@pytest.fixture
def tasks(user: str) -> str:
    return f"/api/{user}/tasks"


def create(client: httpx.Client, tasks: str, title: str = "a", **fields: Any) -> dict[str, Any]:
    answer = client.post(tasks, json={"title": title, **fields})
    assert answer.status_code == 201, answer.text
    return dict(answer.json())


def titles(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [task["title"] for task in answer.json()]


def assert_problem(answer: httpx.Response, status: int, detail: str | None = None) -> None:
    assert answer.status_code == status, answer.text
    problem = answer.json()
    assert isinstance(problem["detail"], str)
    assert problem["detail"]
    assert "message" not in problem
    if detail is not None:
        assert problem["detail"] == detail


def raw(service: RunningService, method: str, path: str, headers: list[tuple[str, str]]) -> int:
    """The status of a request that no client library would send: headers twice, a body announced and not sent."""
    where = urlsplit(service.url)
    with closing(http.client.HTTPConnection(where.hostname or "", where.port, timeout=10)) as connection:
        connection.putrequest(method, path)
        for name, value in headers:
            connection.putheader(name, value)
        connection.endheaders()
        with connection.getresponse() as response:
            return response.status


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
    task = create(client, tasks, "a", priority="high", due_date="2026-12-24", id=7, user_id="other", completed=True)
    assert task["id"] != 7
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
        for authorization in (None, "Bearer", "Basic eDp5", "Bearer a.b.c", f"Bearer {token(user)}x"):
            answer = anonymous.get(tasks, headers={} if authorization is None else {"Authorization": authorization})
            assert_problem(answer, 401)
            assert answer.headers["www-authenticate"] == "Bearer"
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


def test_08_every_read_shows_every_acknowledged_write(client: httpx.Client, tasks: str) -> None:
    for number in range(25):
        task = create(client, tasks, f"t{number}")
        assert titles(client.get(tasks))[0] == f"t{number}"
        assert client.patch(f"{tasks}/{task['id']}/complete").status_code == 200
        assert client.get(f"{tasks}/{task['id']}").json()["completed"] is True
        assert len(client.get(tasks, params={"status": "completed"}).json()) == number + 1
        assert client.get(tasks, params={"status": "pending"}).json() == []


def test_08_an_etag_holds_until_the_next_change(client: httpx.Client, tasks: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    for target in (tasks, tasks + "?status=pending&sort=title", tasks + "?limit=1", path):
        etag = client.get(target).headers["etag"]
        unchanged = client.get(target, headers={"If-None-Match": f'"other", W/{etag}'})
        assert (unchanged.status_code, unchanged.content, unchanged.headers["etag"]) == (304, b"", etag)
    tags = {client.get(target).headers["etag"] for target in (tasks, tasks + "?sort=title", tasks + "?status=pending")}
    assert len(tags) == 3
    etag = client.get(path).headers["etag"]
    client.put(path, json={"title": "b"})
    assert client.get(path, headers={"If-None-Match": etag}).json()["title"] == "b"


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_09_a_preflight_of_an_allowed_origin_passes(shared_service: RunningService, tasks: str, method: str) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "authorization,content-type,if-match,if-none-match,idempotency-key",
    }
    answer = httpx.options(shared_service.url + tasks, headers=asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-origin"] == ORIGIN
    assert answer.headers["access-control-allow-credentials"] == "true"
    assert method in answer.headers["access-control-allow-methods"]


def test_09_errors_carry_cors_headers_too(client: httpx.Client, shared_service: RunningService, tasks: str) -> None:
    origin = {"Origin": ORIGIN}
    answers = [
        httpx.get(shared_service.url + tasks, headers=origin),
        client.get("/api/other/tasks", headers=origin),
        client.get(tasks + "/999999999", headers=origin),
        client.get("/nowhere", headers=origin),
        client.patch(tasks, headers=origin),
        client.post(tasks, content=b"x" * (2 << 20), headers=origin),
        client.post(tasks, content=b"{", headers=origin),
    ]
    assert [answer.status_code for answer in answers] == [401, 403, 404, 404, 405, 413, 422]
    for answer in answers:
        assert answer.headers["access-control-allow-origin"] == ORIGIN
        assert answer.headers["access-control-allow-credentials"] == "true"


def test_09_other_origins_are_not_echoed(client: httpx.Client, tasks: str) -> None:
    evil = {"Origin": "http://evil.example"}
    assert "access-control-allow-origin" not in client.get(tasks, headers=evil).headers
    refused = client.options(tasks, headers=evil | {"Access-Control-Request-Method": "POST"})
    assert_problem(refused, 400)
    assert "access-control-allow-origin" not in refused.headers


def test_10_titles_are_1_to_200_code_points_kept_as_sent(client: httpx.Client, tasks: str) -> None:
    for title in ("x", "\N{PARTY POPPER}" * 200, "  padded\t", "e\u0301\u202e\u200b", "'; DROP TABLE tasks; --"):
        assert create(client, tasks, title)["title"] == title
        assert titles(client.get(tasks))[0] == title
    for title in ("", " ", "\u3000\n", "x" * 201, "\0", "a\0b"):
        assert_problem(client.post(tasks, json={"title": title}), 422)
    assert_problem(client.post(tasks, content=b'{"title":"\\ud83d"}'), 422)


def test_10_descriptions_are_kept_as_sent_up_to_the_body_limit(client: httpx.Client, tasks: str) -> None:
    long = "\u00e4\n" * 150_000
    for description in ("", None, " ", long):
        task = create(client, tasks, "a", description=description)
        assert task["description"] == description
        assert client.get(f"{tasks}/{task['id']}").json()["description"] == description
    assert_problem(client.post(tasks, json={"title": "a", "description": "\0"}), 422)
    assert_problem(client.post(tasks, content=b'{"title":"a","description":"\\udc00"}'), 422)


@pytest.mark.parametrize("number", ["0", "-1", "x", "1.0", "1e3", "0x1", "٣", str(2**63), "9" * 5000, "%00", "1%0a"])
def test_10_ids_that_cannot_be_are_404_or_422(client: httpx.Client, tasks: str, number: str) -> None:
    for method, path in (("GET", ""), ("PUT", ""), ("DELETE", ""), ("PATCH", "/complete")):
        body = {"title": "a"} if method == "PUT" else None
        answer = client.request(method, f"{tasks}/{quote(number, safe='%')}{path}", json=body)
        assert answer.status_code in (404, 422)
        assert_problem(answer, answer.status_code)
        assert len(answer.json()["detail"]) < 200


def test_10_a_body_over_1_mib_is_413_before_it_is_read(
    client: httpx.Client, shared_service: RunningService, user: str, tasks: str
) -> None:
    announced = [("Authorization", f"Bearer {token(user)}"), ("Content-Length", str(2 << 20))]
    assert raw(shared_service, "POST", tasks, announced) == 413
    assert_problem(client.post(tasks, content=(b"x" * 65536 for _ in range(32))), 413)
    fits = json.dumps({"title": "a", "description": "x" * (2**20 - 40)})
    assert client.post(tasks, content=fits).status_code == 201


def test_10_a_body_that_is_not_json_is_422_and_one_of_another_type_415(client: httpx.Client, tasks: str) -> None:
    for body in (b"", b"{", b"title=a", b"\xff\xfe", b"[" * 50_000, b"[]", b"null", b'{"title":NaN}'):
        assert_problem(client.post(tasks, content=body, headers={"Content-Type": "application/json"}), 422)
    assert_problem(client.post(tasks, data={"title": "a"}), 415)
    assert client.post(tasks, content=b'{"title":"a"}', headers={"Content-Type": "text/plain"}).status_code == 415


def test_11_titles_sort_as_a_person_expects(client: httpx.Client, tasks: str) -> None:
    for title in ("banana", "Apple", "cherry", "apple", "Banana", "\uff41pricot"):
        create(client, tasks, title)
    ordered = ["Apple", "apple", "\uff41pricot", "banana", "Banana", "cherry"]
    assert titles(client.get(tasks, params={"sort": "title"})) == ordered


def test_11_the_newest_comes_first_whatever_changed_since(client: httpx.Client, tasks: str) -> None:
    ids = [create(client, tasks, title)["id"] for title in ("first", "second", "third")]
    client.put(f"{tasks}/{ids[0]}", json={"title": "first, changed"})
    assert titles(client.get(tasks, params={"sort": "created"})) == ["third", "second", "first, changed"]


@pytest.mark.parametrize("parameters", [{"status": "done"}, {"status": ""}, {"sort": "id"}, {"sort": "TITLE"}])
def test_11_an_unknown_status_or_sort_is_422(client: httpx.Client, tasks: str, parameters: dict[str, str]) -> None:
    assert_problem(client.get(tasks, params=parameters), 422)


def test_12_a_cursor_of_another_list_is_400(client: httpx.Client, tasks: str) -> None:
    for title in "abc":
        create(client, tasks, title)
    link = httpx.URL(client.get(tasks, params={"limit": 2}).links["next"]["url"])
    assert titles(client.get(link)) == ["a"]
    assert_problem(client.get(tasks, params={**link.params, "sort": "title"}), 400)
    assert_problem(client.get(tasks, params={**link.params, "status": "pending"}), 400)


@pytest.mark.parametrize("name", ["a b", "ü@x.example", "100%", "%2e%2e", "a+b", "..", "x" * 255, "👤", "a?b#c"])
def test_13_a_user_is_any_string_decoded_once(shared_service: RunningService, user: str, name: str) -> None:
    name = name if len(name) == 255 else f"{user}{name}"
    client = shared_service.client(name)
    path = f"/api/{quote(name, safe='')}/tasks"
    task = create(client, path)
    assert task["user_id"] == name
    [listed] = client.get(path).json()
    assert listed == task
    assert_problem(client.get(f"/api/{quote(quote(name + '%', safe=''), safe='')}/tasks"), 403)


def test_13_a_user_longer_than_any_is_a_foreign_one(client: httpx.Client) -> None:
    assert_problem(client.get(f"/api/{'x' * 5000}/tasks"), 403)


def test_14_a_sane_request_id_is_returned_and_another_is_made(client: httpx.Client, tasks: str) -> None:
    assert client.get(tasks, headers={"X-Request-ID": "my-id.1"}).headers["x-request-id"] == "my-id.1"
    assert client.get(tasks, headers={"X-Request-ID": "<x>"}).headers["x-request-id"] != "<x>"
    assert client.get("/nowhere").headers["x-request-id"]


def test_14_a_request_is_one_structured_line_and_a_refusal_a_warning(
    client: httpx.Client, shared_service: RunningService, user: str, tasks: str
) -> None:
    marked = {"X-Request-ID": f"{user}.marked"}
    client.post(tasks, json={"title": "the-secret-title", "description": "the-secret-description"}, headers=marked)
    client.get("/api/another/tasks", headers=marked)
    httpx.get(shared_service.url + tasks, headers=marked | {"Authorization": "Bearer the-secret-token"})
    created, foreign, refused = lines_of(shared_service, marked["X-Request-ID"])
    assert created.items() >= {"method": "POST", "route": "/api/{user_id}/tasks", "status": 201}.items()
    assert created.items() >= {"user_id": user, "level": "info"}.items()
    assert created["ms"] >= 0
    assert foreign.items() >= {"level": "warning", "user_id": user, "path_user_id": "another"}.items()
    assert refused.items() >= {"level": "warning", "client": "127.0.0.1", "status": 401}.items()
    assert "the-secret" not in shared_service.log.read_text()
    assert token(user).split(".")[0] not in shared_service.log.read_text()


def lines_of(service: RunningService, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in service.log.read_text().splitlines() if request_id in line]
    assert {line["request_id"] for line in lines} == {request_id}
    return lines
