"""History over HTTP, and the hash chain checked by hand from these answers.

Seen to fail: with a hash or digest of another event, and with the path's user unchecked.
"""

from __future__ import annotations

from hashlib import sha256

import httpx
import pytest

from tests.e2e.past import create, following, refused, told
from tests.servers import RunningService

FIELDS = {
    "position", "task_id", "version", "event_id", "type", "schema_version", "recorded_at", "actor", "request_id",
    "changes", "erased", "data", "metadata", "undoes", "content_digest", "hash",
}  # fmt: skip


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


def test_an_event_that_nobody_can_read_is_a_503_of_its_user_alone(
    shared_service: RunningService, client: httpx.Client, base: str, user: str
) -> None:
    """Neither API answers 500; the history shows the event, and other users are served."""
    shared_service.database.execute(
        """INSERT INTO tasklog.events (user_id, position, task_id, version, event_id, type, schema_version, data,
                                       metadata, recorded_at, hash)
           VALUES ($1, 1, 5000000000, 1, gen_random_uuid(), 'task.renamed', 1, '{}', '{}', now(), '\\x00')""",
        user,
    )
    shared_service.database.execute(
        "INSERT INTO tasklog.streams VALUES ($1, 1, '\\x00', now(), NULL) ON CONFLICT DO NOTHING", user
    )
    task = f"{base}/tasks/5000000000"
    edits = [("PUT", task), ("PATCH", f"{task}/complete"), ("DELETE", task)]
    for method, path in [("GET", f"{base}/tasks"), ("GET", task), ("GET", f"{base}/tasks?as_of=1"), *edits]:
        answer = client.request(method, path, json={"title": "b"} if method == "PUT" else None)
        assert "cannot be read by this version" in refused(answer, 503), (method, path)
    client.event_hooks = {}  # a type that only a later version documents, and a hash that no ledger has
    (entry,) = told(client, f"{base}/history")["events"]
    assert (entry["type"], entry["changes"], entry["data"]) == ("task.renamed", [], "{}")
    neighbour = shared_service.client(f"{user}-neighbour")
    assert create(neighbour, f"/api/{user}-neighbour")
    assert "a stream cannot be read" in shared_service.log.read_text()
