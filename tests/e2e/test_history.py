"""History and time travel over HTTP, and the hash chain checked by hand from what HTTP tells.

Seen to fail: with a hash or digest of another event, with the path's user unchecked, with a cursor or an ETag that does
not know its moment.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import asyncpg
import httpx
import pytest

from tests.servers import RunningService, run_async

FIELDS = {
    "position", "task_id", "version", "event_id", "type", "schema_version", "recorded_at", "actor", "request_id",
    "changes", "erased", "data", "metadata", "content_digest", "hash",
}  # fmt: skip


@pytest.fixture
def base(user: str) -> str:
    return f"/api/{user}"


def create(client: httpx.Client, base: str, title: str = "a") -> int:
    answer = client.post(f"{base}/tasks", json={"title": title}, headers={"X-Request-ID": f"make-{title}"})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def told(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = client.get(path, params=params or None)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def following(answer: httpx.Response) -> str | None:
    link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
    return link and link[1]


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])


def damage(service: RunningService, statement: str, *args: Any) -> None:
    """Change the ledger as nobody may."""

    async def run() -> None:
        connection = await asyncpg.connect(service.database.owner)
        await connection.execute(statement, *args)
        await connection.close()

    run_async(run())


def test_a_deleted_tasks_history_tells_who_did_what(client: httpx.Client, base: str, user: str) -> None:
    task = create(client, base, "Milk")
    client.put(f"{base}/tasks/{task}", json={"title": "Oat milk", "description": "2 l"}, headers={"X-Request-ID": "e"})
    client.patch(f"{base}/tasks/{task}/complete")
    client.delete(f"{base}/tasks/{task}")
    answer = told(client, f"{base}/tasks/{task}/history")
    assert (answer["user_id"], answer["next"], answer["head"]["position"]) == (user, None, 4)
    entries = answer["events"]
    assert [entry.keys() for entry in entries] == [FIELDS] * 4
    assert [entry["type"] for entry in entries] == ["task.created", "task.edited", "task.completed", "task.deleted"]
    assert [(entry["actor"], entry["request_id"]) for entry in entries[:2]] == [(user, "make-Milk"), (user, "e")]
    assert entries[1]["changes"] == [
        {"field": "title", "from": "Milk", "to": "Oat milk"},
        {"field": "description", "from": None, "to": "2 l"},
    ]
    assert entries[3]["changes"] == [
        {"field": "title", "from": "Oat milk", "to": None},
        {"field": "description", "from": "2 l", "to": None},
        {"field": "completed", "from": True, "to": None},
    ]


def test_a_history_is_paged_by_position_and_narrowed_by_type(client: httpx.Client, base: str) -> None:
    first, second = create(client, base), create(client, base)
    for task in (first, second, first):
        client.patch(f"{base}/tasks/{task}/complete")
    for path, params in (("history", {}), ("history", {"type": "task.completed"}), (f"tasks/{first}/history", {})):
        whole = told(client, f"{base}/{path}", **params)["events"]
        found = []
        url: str | None = f"{base}/{path}?limit=1" + "".join(f"&{key}={value}" for key, value in params.items())
        while url is not None:
            answer = client.get(url)
            page = answer.json()
            found += page["events"]
            assert (page["next"] is None) == (following(answer) is None)
            url = following(answer)
        assert found == whole
    assert [entry["position"] for entry in told(client, f"{base}/history", after=3)["events"]] == [4, 5]
    assert [e["task_id"] for e in told(client, f"{base}/history", type="task.completed")["events"]] == [first, second]


def test_the_chain_is_checked_with_nothing_but_sha256(client: httpx.Client, base: str, user: str) -> None:
    for title in ("Milk", "Äpfel \U0001f34e", '"quoted"\n'):
        task = create(client, base, "x")
        client.put(f"{base}/tasks/{task}", json={"title": title})
    answer = told(client, f"{base}/history")
    digest = "0" * 64
    for entry in answer["events"]:
        assert entry["content_digest"] == sha256(f"{entry['metadata']}\n{entry['data']}".encode()).hexdigest()
        columns = ("position", "task_id", "version", "event_id", "type", "schema_version", "recorded_at")
        lines = [digest, user, *(str(entry[column]) for column in columns), entry["content_digest"]]
        digest = sha256("\n".join(lines).encode()).hexdigest()
        assert entry["hash"] == digest
    assert answer["head"] == {"position": 6, "hash": digest}


def test_a_history_is_its_owners_alone(shared_service: RunningService, client: httpx.Client, base: str) -> None:
    task = create(client, base)
    stranger = shared_service.client("stranger")
    for path in (f"{base}/history", f"{base}/tasks/{task}/history", f"{base}/tasks?as_of=1"):
        assert "Access denied" in refused(stranger.get(path), 403)
        assert refused(shared_service.client().get(path), 401)
        if path.endswith("history"):
            answer = client.post(path, json={})
            assert refused(answer, 405)
            assert answer.headers["allow"] == "GET, HEAD"
    assert refused(stranger.get(f"/api/stranger/tasks/{task}/history"), 404) == f"Task {task} not found"
    assert told(stranger, "/api/stranger/history")["events"] == []


@pytest.mark.parametrize(
    "query", ["after=-1", "after=x", f"after={'9' * 5000}", "limit=0", "limit=1001", "limit=", "type=task.renamed"]
)
def test_a_parameter_that_does_not_fit_is_named(client: httpx.Client, base: str, query: str) -> None:
    task = create(client, base)
    for path in ("history", f"tasks/{task}/history"):
        assert refused(client.get(f"{base}/{path}?{query}"), 422).startswith(query.partition("=")[0])


def test_a_history_that_did_not_change_is_not_sent_again(client: httpx.Client, base: str) -> None:
    create(client, base)
    etag = client.get(f"{base}/history").headers["etag"]
    assert client.get(f"{base}/history", headers={"If-None-Match": etag}).status_code == 304
    assert client.get(f"{base}/history?limit=1", headers={"If-None-Match": etag}).status_code == 200
    create(client, base)
    assert client.get(f"{base}/history", headers={"If-None-Match": etag}).status_code == 200


def test_the_past_is_read_by_position_and_by_time(client: httpx.Client, base: str) -> None:
    task = create(client, base, "Milk")
    client.put(f"{base}/tasks/{task}", json={"title": "Oat milk"})
    other = create(client, base, "Bread")
    client.delete(f"{base}/tasks/{task}")
    entries = told(client, f"{base}/history")["events"]
    titles = {0: [], 1: ["Milk"], 2: ["Oat milk"], 3: ["Bread", "Oat milk"], 4: ["Bread"]}
    for position, expected in titles.items():
        times = [entry["recorded_at"] for entry in entries if entry["position"] == position]
        offsets = [datetime.fromisoformat(at).astimezone().isoformat() for at in times]
        plus = [datetime.fromisoformat(at).isoformat() for at in times]  # ends in +00:00, here not percent-encoded
        for as_of in [str(position), *times, *map(quote, offsets), *plus]:
            answer = client.get(f"{base}/tasks?as_of={as_of}")
            assert [found["title"] for found in answer.json()] == expected, as_of
            assert answer.headers["tasklog-position"] == str(position)
            single = client.get(f"{base}/tasks/{task}?as_of={as_of}")
            assert single.status_code == (200 if position in {1, 2, 3} else 404)
    assert client.get(f"{base}/tasks").headers["tasklog-position"] == "4"
    assert client.get(f"{base}/tasks/{other}?as_of=2").status_code == 404
    assert [t["title"] for t in client.get(f"{base}/tasks?as_of=3&sort=title&status=pending").json()] == [
        "Bread",
        "Oat milk",
    ]


@pytest.mark.parametrize(
    "as_of",
    [
        "2",
        "9" * 18,
        "9" * 4400,
        "-1",
        "1.5",
        "x",
        "",
        "now",
        "٣",
        "1&as_of=x",
        "2026-01-01",
        "2026-01-01T00:00:00",
        "2026-13-01T00:00:00Z",
        "2026-01-01T00:00:00Z%00",
        "9999-12-31T23:59:59-23:59",
        "0001-01-01T00:00:00%2B23:59",
    ],
)
def test_a_moment_that_is_none_or_still_to_come_is_refused(client: httpx.Client, base: str, as_of: str) -> None:
    task = create(client, base)
    for path in ("tasks", f"tasks/{task}"):
        assert refused(client.get(f"{base}/{path}?as_of={as_of}"), 422).startswith("as_of")


def test_a_time_before_everything_is_empty_and_a_future_one_refused(client: httpx.Client, base: str) -> None:
    create(client, base)
    assert client.get(f"{base}/tasks?as_of=0001-01-01T00:00:00Z").json() == []
    future = (datetime.now(UTC) + timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert "still to come" in refused(client.get(f"{base}/tasks?as_of={future}"), 422)


def test_a_walk_through_the_past_keeps_to_its_moment(client: httpx.Client, base: str) -> None:
    for title in "edcba":
        create(client, base, title)
    whole = client.get(f"{base}/tasks?as_of=4&sort=title").json()
    assert [task["title"] for task in whole] == ["b", "c", "d", "e"]
    first = client.get(f"{base}/tasks?as_of=4&sort=title&limit=3")
    assert first.headers["x-total-count"] == "4"
    link = following(first)
    assert link is not None
    create(client, base, "aa")
    assert [*first.json(), *client.get(link).json()] == whole
    for other in ("as_of=3&", "as_of=5&", ""):
        answer = client.get(link.replace("&as_of=4", "").replace("tasks?", f"tasks?{other}"))
        assert "another as_of" in refused(answer, 400)
    present = following(client.get(f"{base}/tasks?limit=1"))
    assert "another as_of" in refused(client.get(f"{present}&as_of=4"), 400)


def test_an_answer_of_the_past_is_valid_until_an_erasure(
    shared_service: RunningService, client: httpx.Client, base: str, user: str
) -> None:
    task = create(client, base, "secret")
    create(client, base)
    paths = [f"{base}/tasks?as_of=1", f"{base}/tasks?as_of=1&limit=1", f"{base}/tasks/{task}?as_of=1"]
    known = {path: client.get(path).headers["etag"] for path in [*paths, f"{base}/tasks?as_of=2", f"{base}/tasks"]}
    assert len(set(known.values())) == 5
    assert not any(etag.startswith("W/") for etag in known.values())
    create(client, base)
    for path in paths:
        assert client.get(path, headers={"If-None-Match": known[path]}).status_code == 304
    damage(shared_service, "SELECT tasklog.erase($1, 'operator', 'r')", user)
    for path in paths:
        answer = client.get(path, headers={"If-None-Match": known[path]})
        assert answer.status_code == 200
        assert "[erased]" in answer.text
        assert "secret" not in answer.text


def test_an_event_that_nobody_can_read_is_a_503_of_its_user_alone(
    shared_service: RunningService, client: httpx.Client, base: str, user: str
) -> None:
    """Neither side answers 500; the history shows the event, and other users are served."""
    damage(
        shared_service,
        """INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version, data,
                                       metadata, recorded_at, hash)
           VALUES ($1, 1, 5000000000, 1, gen_random_uuid(), 'task.renamed', 1, '{}', '{}', now(), '\\x00')""",
        user,
    )
    damage(
        shared_service, "INSERT INTO tasklog.streams VALUES ($1, 1, '\\x00', now(), NULL) ON CONFLICT DO NOTHING", user
    )
    task = f"{base}/tasks/5000000000"
    edits = [("PUT", task), ("PATCH", f"{task}/complete"), ("DELETE", task)]
    for method, path in [("GET", f"{base}/tasks"), ("GET", task), ("GET", f"{base}/tasks?as_of=1"), *edits]:
        answer = client.request(method, path, json={"title": "b"} if method == "PUT" else None)
        assert "cannot be read by this version" in refused(answer, 503), (method, path)
    (entry,) = told(client, f"{base}/history")["events"]
    assert (entry["type"], entry["changes"], entry["data"]) == ("task.renamed", [], "{}")
    neighbour = shared_service.client(f"{user}-neighbour")
    assert create(neighbour, f"/api/{user}-neighbour")
    assert "a stream cannot be read" in shared_service.log.read_text()
