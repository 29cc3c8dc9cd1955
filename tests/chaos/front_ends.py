"""Front ends beside writers and faults: listeners of streams, and the replica of clients/typescript in Node."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial, wraps
from itertools import count
from typing import Any, Final

import httpx

from tests.chaos import nemesis
from tests.chaos.checker import Violation
from tests.chaos.fold import Event
from tests.chaos.ledger import read_stored
from tests.chaos.listening import Listener
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.scenario import Scenario
from tests.chaos.told import History, check_refused, check_told
from tests.chaos.world import World
from tests.clients.driven import DrivenReplica, driven_replica
from tests.servers import token

READING: Final = "user0"
"""The user whose replica only follows, while the load's clients write."""
WRITING: Final = "front"
"""The user whose replica is the only writer."""
ERASED: Final = "erin"
"""The user who is erased now and then; her replica writes, too."""

_END_SECONDS: Final = 60.0
_TAKE_BACK: Final = """
    -- As after the restore of a dump that lacks up to five of the last events of each user.
    CREATE TEMP TABLE back AS
        SELECT s.user_id, greatest(1, s.head - floor(random() * 6)::bigint) AS head FROM tasklog.streams s
        WHERE s.user_id <> 'erin';
    DELETE FROM tasklog.events e USING back b WHERE e.user_id = b.user_id AND e.position > b.head;
    DELETE FROM tasklog.idempotency_keys k USING back b
    WHERE k.user_id = b.user_id AND (k.position > b.head OR k.position IS NULL);
    UPDATE tasklog.streams s SET head = b.head, hash = e.hash, recorded_at = e.recorded_at, unprojected_since = now()
    FROM back b JOIN tasklog.events e ON e.user_id = b.user_id AND e.position = b.head WHERE s.user_id = b.user_id;
    DELETE FROM tasklog.tasks t USING back b WHERE t.user_id = b.user_id;
    DELETE FROM tasklog.checkpoints c USING back b WHERE c.user_id = b.user_id;
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Created:
    """A task that a replica was told to create."""

    title: str
    at: float
    answer: Future[Any]


class FrontEndsWorld(World):
    """A world with listeners of all users, and replicas of some."""

    def open(self) -> None:
        """Start everything, then the front ends."""
        super().open()
        self.unread = frozenset({WRITING, ERASED})
        self.histories: list[tuple[float, dict[str, list[Event]]]] = []
        self.erasures: list[float] = []
        self.created: list[_Created] = []
        self._numbers = count(1)
        users = [user.name for user in self.load._users] + [WRITING, ERASED]
        self.listeners = [Listener(user, self.load.ports, random.Random(f"{self._seed} {user}")) for user in users]
        self._following = [
            asyncio.run_coroutine_threadsafe(listener.follow_forever(), self.background.loop)
            for listener in self.listeners
        ]
        replicas = (READING, WRITING, ERASED)
        self.replicas = {u: self._stack.enter_context(driven_replica(self.gateway_url, u)) for u in replicas}

    @property
    def gateway_url(self) -> str:
        """Return the address of a gateway."""
        return f"http://127.0.0.1:{self.load.ports[0]}"

    def give_commands(self, rng: random.Random) -> None:
        """Let the replicas that write create tasks and change some, whatever the services do at the moment."""
        for user in (WRITING, ERASED):
            replica = self.replicas[user]
            for _ in range(rng.randrange(1, 4)):
                title = f"task {next(self._numbers)} of {user}"
                answer = replica.begin("create", {"title": title, "tags": ["home"]})
                self.created.append(_Created(title=title, at=time.monotonic(), answer=answer))
            for task in rng.sample(tasks := replica.tasks(), min(3, len(tasks))):
                if rng.random() < 0.6:
                    replica.begin("edit", task["id"], {"description": f"{rng.random()}", "priority": "high"})
                else:
                    replica.begin(rng.choice(["complete", "reopen", "delete"]), task["id"])

    def lose(self) -> None:
        """Restore an older ledger while no service runs; clients may hold what they were told before."""
        stored = asyncio.run(read_stored(self.url, unread=frozenset({ERASED})))
        self.execute_script(_TAKE_BACK)
        self.forgiven_until = time.monotonic()
        self.histories.append((self.forgiven_until, stored.streams))

    def end_following(self) -> None:
        """End the listeners."""
        for following in self._following:
            following.cancel()

    def close(self) -> None:
        """End everything that this world started."""
        self.end_following()
        super().close()


def take_back(world: World, _: random.Random) -> bool:
    """Restore an older ledger."""
    assert isinstance(world, FrontEndsWorld)
    world.resting |= set(world.services)
    for service in world.services:
        assert service.process is not None
        service.process.kill()
        service.process.wait(10)
    world.lose()
    for service in world.services:
        service.start()
    world.resting -= set(world.services)
    world.wait_until_healthy(20 * world.patience)
    return True


def erase(world: World, _: random.Random) -> bool:
    """Erase a person."""
    assert isinstance(world, FrontEndsWorld)
    ((position,),) = world.execute("SELECT tasklog.erase($1, 'operator', 'chaos')", ERASED)
    world.erasures.append(time.monotonic())
    return position is not None


def with_commands(fault: Fault) -> Fault:
    """Return the fault, with commands of the replicas before and after it."""

    @wraps(fault)
    def beside(world: World, rng: random.Random) -> bool:
        assert isinstance(world, FrontEndsWorld)
        world.give_commands(rng)
        world.pause(rng.uniform(0, 0.3))
        happened = fault(world, rng)
        world.give_commands(rng)
        return happened

    return beside


def front_ends_are_right(world: World) -> Iterator[Violation]:
    """Check that every replica ends equal to the list, and every listener was told each change once and in order."""
    assert isinstance(world, FrontEndsWorld)
    deadline = time.monotonic() + _END_SECONDS * world.patience
    _until(deadline, lambda: all(one.answer.done() for one in world.created))
    for user, replica in world.replicas.items():
        if not _until(deadline, partial(_is_equal, world, user, replica)):
            detail = f"{len(replica.tasks())} and {len(_listed(world, user))} tasks"
            yield Violation("a replica ends equal to the list", user, detail)
    heads = {row["user_id"]: row["head"] for row in world.execute("SELECT user_id, head FROM tasklog.streams")}
    _until(deadline, lambda: all(_has_ended(one, heads.get(one.user, 0)) for one in world.listeners))
    world.end_following()
    yield from _check_told(world)


def _check_told(world: FrontEndsWorld) -> Iterator[Violation]:
    last = asyncio.run(read_stored(world.url, unread=frozenset({ERASED}))).streams
    losses = [moment for moment, _ in world.histories]
    for listener in world.listeners:
        user = listener.user
        if user == ERASED:
            yield from check_refused(user, listener.refused, world.erasures)
            continue
        histories = [History(moment, streams.get(user, [])) for moment, streams in world.histories]
        yield from check_told(user, listener.told, [*histories, History(math.inf, last.get(user, []))])
        yield from check_refused(user, listener.refused, losses)
    yield from _check_created(world, last.get(WRITING, []))
    told, refused = (
        sum(map(len, lists)) for lists in zip(*((x.told, x.refused) for x in world.listeners), strict=True)
    )
    cuts = sum(listener.cuts for listener in world.listeners)
    world.notes.append(
        f"{told} events told, {cuts} cuts, {refused} tokens refused, {len(world.created)} tasks created by replicas"
    )


def _check_created(world: FrontEndsWorld, stream: list[Event]) -> Iterator[Violation]:
    """Check that each task that a replica created is in the ledger once, unless the ledger lost it."""
    times = Counter(event.data["title"] for event in stream if event.type == "task.created")
    for one in world.created:
        is_answered = one.answer.done() and one.answer.exception() is None
        must_be = one.title.endswith(WRITING) and is_answered and one.at > world.forgiven_until
        if times[one.title] > 1 or (must_be and not times[one.title]):
            yield Violation(
                "a replica's command is carried out once", WRITING, f"{one.title}: {times[one.title]} times"
            )


def _is_equal(world: FrontEndsWorld, user: str, replica: DrivenReplica) -> bool:
    """Return whether a replica has the tasks of the list; those of one append may be in another order."""
    shown, listed = replica.tasks(), _listed(world, user)
    return len(shown) == len(listed) and {task["id"]: task for task in shown} == {task["id"]: task for task in listed}


def _has_ended(listener: Listener, head: int) -> bool:
    return bool(listener.told) and listener.told[-1].position == head and not listener.told[-1].more


def _listed(world: FrontEndsWorld, user: str) -> list[dict[str, Any]]:
    headers = {"Authorization": f"Bearer {token(user)}"}
    tasks: list[dict[str, Any]] = httpx.get(f"{world.gateway_url}/api/{user}/tasks", headers=headers).json()
    return tasks


def _until(deadline: float, is_so: Callable[[], bool]) -> bool:
    while not (so := is_so()) and time.monotonic() < deadline:
        time.sleep(0.1)
    return so


def needs_node() -> str | None:
    return None if shutil.which("node") else "node is not installed"


FRONT_ENDS: Final[dict[str, Scenario]] = {
    "replicas": Scenario(
        faults=tuple(
            map(
                with_commands,
                (
                    nemesis.kill_gateway,
                    nemesis.kill_projector,
                    nemesis.kill_postgres,
                    nemesis.freeze_postgres,
                    nemesis.kill_redis,
                    nemesis.freeze_redis,
                    nemesis.cut_at_statement,
                    erase,
                    take_back,
                ),
            )
        ),
        count=27,
        pause=1.0,
        weight=2,
        world=FrontEndsWorld,
        options=Options(gateways=2, clients=2),
        needs=needs_node,
        check=front_ends_are_right,
    ),
}
