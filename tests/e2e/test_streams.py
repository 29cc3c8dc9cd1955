"""Point 17 of the contract: streams of changes and long polls, against real services."""

from __future__ import annotations

import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.contract import assert_problem, create
from tests.machine import free_port
from tests.replica import Replica
from tests.servers import RunningService, Servers, eventually, running_service, token
from tests.streams import Seen, Stream, opened, opened_until_it_expires


def changed(event: Seen) -> list[str]:
    return [task["title"] for task in event.data["tasks"]]


def test_17_a_stream_begins_with_all_tasks_and_goes_on_with_what_changes(
    shared_service: RunningService, user: str
) -> None:
    client, tasks = shared_service.client(user), f"/api/{user}/tasks"
    first = create(client, tasks, "first \u2028 é \U0001f600")
    with opened(shared_service.url, user) as stream:
        assert stream.answer.headers["content-type"].partition(";")[0] == "text/event-stream"
        assert "no-transform" in stream.answer.headers["cache-control"]
        event = stream.next()
        assert event.data == {"token": event.id, "position": 1, "more": False, "tasks": [first], "deleted": []}
        second = create(client, tasks, "second")
        assert stream.next().data["tasks"] == [second]
        client.delete(f"{tasks}/{first['id']}")
        assert stream.next().data["deleted"] == [first["id"]]
        assert stream.received.isascii()


def test_17_the_first_event_comes_at_once_also_when_nothing_has_changed(
    shared_service: RunningService, user: str
) -> None:
    since = shared_service.client(user).get(f"/api/{user}/changes").json()["token"]
    with opened(shared_service.url, user, since) as stream:
        assert stream.next().data == {"token": since, "position": 0, "more": False, "tasks": [], "deleted": []}


def test_17_the_last_event_id_wins_over_since(shared_service: RunningService, user: str) -> None:
    client = shared_service.client(user)
    old = client.get(f"/api/{user}/changes").json()["token"]
    create(client, f"/api/{user}/tasks")
    new = client.get(f"/api/{user}/changes").json()["token"]
    with opened(shared_service.url, user, old, last=new) as stream:
        assert stream.next().data["tasks"] == []
    with opened(shared_service.url, user, "unknown", last=old) as stream:
        assert len(stream.next().data["tasks"]) == 1


def test_17_an_unknown_token_is_410_before_the_stream_begins(shared_service: RunningService, user: str) -> None:
    client = shared_service.client(user)
    for headers, parameters in [({}, {"since": "x"}), ({"Last-Event-ID": "x"}, {})]:
        answer = client.get(f"/api/{user}/changes/stream", params=parameters, headers=headers)
        assert_problem(answer, 410)
    assert_problem(shared_service.client().get(f"/api/{user}/changes/stream"), 401)
    assert_problem(client.get("/api/somebody/changes/stream"), 403)


def test_17_head_answers_and_ends(shared_service: RunningService, user: str) -> None:
    answer = shared_service.client(user).head(f"/api/{user}/changes/stream")
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert shared_service.client(user).head(f"/api/{user}/changes/stream", params={"since": "x"}).status_code == 410


def test_17_a_stream_ends_cleanly_when_its_token_has_expired_leeway_included(
    shared_service: RunningService, user: str
) -> None:
    with opened_until_it_expires(shared_service.url, user) as (stream, expires):
        assert [event.retry for event in stream.events()] == [None]
        assert not stream.is_cut
        assert -0.1 < time.time() - expires < 15


def test_17_an_erasure_cuts_the_stream_and_its_token_is_unknown_then(shared_service: RunningService, user: str) -> None:
    create(shared_service.client(user), f"/api/{user}/tasks")
    with opened(shared_service.url, user) as stream:
        last = stream.next().id
        shared_service.database.execute("SELECT tasklog.erase($1, 'operator', 'test')", user)
        assert list(stream.events()) == []
        assert stream.is_cut
    answer = shared_service.client(user).get(f"/api/{user}/changes/stream", headers={"Last-Event-ID": last})
    assert_problem(answer, 410)


def test_17_waiting_gives_a_change_when_it_comes_and_nothing_when_the_time_is_over(
    shared_service: RunningService, user: str
) -> None:
    client, path = shared_service.client(user), f"/api/{user}/changes"
    start = client.get(path, params={"wait": 30}).json()
    with ThreadPoolExecutor() as threads:
        began = time.monotonic()
        waiting = threads.submit(client.get, path, params={"since": start["token"], "wait": 30})
        task = create(shared_service.client(user), f"/api/{user}/tasks")
        found = waiting.result().json()
    assert found["tasks"] == [task]
    assert time.monotonic() - began < 15
    began = time.monotonic()
    assert client.get(path, params={"since": found["token"], "wait": 1}).json()["token"] == found["token"]
    assert 1 <= time.monotonic() - began < 10
    assert_problem(client.get(path, params={"wait": 31}), 422, "wait: must be a number from 0 to 30")


