"""How listeners learn of changes: from a wake-up that names users, and without one from a look for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import pytest

from read_api import listeners as listening
from read_api.listeners import Listeners, open_listeners
from read_api.queries import Head, heads
from runtime import unending
from runtime.database import Database
from runtime.settings import Settings
from runtime.wakeup import MOST_USERS, SOMEBODY, Wake, message_of, open_wake, users_of
from tests.ledger import created
from tests.servers import eventually_async


class Ear:
    """A listener that counts."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def test_a_message_names_its_users_and_too_many_are_somebody() -> None:
    assert sorted(users_of(message_of({"a", "b\n"})) or ()) == ["a", "b\n"]
    assert message_of(set()) == SOMEBODY == message_of({f"{n}" for n in range(MOST_USERS + 1)})
    for message in (SOMEBODY, 1, b"{}", b"x", None):
        assert users_of(message) is None


async def test_a_wake_up_wakes_the_listeners_of_its_users_alone(settings: Settings, reader: Database) -> None:
    async with open_wake(settings) as wake, open_listeners(settings, reader) as listeners:
        alice, bob, carol = Ear(), Ear(), Ear()
        listeners.join("carol", carol)
        await eventually_async(lambda: carol.woken)  # at the connect, everybody is woken once
        listeners.join("alice", alice)
        listeners.join("bob", bob)
        wake.notify({"alice"})
        await eventually_async(lambda: alice.woken)
        assert bob.woken == 0


class Counting:
    """A database that counts its statements."""

    def __init__(self, inner: Database) -> None:
        self._inner, self.statements = inner, 0

    async def fetch(self, query: str, *args: Any) -> Any:
        self.statements += 1
        return await self._inner.fetch(query, *args)


async def test_a_look_is_one_statement_for_all_and_wakes_those_whose_head_has_moved(
    writer: Database, reader: Database, owner: asyncpg.Connection
) -> None:
    users = [f"user-{n}" for n in range(50)]
    counting = Counting(reader)
    listeners = Listeners(counting)  # type: ignore[arg-type]
    ears = {user: Ear() for user in users}
    for user in users:
        listeners.join(user, ears[user])
    for user in users[:3]:
        await created(writer, user)
    await listeners._look()
    assert {user: ear.woken for user, ear in ears.items() if ear.woken} == dict.fromkeys(users[:3], 1)
    await listeners._look()
    assert sum(ear.woken for ear in ears.values()) == 3
    assert counting.statements == 2
    listeners.seen(users[0], (await heads(reader, [users[0]]))[0])
    await owner.execute("UPDATE tasklog.streams SET hash = sha256('another history') WHERE user_id = 'user-0'")
    await asyncio.sleep(listening.SHORTEST_PAUSE)
    await listeners._look()
    assert ears[users[0]].woken == 2


class Failing:
    """A database that fails once with an unexpected error."""

    def __init__(self, inner: Database) -> None:
        self._inner, self.failed = inner, False

    async def fetch(self, query: str, *args: Any) -> Any:
        if not self.failed:
            self.failed = True
            raise RuntimeError("unforeseen")
        return await self._inner.fetch(query, *args)


async def test_a_look_that_fails_is_followed_by_the_next_one(
    settings: Settings, writer: Database, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(unending, "AGAIN_SECONDS", 0.01)
    failing, ear = Failing(reader), Ear()
    without_redis = settings.model_copy(update={"redis_url": None})
    async with open_listeners(without_redis, failing) as listeners:  # type: ignore[arg-type]
        listeners.join("alice", ear)
        await eventually_async(lambda: failing.failed)
        await created(writer, "alice")
        await eventually_async(lambda: ear.woken)


async def test_a_wake_up_that_cannot_be_heard_is_followed_by_the_next_one(
    settings: Settings, reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(listening, "LOOK_SECONDS", 1000)
    monkeypatch.setattr(unending, "AGAIN_SECONDS", 0.01)

    def hear(_: Listeners, users: Any) -> None:
        heard.append(users)
        if len(heard) == 1:
            raise RuntimeError("unforeseen")

    monkeypatch.setattr(Listeners, "heard", hear)
    async with open_wake(settings) as wake, open_listeners(settings, reader):
        await eventually_async(lambda: len(heard) > 1)
        wake.notify({"alice"})
        await eventually_async(lambda: heard[-1] == ["alice"])


async def test_many_changes_in_a_row_wake_a_listener_now_and_once_after_a_pause(
    reader: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listening, "SHORTEST_PAUSE", 0.2)
    listeners, ear = Listeners(reader), Ear()
    listeners.join("alice", ear)
    began = time.monotonic()
    for _ in range(100):
        listeners.heard(["alice"])
    assert ear.woken == 1
    await eventually_async(lambda: ear.woken > 1)
    assert time.monotonic() - began >= 0.19
    listeners.leave("alice", ear)
    listeners.heard(None)
    assert ear.woken == 2
    listeners.seen("alice", Head(1, "x"))


async def test_wishes_without_redis_are_forgotten_at_once() -> None:
    wake = Wake(None)
    wake.notify({"alice"})
    assert wake._users == set()
