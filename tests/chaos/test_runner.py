"""A fault only counts if it happened: one that nobody noticed has tested nothing.

Seen to fail: with every fault counted, and with each of these faults always reported as happened.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from runtime.settings import SettingsError
from tests.chaos import nemesis, supervised
from tests.chaos.nemesis import Fault
from tests.chaos.options import Options
from tests.chaos.proxy import Proxy, _Link
from tests.chaos.runner import inject
from tests.chaos.scenario import Scenario
from tests.chaos.scenarios import SCENARIOS
from tests.chaos.supervised import SupervisedWorld
from tests.chaos.world import World

RNG = random.Random(1)


class Idle(World):
    """A world in which nothing runs and no time passes, except for what it is given."""

    def __init__(self, **given: Any) -> None:
        self.faults = 0
        vars(self).update(given)

    def pause(self, seconds: float) -> None:
        """Do nothing, as no time has to pass."""

    def observe(self, *, idle: bool = False) -> None:
        """Do nothing, as nothing runs."""


class Tries:
    """A fault that happens at some of its attempts."""

    def __init__(self, *happens: bool) -> None:
        self.left = [*happens]
        self.tries = 0

    def __call__(self, _world: World, _rng: random.Random) -> bool:
        self.tries += 1
        return self.left.pop(0) if self.left else True


def test_a_fault_that_did_not_happen_is_tried_again_and_does_not_count() -> None:
    one, two = Tries(False, True), Tries(False, False, True)
    world = Idle()
    inject(world, Scenario(faults=(one, two), count=2, pause=0.1), RNG, seconds=60)
    assert (world.faults, one.tries, two.tries) == (2, 2, 3)


def test_the_time_ends_a_scenario_in_which_nothing_happens() -> None:
    world = Idle()
    never: Fault = lambda _world, _rng: False  # noqa: E731 - a fault
    inject(world, Scenario(faults=(never,), count=2, pause=0.1), RNG, seconds=0.01)
    assert world.faults == 0


def test_every_fault_of_a_scenario_says_whether_it_happened() -> None:
    faults = {fault for scenario in SCENARIOS.values() for fault in scenario.faults}
    assert {fault.__annotations__["return"] for fault in faults} == {"bool"}


def test_a_planted_fault_counts_if_the_services_came_to_it(tmp_path: Path) -> None:
    world = Idle(directory=tmp_path)
    assert nemesis.planted(world, RNG) is False
    world.pause = lambda _seconds: (tmp_path / "planted").write_bytes(b".")  # type: ignore[method-assign,assignment]
    inject(world, Scenario(faults=(nemesis.planted,), count=1), RNG, seconds=60)
    assert world.faults == 1
    world.pause = lambda _seconds: None  # type: ignore[method-assign,assignment]
    assert nemesis.planted(world, RNG) is False


def test_a_toggle_is_lost_if_the_ledger_shows_it() -> None:
    for rows in ([], [()]):
        assert nemesis.lose_toggle(Idle(execute=lambda *_, rows=rows: rows), RNG) is bool(rows)


def test_postgres_is_started_until_it_runs() -> None:
    """A process of the killed server is still alive and prevents the start."""
    outcomes = [SettingsError("Postgres did not start"), None]

    def start() -> None:
        if outcome := outcomes.pop(0):
            raise outcome

    Idle(options=Options(), postgres=SimpleNamespace(start=start)).start_postgres()
    assert outcomes == []


async def test_a_closed_proxy_refuses_and_keeps_its_port() -> None:
    """Seen to fail without the socket that holds the port."""
    proxy = Proxy("nowhere")
    await proxy.open()
    port = proxy.port
    try:
        for _ in range(2):
            await proxy.close()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", port)
            with socket.socket() as other, pytest.raises(OSError, match="in use"):
                other.bind(("127.0.0.1", port))
            await proxy.open()
            assert proxy.port == port
    finally:
        await proxy.end()


class Statements:
    """A proxy, and a background that sends some statements after each call."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.proxy = Proxy("nowhere")

    def call(self, function: Callable[..., Any], *args: Any) -> Any:
        answer = function(*args)
        for _ in range(self.number):
            self.proxy._count()
        return answer


