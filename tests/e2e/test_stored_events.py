"""The stored events over HTTP: all that goes into the hashes, in pages of bounded size."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.e2e.past import create, following, refused, told
from tests.exports import lines_of
from tests.large import create_long_tasks
from tests.servers import RunningService

SHARED = (
    *("position", "task_id", "version", "event_id", "type"),
    *("schema_version", "recorded_at", "data", "metadata", "hash"),
)
"""The members that an event of the history has too."""


def walk(client: httpx.Client, base: str, limit: int) -> list[list[dict[str, Any]]]:
    """Return the events of each page."""
    pages = []
    url: str | None = f"{base}/events?limit={limit}"
    while url is not None:
        answer = client.get(url)
        page = answer.json()
        assert (page["next"] is None) == (following(answer) is None)
        assert answer.headers["tasklog-position"] == str(page["head"]["position"])
        pages.append(page["events"])
        url = following(answer)
    return pages


@pytest.fixture
def four(client: httpx.Client, base: str) -> None:
    """Four events, with characters that JSON escapes or that take several bytes."""
    task = create(client, base)
    client.put(f"{base}/tasks/{task}", json={"title": 'Käse & "Brot" 🙂\n\\', "tags": ["a", "b"]})
    client.patch(f"{base}/tasks/{task}/complete")
    client.delete(f"{base}/tasks/{task}")


@pytest.mark.usefixtures("four")
@pytest.mark.parametrize("limit", [1, 3, 4, 5000])
def test_the_events_are_those_of_the_history_and_their_hashes_can_be_computed(
    client: httpx.Client, base: str, user: str, limit: int
) -> None:
    pages = walk(client, base, limit)
    assert [len(page) for page in pages] == {1: [1] * 4, 3: [3, 1]}.get(limit, [4])
    events = [event for page in pages for event in page]
    history = told(client, f"{base}/history")
    assert [[event[name] for name in SHARED] for event in events] == [
        [event[name] for name in SHARED] for event in history["events"]
    ]
    computed = [json.loads(line)["hash"] for line in lines_of({**event, "user_id": user} for event in events)]
    assert computed == [event["hash"] for event in events]
    assert told(client, f"{base}/events")["head"] == history["head"] == {"position": 4, "hash": computed[3]}


@pytest.mark.usefixtures("four")
def test_erased_events_keep_their_digests_and_so_their_hashes(
    shared_service: RunningService, client: httpx.Client, base: str, user: str
) -> None:
    before = told(client, f"{base}/history")["events"]
    shared_service.database.execute(f"SELECT tasklog.erase('{user}', 'an operator', 'r')")
    *erased, erasure = told(client, f"{base}/events")["events"]
    assert [event["erased_digest"] for event in erased] == [event["content_digest"] for event in before]
    assert {(event["data"], event["metadata"]) for event in erased} == {(None, None)}
    assert (erasure["type"], erasure["task_id"], erasure["erased_digest"]) == ("stream.erased", None, None)
    computed = lines_of({**event, "user_id": user} for event in [*erased, erasure])
    assert [json.loads(line)["hash"] for line in computed] == [event["hash"] for event in [*erased, erasure]]


@pytest.mark.usefixtures("four")
def test_a_page_that_was_seen_is_304_until_something_happens(client: httpx.Client, base: str) -> None:
    path = f"{base}/events?limit=2"
    seen = client.get(path)
    again = client.get(path, headers={"If-None-Match": seen.headers["etag"]})
    assert (again.status_code, again.content, again.headers["link"]) == (304, b"", seen.headers["link"])
    create(client, base)
    assert client.get(path, headers={"If-None-Match": seen.headers["etag"]}).status_code == 200


def test_a_page_of_long_texts_has_fewer_events(shared_service: RunningService, user: str) -> None:
    create_long_tasks(shared_service.database, user, 5)
    client = shared_service.client(user)
    pages = walk(client, f"/api/{user}", 1000)
    assert [event["position"] for page in pages for event in page] == [1, 2, 3, 4, 5]
    assert [len(page) for page in pages] == [2, 2, 1]  # each text has a megabyte


def test_there_are_no_events_before_the_first_one_and_after_the_last(client: httpx.Client, base: str) -> None:
    none = told(client, f"{base}/events")
    assert (none["head"], none["events"], none["next"]) == ({"position": 0, "hash": "0" * 64}, [], None)
    create(client, base)
    for after in (1, 2, 10**18 - 1):
        page = told(client, f"{base}/events", after=after)
        assert (page["head"]["position"], page["events"], page["next"]) == (1, [], None)


@pytest.mark.parametrize("query", ["after=-1", "after=x", "limit=0", "limit=5001", "limit=", f"after={10**18}"])
def test_a_page_that_cannot_be_is_refused(client: httpx.Client, base: str, query: str) -> None:
    assert refused(client.get(f"{base}/events?{query}"), 422).startswith(f"{query.partition('=')[0]}: must be")


def test_events_are_their_owners_alone(shared_service: RunningService, client: httpx.Client, base: str) -> None:
    create(client, base)
    refused(shared_service.client("stranger").get(f"{base}/events"), 403)
    refused(httpx.get(f"{shared_service.url}{base}/events"), 401)
