"""READ_DATABASE_URL asks for a standby: no read is stale, whatever the standby lacks, and all heals by itself."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import Any, Final

import httpx
import pytest

from read_api.standby_rows import _IMPATIENT_SECONDS
from tests.admin import Watched, value, watched_service
from tests.chaos.replicas import configure, execute, send_all
from tests.fail_over import Pair, running_pair
from tests.servers import Servers, eventually
from tests.streams import opened

_LACKS: Final = 60
"""For how long a test waits for what takes a second on a quiet machine, in seconds."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A service that reads on the standby of a pair, and writes on its primary."""

    pair: Pair
    watched: Watched

    def client(self, user: str) -> httpx.Client:
        return self.watched.service.client(user)

    def outcomes(self) -> dict[str, float]:
        """Return how many statements the standby answered, and how many the primary, and why."""
        kinds = ("standby", "behind", "failed", "away")
        found = {kind: value(self.watched.gateway, "tasklog_standby_statements_total", outcome=kind) for kind in kinds}
        return {kind: number or 0 for kind, number in found.items()}

    def is_up(self) -> bool:
        return value(self.watched.gateway, "tasklog_standby_up") == 1

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Let the standby learn nothing new while the block runs."""
        execute(self.pair.standby.postgres, "SELECT pg_wal_replay_pause()")
        state = "SELECT pg_get_wal_replay_pause_state()"
        eventually(lambda: execute(self.pair.standby.postgres, state)[0][0] == "paused")
        try:
            yield
        finally:
            execute(self.pair.standby.postgres, "SELECT pg_wal_replay_resume()")


def asking_both(pair: Pair) -> str:
    """Return the reader's URL with both servers, which asks for the one that is the standby."""
    login = pair.primary.reader.partition("?")[0]
    sockets = f"{pair.postgres._sockets},{pair.standby.postgres._sockets}"
    return f"{login}?host={sockets}&port=5432,5432&target_session_attrs=prefer-standby"


@pytest.fixture(scope="module")
def reading(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reading]:
    """Start two servers and a service for the tests of this file; each leaves them as they were."""
    directory = tmp_path_factory.mktemp("standby")
    with (
        running_pair(directory) as pair,
        servers.emptied_redis() as redis_url,
        watched_service(
            pair.primary, redis_url, directory / "service.log", READ_DATABASE_URL=asking_both(pair)
        ) as watched,
    ):
        yield Reading(pair=pair, watched=watched)


def shown(http: httpx.Client, path: str, **parameters: Any) -> int:
    """Return the position that an answer shows."""
    answer = http.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    if "tasklog-position" in answer.headers:
        return int(answer.headers["tasklog-position"])
    body = answer.json()
    return int(body["position"] if "position" in body else body["head"]["position"])


def streamed(http: httpx.Client, at: str) -> int:
    """Return the position of the first event of a stream."""
    with opened(str(http.base_url), at.rpartition("/")[2]) as stream:
        return int(stream.next().data["position"])


def of_task(http: httpx.Client, path: str, title: str) -> bool:
    return str(http.get(path).json()["title"]) == title


READS: Final[dict[str, Callable[[httpx.Client, str, int, int], bool]]] = {
    "list": lambda http, at, _, position: shown(http, f"{at}/tasks") == position,
    "page": lambda http, at, _, position: shown(http, f"{at}/tasks", limit=1) == position,
    "find": lambda http, at, _, position: shown(http, f"{at}/tasks", search="title", sort="due") == position,
    "past list": lambda http, at, _, position: shown(http, f"{at}/tasks", as_of=position) == position,
    "task": lambda http, at, task, position: of_task(http, f"{at}/tasks/{task}", f"title {position}"),
    "past task": lambda http, at, task, position: shown(http, f"{at}/tasks/{task}", as_of=position) == position,
    "stats": lambda http, at, _, position: shown(http, f"{at}/stats") == position,
    "trash": lambda http, at, _, position: shown(http, f"{at}/trash") == position,
    "history": lambda http, at, _, position: shown(http, f"{at}/history") == position,
    "task's history": lambda http, at, task, position: shown(http, f"{at}/tasks/{task}/history") == position,
    "events": lambda http, at, _, position: shown(http, f"{at}/events") == position,
    "explanation": lambda http, at, _, position: (
        http.get(f"{at}/events/{position}/explain").json()["event"]["position"] == position
    ),
    "changes": lambda http, at, _, position: shown(http, f"{at}/changes") == position,
    "stream": lambda http, at, _, position: streamed(http, at) == position,
}


def write_and_read(http: httpx.Client, user: str, task: int, read: Callable[..., bool]) -> bool:
    """Rename the task, and return whether a read shows that at once."""
    path = f"/api/{user}/tasks/{task}"
    position = int(http.get(f"/api/{user}/tasks").headers["tasklog-position"]) + 1
    renamed = http.put(path, json={"title": f"title {position}"})
    assert renamed.status_code == 200, renamed.text
    return read(http, f"/api/{user}", task, position)


def with_a_task(http: httpx.Client, user: str) -> int:
    created = http.post(f"/api/{user}/tasks", json={"title": "title 1"})
    assert created.status_code == 201, created.text
    return int(created.json()["id"])


def test_every_read_of_a_standby_that_stands_still_shows_the_last_write(reading: Reading, user: str) -> None:
    http = reading.client(user)
    task = with_a_task(http, user)
    eventually(reading.is_up)

    def is_behind() -> bool:
        assert write_and_read(http, user, task, READS["task"])
        return "behind" in reading.watched.ready(reading.watched.gateway)[1]

    with reading.standing_still():
        before = reading.outcomes()
        stale = [name for name, read in READS.items() if not write_and_read(http, user, task, read)]
        assert stale == []
        after = reading.outcomes()
        elsewhere = sum(after[kind] - before[kind] for kind in ("behind", "failed", "away"))
        assert elsewhere >= len(READS) - 1  # a list may have been read already
        assert after["behind"] > before["behind"]
        assert eventually(is_behind)