@contextmanager
def process(*, ended: bool = False) -> Iterator[SimpleNamespace]:
    """Yield a service whose process has ended already, or runs; its starts are counted."""
    running = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    if ended:
        running.communicate()
    starts: list[None] = []
    try:
        yield SimpleNamespace(process=running, start=lambda: starts.append(None), starts=starts)
    finally:
        running.kill()
        running.communicate()


@pytest.mark.parametrize(("statements", "ended", "happened"), [(25, False, True), (0, False, False), (25, True, False)])
def test_a_kill_at_a_statement_happens_if_the_statement_comes_and_the_process_lives(
    monkeypatch: pytest.MonkeyPatch, statements: int, ended: bool, happened: bool
) -> None:
    monkeypatch.setattr(nemesis, "_STATEMENT_SECONDS", 0.01)
    background = Statements(statements)
    with process(ended=ended) as service:
        world = Idle(gateways=[service], gateway_proxy=background.proxy, background=background)
        assert nemesis.kill_gateway_at_statement(world, RNG) is happened
        assert len(service.starts) == happened


@pytest.mark.parametrize("ended", [False, True])
def test_a_kill_and_a_stop_happen_to_what_runs(ended: bool) -> None:
    with process(ended=ended) as service:
        world = Idle(valkey=service, projectors=[service])
        assert nemesis.freeze_redis(world, RNG) is not ended
        assert nemesis.kill_projector(world, RNG) is not ended
        assert len(service.starts) == 1


def test_backends_are_terminated_if_there_are_any() -> None:
    for rows, happened in (([], False), ([(False,)], False), ([(False,), (True,)], True)):
        assert nemesis.terminate_backends(Idle(execute=lambda *_, rows=rows: rows), RNG) is happened


def test_connections_are_cut_if_there_are_any() -> None:
    background = Statements(25)
    world = Idle(gateway_proxy=background.proxy, projector_proxy=background.proxy, background=background)
    assert nemesis.cut_at_statement(world, RNG) is False
    cut: list[str] = []
    transports = (SimpleNamespace(transport=SimpleNamespace(abort=lambda end=end: cut.append(end))) for end in "cs")
    background.proxy._links.add(_Link(client=cast(Any, next(transports)), server=cast(Any, next(transports))))
    assert nemesis.cut_at_statement(world, RNG) is True
    assert cut == ["c", "s"]


@pytest.mark.parametrize("lost", [0, 1])
def test_commits_are_lost_if_there_are_any(lost: int) -> None:
    """Answers that were lost before do not count."""
    one, two = (SimpleNamespace(lost=3, lose_commits=lambda _number: None) for _ in range(2))
    world = Idle(gateway_proxy=one, projector_proxy=two, background=Statements(0))
    world.pause = lambda _seconds: setattr(two, "lost", 3 + lost)  # type: ignore[method-assign,assignment]
    assert nemesis.lose_commits(world, RNG) is bool(lost)


@pytest.mark.parametrize("before", ["+0", "+3600", "-3600"])
def test_the_clock_jumps_if_it_is_another_time(tmp_path: Path, before: str) -> None:
    jumps = set()
    for seed in range(20):
        (tmp_path / "clock").write_text(before)
        happened = nemesis.jump(Idle(directory=tmp_path), random.Random(seed))
        jumps.add((happened, (tmp_path / "clock").read_text() != before))
    assert jumps == {(True, True), (False, False)}


def test_a_child_is_killed_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    world = SupervisedWorld.__new__(SupervisedWorld)
    killed: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, _signal: killed.append(pid))
    for children, happened in (([], False), ([7], True)):
        monkeypatch.setattr(world, "children", lambda children=children: children)
        assert supervised.kill_child(world, RNG) is happened
    assert killed == [7]
