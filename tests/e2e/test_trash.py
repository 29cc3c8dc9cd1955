"""The trash over HTTP, and tasks that are restored from it."""

from __future__ import annotations

from uuid import uuid4

import httpx
import pytest

from tests.e2e.contract import assert_problem, create, head, titles


def test_the_trash_shows_deleted_tasks_newest_deletion_first(client: httpx.Client, base: str, tasks: str) -> None:
    made = [create(client, tasks, title, tags=["x"]) for title in "abc"]
    for task in (made[2], made[0]):
        assert client.delete(f"{tasks}/{task['id']}").status_code == 200
    answer = client.get(f"{base}/trash")
    assert titles(answer) == ["a", "c"]
    deleted = [event["recorded_at"] for event in client.get(f"{base}/history?type=task.deleted").json()["events"]]
    expected = [{**made[0], "deleted_at": deleted[1]}, {**made[2], "deleted_at": deleted[0]}]
    assert answer.json() == expected
    assert titles(client.get(tasks)) == ["b"]


def test_the_trash_comes_in_pages(client: httpx.Client, base: str, tasks: str) -> None:
    for title in "abcde":
        client.delete(f"{tasks}/{create(client, tasks, title)['id']}")
    page = client.get(f"{base}/trash?limit=2")
    seen = titles(page)
    while "next" in page.links:
        assert page.headers["X-Total-Count"] == "5"
        page = client.get(page.links["next"]["url"])
        seen += titles(page)
    assert seen == list("edcba")
    again = client.get(f"{base}/trash?limit=2")
    assert client.get(f"{base}/trash?limit=2", headers={"If-None-Match": again.headers["ETag"]}).status_code == 304
    client.post(f"{tasks}/{again.json()[0]['id']}/restore")
    after = client.get(f"{base}/trash?limit=2", headers={"If-None-Match": again.headers["ETag"]})
    assert (after.status_code, titles(after), after.headers["X-Total-Count"]) == (200, ["d", "c"], "4")


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=WyJjcmVhdGVkIiwiYWxsIiw5LDld", "limit=0", "limit=x", "limit=1001"]
)
def test_a_page_that_the_trash_does_not_have_is_refused(client: httpx.Client, base: str, query: str) -> None:
    assert_problem(client.get(f"{base}/trash?{query}"), 422)


def test_an_empty_trash_is_an_empty_array(client: httpx.Client, base: str) -> None:
    answer = client.get(f"{base}/trash")
    assert (answer.status_code, answer.json()) == (200, [])


def test_a_restored_task_is_as_it_was_at_its_old_place(client: httpx.Client, base: str, tasks: str) -> None:
    made = [create(client, tasks, title, priority="high", due_date="2026-02-14") for title in "abc"]
    before = client.patch(f"{tasks}/{made[1]['id']}/complete").json()
    client.delete(f"{tasks}/{made[1]['id']}")
    answer = client.post(f"{tasks}/{made[1]['id']}/restore")
    assert answer.status_code == 200
    assert answer.json() == {**before, "updated_at": answer.json()["updated_at"]}
    assert answer.json()["updated_at"] > before["updated_at"]
    assert client.get(tasks).json() == [made[2], answer.json(), made[0]]
    assert client.get(f"{tasks}/{made[1]['id']}").headers["ETag"] == answer.headers["ETag"]
    assert client.get(f"{base}/trash").json() == []
    entries = client.get(f"{tasks}/{made[1]['id']}/history").json()["events"]
    assert [entry["type"] for entry in entries] == ["task.created", "task.completed", "task.deleted", "task.restored"]
    gone, back = entries[2]["changes"], entries[3]["changes"]
    assert back == [{"field": change["field"], "from": None, "to": change["from"]} for change in gone] or (
        # a deletion is silent about an empty description, a restoration shows it
        [change for change in back if change["to"] is not None]
        == [{"field": change["field"], "from": None, "to": change["from"]} for change in gone if change["from"]]
    )
    assert titles(client.get(f"{tasks}?as_of={entries[2]['position']}")) == ["c", "a"]
    assert titles(client.get(f"{tasks}?as_of={entries[3]['position']}")) == ["c", "b", "a"]


def test_restoring_what_is_not_deleted_records_nothing(client: httpx.Client, base: str, tasks: str) -> None:
    task = create(client, tasks)
    answer = client.post(f"{tasks}/{task['id']}/restore")
    assert (answer.status_code, answer.json()) == (200, task)
    assert head(client, base) == 1


def test_a_task_that_never_was_cannot_be_restored(client: httpx.Client, tasks: str) -> None:
    assert_problem(client.post(f"{tasks}/999999999/restore"), 404, "Task 999999999 not found")


def test_a_restoration_knows_preconditions_and_idempotency_keys(client: httpx.Client, tasks: str, base: str) -> None:
    path = f"{tasks}/{create(client, tasks)['id']}"
    client.delete(path)
    assert_problem(client.post(f"{path}/restore", headers={"If-Match": '"1"'}), 412)
    key = {"Idempotency-Key": str(uuid4()), "If-Match": '"2"'}
    first = client.post(f"{path}/restore", headers=key)
    client.delete(path)
    again = client.post(f"{path}/restore", headers=key)
    assert (first.status_code, first.json()) == (again.status_code, again.json()) == (200, first.json())
    assert head(client, base) == 4
