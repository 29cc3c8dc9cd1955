"""Front ends beside writers and faults: what they hold and were told ends as the list and the ledger say."""

from __future__ import annotations

import asyncio
import math
import random
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial, wraps
from typing import Any, Final

import httpx

from tasklog.embedded.backup import back_up
from tests.chaos import nemesis
from tests.chaos.checker import Violation
from tests.chaos.fold import Event
from tests.chaos.front_ends_world import ERASE, ERASED, UNDOING, WRITING, FrontEndsWorld
from tests.chaos.ledger import read_stored
from tests.chaos.listening import Listener
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.scenario import Scenario
from tests.chaos.told import History, check_refused, check_told
from tests.chaos.undoing import check_undone
from tests.chaos.world import World
from tests.clients.driven import DrivenReplica
from tests.servers import token

_END_SECONDS: Final = 60.0


def take_back(world: World, rng: random.Random) -> bool:
    """Back the ledger up, let everybody go on for a while, and restore it."""
    assert isinstance(world, FrontEndsWorld)
    backup = world.directory / f"backup-{len(world.histories)}"
    back_up(world.postgres, world.directory, backup)
    world.give_commands(rng)
    world.pause(rng.uniform(0.2, 1))
    world.resting |= {*world.services, world.postgres}
    for service in world.services:
        assert service.process is not None
        service.process.kill()
        service.process.wait(10)
    world.restore(backup)
    shutil.rmtree(backup)
    for service in world.services:
        service.start()
    world.resting -= {*world.services, world.postgres}
    world.wait_until_healthy(20 * world.patience)
    return True


def erase(world: World, _: random.Random) -> bool:
    """Erase a person."""
    assert isinstance(world, FrontEndsWorld)
    ((position,),) = world.execute(ERASE, ERASED)
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
    world.end_undoing()
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
            yield from check_refused(user, listener.refused, sorted([*losses, *world.erasures]))
            continue
        histories = [History(moment, streams.get(user, [])) for moment, streams in world.histories]
        yield from check_told(user, listener.told, [*histories, History(math.inf, last.get(user, []))])
        yield from check_refused(user, listener.refused, losses)
    yield from _check_created(world, last.get(WRITING, []))
    yield from check_undone(world.undoer, last.get(UNDOING, []), world.forgiven_until)
    told, refused = (
        sum(map(len, lists)) for lists in zip(*((x.told, x.refused) for x in world.listeners), strict=True)
    )
    cuts = sum(listener.cuts for listener in world.listeners)
    world.notes.append(
        f"{told} events told, {cuts} cuts, {refused} tokens refused, {len(world.created)} tasks created by replicas, "
        f"{len(world.undoer.undone)} undos, {len(losses)} restores"
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