def test_the_standby_answers_every_read_of_what_it_has(reading: Reading, user: str) -> None:
    http = reading.client(user)
    task = with_a_task(http, user)
    positions = count(2)

    def is_answered(name: str) -> bool:
        position = next(positions)
        renamed = http.put(f"/api/{user}/tasks/{task}", json={"title": f"title {position}"})
        assert renamed.status_code == 200, renamed.text
        reading.pair.standby.catch_up()
        before = reading.outcomes()
        assert READS[name](http, f"/api/{user}", task, position), name
        after = reading.outcomes()
        return after.pop("standby") > before.pop("standby") and after == before

    for name in READS:
        eventually(partial(is_answered, name))  # a busy machine's standby may be left for a moment


def test_a_user_without_new_writes_is_read_on_a_standby_that_stands_still(reading: Reading, user: str) -> None:
    http, other = reading.client(user), f"{user}-other"
    with_a_task(http, user)
    reading.pair.standby.catch_up()
    with reading.standing_still():
        with_a_task(reading.client(other), other)
        assert shown(reading.client(other), f"/api/{other}/tasks") == 1
        eventually(partial(_two_are_answered, reading, http, user))


def _two_are_answered(reading: Reading, http: httpx.Client, user: str) -> bool:
    before = reading.outcomes()
    assert shown(http, f"/api/{user}/events") == 1
    assert shown(http, f"/api/{user}/history") == 1
    after = reading.outcomes()
    return after.pop("standby") == before.pop("standby") + 2 and after == before


def test_the_lag_of_the_standby_is_told_while_it_stands_still_and_not_while_it_is_away(
    reading: Reading, user: str
) -> None:
    """Seen to fail with the lag left as it was when the standby goes away."""
    lag = "tasklog_standby_lag_seconds"
    gateway, standby = reading.watched.gateway, reading.pair.standby.postgres
    eventually(reading.is_up)
    eventually(lambda: value(gateway, lag) == 0, _LACKS)
    with reading.standing_still():
        with_a_task(reading.client(user), user)
        eventually(lambda: (value(gateway, lag) or 0) > 1.5, _LACKS)
        assert reading.is_up()
    eventually(lambda: value(gateway, lag) == 0, _LACKS)
    send_all(standby, signal.SIGKILL)
    assert standby.process is not None
    standby.process.wait(10)
    try:
        eventually(lambda: not reading.is_up(), _LACKS)
        assert eventually(lambda: value(gateway, lag) is None)
    finally:
        standby.start()
    eventually(reading.is_up, _LACKS)


def test_a_standby_that_lags_a_little_is_waited_for(reading: Reading, user: str) -> None:
    http = reading.client(user)
    task = with_a_task(http, user)
    delay = 0.05
    configure(reading.pair.standby.postgres, recovery_min_apply_delay=f"{delay * 1000:.0f}ms")
    try:
        waited = "tasklog_standby_wait_duration_seconds"

        def was_waited_for() -> bool:
            before, count = reading.outcomes(), value(reading.watched.gateway, f"{waited}_count") or 0
            assert write_and_read(http, user, task, READS["task"])
            after = reading.outcomes()
            late = value(reading.watched.gateway, f"{waited}_count") or 0
            if late > count and after["standby"] > before["standby"] and after["behind"] == before["behind"]:
                return True
            # On a busy machine it may lag more than it is waited for. Then nobody waits for a while, and each read that
            # comes too soon prolongs that; the end of it cannot be seen.
            time.sleep(_IMPATIENT_SECONDS + 0.1)
            return False

        eventually(was_waited_for, _LACKS)
    finally:
        configure(reading.pair.standby.postgres, recovery_min_apply_delay="0")


def test_without_its_standby_all_is_read_on_the_primary_until_it_is_back(reading: Reading, user: str) -> None:
    http = reading.client(user)
    task = with_a_task(http, user)
    eventually(reading.is_up)
    server = reading.pair.standby.postgres
    send_all(server, signal.SIGKILL)
    assert server.process is not None
    server.process.wait(10)
    try:
        assert [name for name, read in READS.items() if not write_and_read(http, user, task, read)] == []
        eventually(lambda: not reading.is_up())
        status, said = reading.watched.ready(reading.watched.gateway)
        assert status == 200
        assert "All reads go to the primary" in said
        assert "is not used" in reading.watched.service.logged()
    finally:
        server.start()
    eventually(reading.is_up, _LACKS)
    eventually(lambda: reading.watched.ready(reading.watched.gateway) == (200, "ready"), _LACKS)


def test_a_silent_standby_is_left_within_seconds(reading: Reading, user: str) -> None:
    http = reading.client(user)
    task = with_a_task(http, user)
    eventually(reading.is_up)
    reading.pair.standby.catch_up()
    # So a connection is open, and the next read waits for an answer.
    eventually(partial(_two_are_answered, reading, http, user))
    send_all(reading.pair.standby.postgres, signal.SIGSTOP)
    try:
        began = time.monotonic()
        assert write_and_read(http, user, task, READS["list"])
        assert time.monotonic() - began < 9  # the time-out of a statement is 10 s
        assert not reading.is_up()
    finally:
        send_all(reading.pair.standby.postgres, signal.SIGCONT)
    eventually(reading.is_up, _LACKS)
