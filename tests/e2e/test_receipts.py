"""Each write's answer has a receipt: the user's position after it, and the hash there.

Seen to fail: with the position after the right one.
"""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

Receipt = tuple[str | None, str | None]


def receipt(answer: httpx.Response) -> Receipt:
    return answer.headers.get("tasklog-position"), answer.headers.get("tasklog-hash")


@pytest.fixture
def in_ledger(client: httpx.Client, base: str) -> Callable[[], list[Receipt]]:
    """Return a function that returns the receipts of all events, as the user's history has them."""

    def read() -> list[Receipt]:
        events = client.get(f"{base}/history").json()["events"]
        return [(str(event["position"]), event["hash"]) for event in events]

    return read


def test_every_write_has_the_position_and_the_hash_that_the_history_has(
    client: httpx.Client, tasks: str, in_ledger: Callable[[], list[Receipt]]
) -> None:
    made = client.post(tasks, json={"title": "Milk"})
    task = made.headers["location"]
    receipts = [
        receipt(made),
        receipt(client.put(task, json={"title": "Oat"})),
        receipt(client.patch(f"{task}/complete")),
        receipt(client.delete(task)),
    ]
    assert receipts == in_ledger()
    assert [position for position, _ in receipts] == ["1", "2", "3", "4"]


def test_a_write_of_two_events_has_the_receipt_of_the_last(
    client: httpx.Client, tasks: str, in_ledger: Callable[[], list[Receipt]]
) -> None:
    task = client.post(tasks, json={"title": "Milk"}).headers["location"]
    answer = client.put(task, json={"title": "Oat", "completed": True})
    assert receipt(answer) == in_ledger()[2]


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "no-change"}], ids=["without a key", "with a key"])
def test_a_write_that_changes_nothing_has_the_receipt_of_the_head(
    client: httpx.Client, tasks: str, in_ledger: Callable[[], list[Receipt]], headers: dict[str, str]
) -> None:
    """Another task changed last, so that the head is not this task's last event. The second time is like the first."""
    task = client.post(tasks, json={"title": "Milk"}).headers["location"]
    client.post(tasks, json={"title": "Bread"})
    first = client.put(task, json={"title": "Milk"}, headers=headers)
    assert receipt(first) == in_ledger()[1]
    client.post(tasks, json={"title": "Cheese"})
    again = client.put(task, json={"title": "Milk"}, headers=headers)
    assert receipt(again) == in_ledger()[1 if headers else 2]


def test_a_repeated_write_has_the_receipt_of_the_first_time(client: httpx.Client, tasks: str) -> None:
    key = {"Idempotency-Key": "once"}
    first = client.post(tasks, json={"title": "Milk"}, headers=key)
    client.post(tasks, json={"title": "Bread"})
    client.put(first.headers["location"], json={"title": "Oat"})
    assert receipt(client.post(tasks, json={"title": "Milk"}, headers=key)) == receipt(first) != (None, None)


def test_a_refused_write_has_no_receipt(client: httpx.Client, tasks: str) -> None:
    task = client.post(tasks, json={"title": "Milk"}, headers={"Idempotency-Key": "k"}).headers["location"]
    refused = [
        client.post(tasks, json={"title": ""}),
        client.post(tasks, json={"title": "Bread"}, headers={"Idempotency-Key": "k"}),
        client.put(f"{tasks}/9007199254740991", json={"title": "Oat"}),
        client.put(task, json={"title": "Oat"}, headers={"If-Match": '"7"'}),
    ]
    assert [answer.status_code for answer in refused] == [422, 422, 404, 412]
    assert {receipt(answer) for answer in refused} == {(None, None)}


def test_a_browser_may_read_a_receipt(client: httpx.Client, tasks: str) -> None:
    answer = client.post(tasks, json={"title": "Milk"}, headers={"Origin": "http://localhost:3000"})
    exposed = answer.headers["access-control-expose-headers"].lower().replace(" ", "").split(",")
    assert {"tasklog-position", "tasklog-hash"} <= set(exposed) & set(answer.headers)
    assert answer.headers["access-control-allow-origin"] == "http://localhost:3000"
    strange = client.post(tasks, json={"title": "Milk"}, headers={"Origin": "http://localhost.example"})
    assert not [name for name in strange.headers if name.startswith("access-control")]
