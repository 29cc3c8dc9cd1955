"""How listeners learn of changes: from a wake-up that names users, and without one from a look for all of them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import pytest

from edge.holds import Hold
from event_log.followers import Followers
from read_api import listeners as listening
from read_api.change_reader import ChangeReader
from read_api.change_stream import ChangeSource
from read_api.listeners import Listeners, open_listeners
from read_api.queries import Head, heads
from read_api.reader import Reader
from read_model.bookmark import Bookmark
from runtime import unending
from runtime.database import Database
from runtime.settings import Settings
from runtime.wakeup import MOST_USERS, SOMEBODY, Message, Wake, message_of, open_wake, read_message
from tests.ledger import created
from tests.servers import eventually_async


class Ear:
    """A listener that counts."""

    def __init__(self) -> None:
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


def test_a_message_names_its_users_and_too_many_are_somebody() -> None:
    assert read_message(message_of(["a", "b\n"], "me")) == Message(["a", "b\n"], "me")
    assert read_message(b'["a"]') == Message(["a"], "")
    assert message_of(set()) == SOMEBODY == message_of({f"{n}" for n in range(MOST_USERS + 1)})
    for message in (SOMEBODY, 1, b"{}", b"x", None):
        assert read_message(message) == Message(None)


async def test_a_wake_up_wakes_the_listeners_of_its_users_alone(settings: Settings, reader: Database) -> None:
    async with open_wake(settings) as wake, open_listeners(settings, reader, Followers()) as listeners:
        alice, bob, carol = Ear(), Ear(), Ear()
        listeners.join("carol", carol)
        await eventually_async(lambda: carol.woken)  # at the connect, everybody is woken once
        listeners.join("alice", alice)
        listeners.join("bob", bob)
        wake.notify({"alice"})
        await eventually_async(lambda: alice.woken)
        assert bob.woken == 0


async def test_a_process_does_not_hear_its_own_wake_ups_as_it_tells_its_listeners_itself(
    settings: Settings, reader: Database
) -> None:
    """What the neighbour has heard was sent before what the process hears of it."""
    followers = Followers()
    async with (
        open_wake(settings, followers.sender) as own,
        open_wake(settings, Followers().sender) as neighbours,
        open_listeners(settings, reader, followers) as listeners,
        open_listeners(settings, reader, Followers()) as neighbouring,
    ):
        alice, bob, carol, next_door = Ear(), Ear(), Ear(), Ear()
        listeners.join("carol", carol)
        neighbouring.join("alice", next_door)
        await eventually_async(lambda: carol.woken and next_door.woken)
        listeners.join("alice", alice)
        listeners.join("bob", bob)
        own.notify({"alice"})
        await eventually_async(lambda: next_door.woken > 1)
        neighbours.notify({"bob"})
        await eventually_async(lambda: bob.woken)
        assert alice.woken == 0
        followers.heard({"alice"})
        assert alice.woken == 1


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
    listeners.seen(users[0], ears[users[0]], (await heads(reader, [users[0]]))[0])
    await owner.execute("UPDATE tasklog.streams SET hash = sha256('another history') WHERE user_id = 'user-0'")
    await asyncio.sleep(listening.SHORTEST_PAUSE)
    await listeners._look()
    assert ears[users[0]].woken == 2


async def test_a_look_wakes_who_has_not_seen_what_another_listener_of_the_user_has(
    writer: Database, reader: Database
) -> None:
    """As a stream beside a page that is opened anew, when the wake-up was lost.

    Seen to fail with one head for all listeners of a user: the look did not find that the stream was behind.
    """
    listeners, changes = Listeners(reader), ChangeReader(Reader(reader))
    stream, page = Hold(), Hold()
    source = ChangeSource(changes, listeners, "alice", Bookmark(position=0, hash_prefix=""), 1000)
    source.join(stream)
    assert (await source.changes()).is_empty
    await created(writer, "alice")
    for hold in (None, page):
        opened = ChangeSource(changes, listeners, "alice", None, 1000)
        if hold is not None:
            opened.join(hold)
        assert not (await opened.changes()).is_empty
    await listeners._look()
    assert stream.take_change()
    assert not (await source.later_changes()).is_empty
    page.take_change()
    await listeners._look()
    assert not stream.take_change()
    assert not page.take_change()


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
    async with open_listeners(without_redis, failing, Followers()) as listeners:  # type: ignore[arg-type]
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

    monkeypatch.setattr(Listeners, "heard_from_others", hear)
    async with open_wake(settings) as wake, open_listeners(settings, reader, Followers()):
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
    listeners.heard_from_others(None)
    assert ear.woken == 2
    listeners.seen("alice", ear, Head(1, "x"))


async def test_wishes_without_redis_are_forgotten_at_once() -> None:
    wake = Wake(None)
    wake.notify({"alice"})
    assert wake._users == set()
