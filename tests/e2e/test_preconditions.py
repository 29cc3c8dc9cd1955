"""Idempotency-Key and If-Match: a write is carried out only once, or only on what the client has seen.

Seen to fail: without InFlightError, and with keys that stay in flight after the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.ledger import connections
from tests.servers import RunningService

HOLD = "SELECT FROM tasklog.streams WHERE user_id = $1 FOR UPDATE"


@pytest.fixture
def task(client: httpx.Client, tasks: str) -> str:
    return str(client.post(tasks, json={"title": "Milk"}).headers["location"])


def key() -> dict[str, str]:
    return {"Idempotency-Key": f'"{uuid4()}"'}


def answer(response: httpx.Response) -> tuple[int, Any, str | None]:
    return response.status_code, response.json(), response.headers.get("etag")


def test_a_task_is_created_once_however_often_it_is_asked_for(client: httpx.Client, tasks: str) -> None:
    headers = key()
    answers = [answer(client.post(tasks, json={"title": "Milk"}, headers=headers)) for _ in range(3)]
    assert answers[0][0] == 201
    assert answers == [answers[0]] * 3
    assert len(client.get(tasks).json()) == 1


@pytest.mark.parametrize(
    "write",
    [
        lambda client, task, headers: client.patch(f"{task}/complete", headers=headers),
        lambda client, task, headers: client.put(task, json={"title": "Oat milk"}, headers=headers),
        lambda client, task, headers: client.put(task, json={"title": "Milk"}, headers=headers),
        lambda client, task, headers: client.delete(task, headers=headers),
    ],
    ids=["toggle", "edit", "edit that changes nothing", "delete"],
)
def test_a_write_is_answered_as_it_was_the_first_time(
    client: httpx.Client, task: str, write: Callable[[httpx.Client, str, dict[str, str]], httpx.Response]
) -> None:
    """Other writes come in between. Seen to fail if the answer is the task as it is now."""
    headers = key()
    first = answer(write(client, task, headers))
    assert first[0] == 200
    client.put(task, json={"title": "Something else", "completed": False})
    assert answer(write(client, task, headers)) == first


def test_a_key_is_good_for_one_request(client: httpx.Client, tasks: str, task: str) -> None:
    headers = key()
    assert client.patch(f"{task}/complete", headers=headers).status_code == 200
    others = [
        client.patch(f"{task}/complete", json={"completed": True}, headers=headers),
        client.post(tasks, json={"title": "Milk"}, headers=headers),
        client.patch(f"{task}/complete", headers=headers | {"If-Match": '"1"'}),
    ]
    assert [response.status_code for response in others] == [422, 422, 422]
    assert client.get(task).json()["completed"] is True


def test_a_key_is_its_users_own(shared_service: RunningService, client: httpx.Client, tasks: str) -> None:
    headers, other = key(), f"other-{uuid4()}"
    first = client.post(tasks, json={"title": "Milk"}, headers=headers).json()
    second = shared_service.client(other).post(f"/api/{other}/tasks", json={"title": "Milk"}, headers=headers).json()
    assert (first["id"] != second["id"], second["user_id"]) == (True, other)


def test_what_was_refused_is_not_remembered(client: httpx.Client, tasks: str, task: str) -> None:
    headers = key()
    assert client.post(tasks, json={"title": ""}, headers=headers).status_code == 422
    assert client.post(tasks, json={"title": "Milk"}, headers=headers).status_code == 201


async def test_while_the_first_is_carried_out_a_second_is_409_and_then_answered_as_the_first(
    shared_service: RunningService, client: httpx.Client, tasks: str, task: str, user: str
) -> None:
    """The user's stream is locked, so the first request waits, and the other is refused without waiting."""
    headers = key()

    def create() -> httpx.Response:
        return client.post(tasks, json={"title": "Bread"}, headers=headers)

    async with connections(shared_service.database.owner, 1) as (owner,), owner.transaction():
        await owner.execute(HOLD, user)
        both = [asyncio.create_task(asyncio.to_thread(create)) for _ in range(2)]
        answered, waiting = await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        refused = [request.result() for request in answered]
    assert [(one.status_code, one.json()["detail"]) for one in refused] == [
        (409, "A request with this Idempotency-Key is being carried out")
    ]
    (first,) = [await request for request in waiting]
    assert first.status_code == 201
    assert answer(await asyncio.to_thread(create)) == answer(first)
    created = await asyncio.to_thread(client.get, tasks)
    assert [one["title"] for one in created.json()] == ["Bread", "Milk"]


