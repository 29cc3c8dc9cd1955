"""The contract, point by point, over HTTP: each test's name has the number of its point."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from tests.e2e.contract import ORIGIN, assert_problem, create, raw, titles
from tests.servers import RunningService, eventually, token


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
        shared_service.client().get(tasks, headers=origin),
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


@pytest.mark.parametrize("parameters", [{"status": "open"}, {"status": "deleted"}, {"sort": "id"}, {"sort": "TITLE"}])
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
    shared_service.client().get(tasks, headers=marked | {"Authorization": "Bearer the-secret-token"})
    eventually(lambda: len(lines_of(shared_service, marked["X-Request-ID"])) == 3)
    created, foreign, refused = lines_of(shared_service, marked["X-Request-ID"])
    assert created.items() >= {"method": "POST", "route": "/api/{user_id}/tasks", "status": 201}.items()
    assert created.items() >= {"user_id": user, "level": "info"}.items()
    assert created["ms"] >= 0
    assert foreign.items() >= {"level": "warning", "user_id": user, "path_user_id": "another"}.items()
    assert refused.items() >= {"level": "warning", "client": "127.0.0.1", "status": 401}.items()
    assert "the-secret" not in shared_service.log.read_text()
    assert token(user).split(".")[0] not in shared_service.log.read_text()


def lines_of(service: RunningService, request_id: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in service.logged().split("\n") if request_id in line]
    assert all(line["request_id"] == request_id for line in lines)
    return lines