def test_17_a_stream_that_is_cut_at_any_byte_and_resumed_misses_nothing(
    shared_service: RunningService, user: str
) -> None:
    """Random writes and cuts. For each task the replica sees its versions in order, and none twice as a change."""
    client, tasks = shared_service.client(user), f"/api/{user}/tasks"
    chance = random.Random("cuts")
    ended = threading.Event()

    def write() -> None:
        ids: list[int] = []
        for n in range(500):
            if n >= 90 and cuts > 2:
                break
            if len(ids) < 3 or chance.random() < 0.3:
                ids.append(create(client, tasks, f"{n} \u2028 é")["id"])
            elif chance.random() < 0.2:
                client.delete(f"{tasks}/{ids.pop(chance.randrange(len(ids)))}")
            else:
                client.put(f"{tasks}/{chance.choice(ids)}", json={"title": f"{n}"})
        ended.set()

    replica, cuts = Replica(), 0
    seen: dict[int, str] = {}
    writing = threading.Thread(target=write)
    writing.start()
    while True:
        was_ended = ended.is_set()
        most = None if was_ended else chance.randrange(1, 4000 if replica.token else 20_000)
        with opened(shared_service.url, user, replica.token, most_bytes=most, silence=1) as stream:
            for event in stream.events():
                assert event.id == event.data["token"]
                for task in event.data["tasks"]:
                    assert seen.get(task["id"], "") < task["updated_at"], "seen before"
                    seen[task["id"]] = task["updated_at"]
                replica.apply(event.data)
                if was_ended and not event.data["more"]:
                    break
            else:
                cuts += 1
                continue
            break
    writing.join()
    assert cuts > 2
    assert replica.listed() == sorted(client.get(tasks).json(), key=lambda task: task["id"])


@pytest.fixture(scope="module")
def few_streams(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Any:
    log = tmp_path_factory.mktemp("few") / "service.log"
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, log, MAX_STREAMS="4") as running,
    ):
        yield running


def test_17_streams_have_a_limit_of_their_own_and_a_user_has_half_of_it(few_streams: RunningService) -> None:
    def refused(user: str) -> httpx.Response:
        with httpx.Client(headers={"Authorization": f"Bearer {token(user)}"}) as client:
            return client.get(f"{few_streams.url}/api/{user}/changes/stream")

    with ExitStack() as stack:
        held = [stack.enter_context(opened(few_streams.url, user)) for user in ("a", "a")]
        assert [stream.next().data["tasks"] for stream in held] == [[], []]
        assert_problem(refused("a"), 429, "You have too many open streams: close some, or ask without `wait`")
        held += [stack.enter_context(opened(few_streams.url, user)) for user in ("b", "c")]
        assert [stream.next().data["tasks"] for stream in held[2:]] == [[], []]
        answer = refused("d")
        assert_problem(answer, 503, "The service has too many open streams at the moment, try again")
        assert answer.headers["retry-after"] == "5"
        assert few_streams.client("d").get("/api/d/changes").status_code == 200

    def opens() -> bool:
        with httpx.Client(headers={"Authorization": f"Bearer {token('d')}"}) as client:
            return client.head(f"{few_streams.url}/api/d/changes/stream").status_code == 200

    eventually(opens)


@pytest.mark.alone
def test_17_a_shutdown_says_when_to_come_back_and_cuts_the_streams(servers: Servers, tmp_path: Path) -> None:
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, tmp_path / "log") as service,
        ExitStack() as stack,
    ):
        streams: list[Stream] = [stack.enter_context(opened(service.url, f"user-{n}", silence=60)) for n in range(20)]
        ids = [stream.next().id for stream in streams]
        assert service.gateway.process is not None
        began = time.monotonic()
        service.gateway.process.terminate()
        ends = [list(stream.events()) for stream in streams]
        assert service.gateway.process.wait(10) == 0
        assert time.monotonic() - began < 10  # 1 s on a machine that is not busy
        assert all(stream.is_cut for stream in streams)
        assert [[event.id for event in events] for events in ends] == [[one] for one in ids]
        retries = [events[0].retry or 0 for events in ends]
        assert len(set(retries)) > 5
        assert 500 <= min(retries) <= max(retries) <= 5000
        assert "Traceback" not in service.logged()
        assert "ASGI" not in service.logged()


def test_17_without_redis_and_projector_a_change_is_seen_within_a_second(servers: Servers, tmp_path: Path) -> None:
    """A Redis that nobody answers at, and no projector: the look finds the change, and the tail has the task."""
    with (
        servers.cloned() as database,
        running_service(database, f"redis://127.0.0.1:{free_port()}", tmp_path / "log") as service,
    ):
        service.projector.stop(5)
        client, took = service.client("alice"), []
        with opened(service.url, "alice") as stream:
            stream.next()
            for n in range(3):
                began = time.monotonic()
                task = create(client, "/api/alice/tasks", f"task {n}")
                assert stream.next().data["tasks"] == [task]
                took.append(time.monotonic() - began)
        assert min(took) < 3  # 1 s on a machine that is not busy