def test_of_many_at_once_one_is_carried_out_and_none_is_answered_otherwise(client: httpx.Client, task: str) -> None:
    """A 409 is only for requests that come while the first is carried out: see the previous test."""
    headers = key()
    with ThreadPoolExecutor(16) as pool:
        responses = list(pool.map(lambda _: client.patch(f"{task}/complete", headers=headers), range(32)))
    assert {response.status_code for response in responses} <= {200, 409}
    assert {response.json()["completed"] for response in responses if response.status_code == 200} == {True}
    assert client.get(task).json()["completed"] is True


@pytest.mark.parametrize("text", ["", '""', "a b", "ä", "k" * 256, "a\tb"])
def test_a_key_that_is_none_is_refused(client: httpx.Client, tasks: str, text: str) -> None:
    response = client.post(tasks, json={"title": "Milk"}, headers={b"Idempotency-Key": text.encode()})
    assert response.status_code == 422
    assert isinstance(response.json()["detail"], str)


def test_a_key_counts_for_a_day(shared_service: RunningService, client: httpx.Client, tasks: str, user: str) -> None:
    headers = key()
    first = client.post(tasks, json={"title": "Milk"}, headers=headers).json()["id"]
    shared_service.database.execute(
        "UPDATE tasklog.idempotency_keys SET recorded_at = recorded_at - interval '25 hours' WHERE user_id = $1", user
    )
    second = client.post(tasks, json={"title": "Milk"}, headers=headers).json()["id"]
    third = client.post(tasks, json={"title": "Milk"}, headers=headers).json()["id"]
    assert first != second == third


def test_a_write_on_the_version_that_was_seen_is_carried_out(client: httpx.Client, task: str) -> None:
    seen = client.get(task).headers["etag"]
    response = client.put(task, json={"title": "Oat milk"}, headers={"If-Match": seen})
    assert (response.status_code, response.json()["title"]) == (200, "Oat milk")
    assert response.headers["etag"] != seen


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_a_write_on_an_older_version_is_412_and_changes_nothing(client: httpx.Client, task: str, method: str) -> None:
    seen = client.get(task).headers["etag"]
    before = client.put(task, json={"title": "Oat milk"}).json()
    path, body = (f"{task}/complete", b"") if method == "PATCH" else (task, b'{"title": "Mine"}')
    headers = {"If-Match": seen, "Content-Type": "application/json"}
    response = client.request(method, path, content=body, headers=headers)
    assert response.status_code == 412
    assert client.get(task).json() == before


@pytest.mark.parametrize(("text", "status"), [('"1"', 412), ('W/"1"', 412), ("*", 201), ("1", 422)])
def test_a_new_task_is_at_no_version(client: httpx.Client, tasks: str, text: str, status: int) -> None:
    """Seen to fail with 409 after twenty attempts, when a new task was treated as one with an old cached version."""
    headers = {"If-Match": text, **key()}
    answers = [client.post(tasks, json={"title": "Milk"}, headers=headers) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [status] * 2
    assert len(client.get(tasks).json()) == (status == 201)


def test_a_long_task_that_a_browser_asked_for_can_be_written_to_as_it_was_seen(client: httpx.Client, task: str) -> None:
    """Seen to fail when long tasks were compressed: their ETags were weak, and never matched."""
    client.put(task, json={"description": "long " * 4000})
    seen = client.get(task, headers={"Accept-Encoding": "gzip, deflate, br, zstd"}).headers["etag"]
    assert client.put(task, json={"title": "Oat milk"}, headers={"If-Match": seen}).status_code == 200


@pytest.mark.parametrize(
    ("text", "status"),
    [('"1"', 200), ("*", 200), ('"7", "1"', 200), ('W/"1"', 412), ('"2"', 412), ('"x"', 412), ("1", 422), ('"1', 422)],
)
def test_if_match_is_a_list_of_strong_entity_tags(client: httpx.Client, task: str, text: str, status: int) -> None:
    assert client.patch(f"{task}/complete", headers={"If-Match": text}).status_code == status


def test_of_writers_who_saw_the_same_version_one_wins(client: httpx.Client, task: str) -> None:
    """Seen to fail if the precondition is only checked before the stream is locked."""
    seen = client.get(task).headers["etag"]

    def write(n: int) -> int:
        return client.put(task, json={"title": f"Writer {n}"}, headers={"If-Match": seen}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = sorted(pool.map(write, range(8)))
    assert statuses == [200] + [412] * 7


def test_a_task_that_is_not_there_is_404_whatever_version_is_asked_for(client: httpx.Client, tasks: str) -> None:
    assert client.delete(f"{tasks}/999999999", headers={"If-Match": '"1"'}).status_code == 404
