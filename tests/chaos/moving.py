"""`./run move` under load: users move between two cells while they write, and the move or a process is killed.

Clients ask both cells of a user who has moved once. So a cell that takes writes of a user of the other one is found:
such a write is not in the ledger where the user's stream is.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from tasklog.embedded.postgres import Postgres
from tasklog.supervision.service import Service
from tests.chaos.checker import Violation
from tests.chaos.moving_world import Cell, CellsWorld
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.scenario import Scenario
from tests.chaos.world import HEALTHY_SECONDS, UnhealthyError, World

_STATEMENTS: Final = 33
"""A move takes at least this many statements in each ledger; a fault happens before one of them."""
_MOVE_SECONDS: Final = 60.0
"""How long one run of the command may take, in seconds."""
_FINISH_SECONDS: Final = 30.0
"""How soon the same command must have finished a move that was interrupted, in seconds."""
_MOVED: Final = 421


@dataclass(kw_only=True)
class Moving:
    """A user who moves: from where, to where, and the command that does it."""

    world: CellsWorld
    user: str
    source: Cell
    target: Cell
    command: subprocess.Popen[str] = field(init=False)

    def begin(self) -> None:
        """Start the command, under the planted fault if there is one."""
        planted = self.world.options.planted
        program = ["tests.chaos.planted", planted] if planted else ["tasklog"]
        own = {"DATABASE_URL": self.source.owner_url, "MOVE_TO": self.target.owner_url}
        self.command = subprocess.Popen(
            [sys.executable, "-m", *program, "move", self.user, "--cell", self.target.name],
            env=os.environ | own | {"DATA_DIR": str(self.world.directory)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def interrupt(self, rng: random.Random, act: Callable[[], bool]) -> bool:
        """Act before one of the command's statements; return False if it did not come, or the act had no effect."""
        reached, effects = threading.Event(), list[bool]()
        proxy, call = rng.choice([self.source, self.target]).moves, self.world.background.call

        def acted() -> None:
            effects.append(act())
            reached.set()

        call(proxy.at_statement, rng.randrange(1, _STATEMENTS), acted)
        deadline = time.monotonic() + _MOVE_SECONDS
        while not reached.wait(0.02) and self.command.poll() is None and time.monotonic() < deadline:
            pass
        call(proxy.at_statement, 0, None)
        return any(effects)

    def end(self) -> None:
        """Wait for the end, and run the same command again until it succeeds, as its document says; then look."""
        deadline = time.monotonic() + _FINISH_SECONDS * self.world.patience
        while (said := self._failure()) is not None:
            if time.monotonic() > deadline:
                self.world.complain("a move is finished by the same command", f"{self.user}: {said}")
                return
            self.world.pause(0.2)
            self.begin()
        self.world.places[self.user] = self.target.name
        self._check_places()

    def _failure(self) -> str | None:
        """Return what a command said that failed, None if it succeeded; the log has it, too."""
        try:
            said, _ = self.command.communicate(timeout=_MOVE_SECONDS * self.world.patience)
        except subprocess.TimeoutExpired:
            self.command.kill()
            said, _ = self.command.communicate()
        with self.world.log.open("a") as log:
            log.write(said)
        return None if self.command.returncode == 0 else f"code {self.command.returncode}: {said[-300:]}"

    def _check_places(self) -> None:
        """Check that the old cell sends everybody to the new one, which answers."""
        world = self.world
        try:
            world.wait_until_healthy(HEALTHY_SECONDS * world.patience)
        except UnhealthyError as error:
            world.complain("it heals by itself", str(error))
            return
        user, there = self.user, self.target.name
        old, new = world.ask(user, self.source), world.ask(user, self.target)
        if old is None or old.status != _MOVED or old.headers.get("tasklog-cell") != there:
            world.complain("the old cell answers 421 and names the new one", f"{user} to {there}: {old}")
        if new is None or new.status != 200:
            world.complain("the new cell answers", f"{user} to {there}: {new}")


Chosen: TypeAlias = Callable[[Moving, random.Random], tuple[Cell, Service | Postgres]]
"""Chooses what is killed during a move, and its cell."""


def move(world: World, rng: random.Random) -> bool:
    """Move a user, and disturb nothing."""
    _begun(world, rng).end()
    return True


def kill_move(world: World, rng: random.Random) -> bool:
    """Kill the command at one of its statements."""
    moving = _begun(world, rng)
    happened = moving.interrupt(rng, lambda: _kill(moving.command))
    moving.end()
    return happened


def cut_move(world: World, rng: random.Random) -> bool:
    """Cut the command's connections to one ledger at one of its statements."""
    moving = _begun(world, rng)
    happened = moving.interrupt(rng, rng.choice([moving.source, moving.target]).moves.cut)
    moving.end()
    return happened


def killing(chosen: Chosen) -> Fault:
    """Return the fault that kills a process of a cell at one of the command's statements, and starts it again."""

    def fault(world: World, rng: random.Random) -> bool:
        moving = _begun(world, rng)
        cell, part = chosen(moving, rng)
        process = part.process
        assert process is not None
        world.observe()
        happened = moving.interrupt(rng, lambda: _kill(process))
        if happened:
            process.wait(10)
            cell.start(part)
        moving.end()
        return happened

    fault.__name__ = chosen.__name__
    return fault


def kill_source_postgres(moving: Moving, _: random.Random) -> tuple[Cell, Postgres]:
    return moving.source, moving.source.postgres


def kill_target_postgres(moving: Moving, _: random.Random) -> tuple[Cell, Postgres]:
    return moving.target, moving.target.postgres


def kill_a_gateway(moving: Moving, rng: random.Random) -> tuple[Cell, Service]:
    cell = rng.choice([moving.source, moving.target])
    return cell, cell.gateways[0]


def kill_a_projector(moving: Moving, rng: random.Random) -> tuple[Cell, Service]:
    cell = rng.choice([moving.source, moving.target])
    return cell, cell.projectors[0]


def moves_are_right(world: World) -> Iterator[Violation]:
    """Check that nobody is in two cells, and that each task id belongs to one user."""
    assert isinstance(world, CellsWorld)
    owners: dict[int, set[str]] = defaultdict(set)
    for user, stream in world.stored().streams.items():
        for event in stream:
            owners[event.task_id].add(user)
    for user in sorted(world.twice):
        yield Violation("a user is in one cell", user, "has a stream in both")
    for task, users in owners.items():
        if len(users) > 1:
            yield Violation("a task id is one user's", ", ".join(sorted(users)), f"task {task}")
    refused = sum(one.status == _MOVED for one in world.load.history)
    world.notes.append(f"{refused} requests were sent to the other cell (421)")
    if not refused:
        yield Violation("the fault was there", "all", "no client was sent to the other cell")


def _begun(world: World, rng: random.Random) -> Moving:
    """Begin to move some user to the other cell."""
    assert isinstance(world, CellsWorld)
    user = rng.choice([*world.places])
    here = world.places[user]
    there = "b" if here == "a" else "a"
    moving = Moving(world=world, user=user, source=world.cells[here], target=world.cells[there])
    moving.begin()
    return moving


def _kill(process: subprocess.Popen[str] | subprocess.Popen[bytes]) -> bool:
    if process.poll() is not None:
        return False
    os.kill(process.pid, signal.SIGKILL)
    return True


_OPTIONS: Final = Options(users=3, clients=3, roams=True)
_FAULTS: Final = (
    kill_move,
    killing(kill_source_postgres),
    killing(kill_target_postgres),
    move,
    cut_move,
    killing(kill_a_gateway),
    killing(kill_a_projector),
)

MOVES: Final[dict[str, Scenario]] = {
    "move-between-cells": Scenario(
        faults=_FAULTS, count=40, pause=0.5, weight=2, world=CellsWorld, options=_OPTIONS, check=moves_are_right
    ),
    "short-move": Scenario(
        faults=_FAULTS[:2],
        count=2,
        pause=0.1,
        weight=0,
        world=CellsWorld,
        options=Options(users=2, clients=2, roams=True),
        check=moves_are_right,
    ),
}
