"""What scenarios require besides the promises to all, on histories and figures written by hand.

Seen to fail: without any one of the conditions.
"""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.alarms import check_alarm
from tests.chaos.alarms_world import Alarm
from tests.chaos.by_hand import STEPS, operation, stream
from tests.chaos.history import forgiven
from tests.chaos.ledger import Stored
from tests.chaos.memory import Memory, check_memory
from tests.chaos.migrating import reads_do_not_wait
from tests.chaos.moving import moves_are_right
from tests.chaos.moving_world import CellsWorld
from tests.chaos.proxy import Proxy
from tests.chaos.restarts import all_are_answered, all_in_flight_are_answered
from tests.chaos.undoing import Undoer, Undone, check_undone
from tests.prometheus import hurried
from tests.servers import eventually_async


def world(*history: Any, rows: tuple[dict[str, str], ...] = (), patience: float = 1) -> Any:
    return SimpleNamespace(load=SimpleNamespace(history=[*history]), execute=lambda _: rows, patience=patience)


def took(seconds: float, *args: Any, **given: Any) -> Any:
    one = operation(*args, **given)
    one.invoked, one.returned = 10.0, 10.0 + seconds
    return one


@pytest.mark.parametrize(("peak", "broken"), [(400, 0), (401, 1)])
def test_a_process_over_400_mb_is_found(peak: int, broken: int) -> None:
    memory = Memory()
    memory.peak["gateway"] = peak
    assert [violation.rule for violation in check_memory(memory)] == ["a process stays under 400 MB"] * broken


def test_the_peak_of_a_process_is_kept_when_it_has_ended() -> None:
    take = "x = b'x' * 100 * 2**20; del x; print(flush=True); input()"
    memory = Memory()
    with subprocess.Popen(
        [sys.executable, "-c", take], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory.note("gateway", process.pid, idle=True)
        process.communicate("\n")
    memory.note("gateway", process.pid)
    memory.note("gateway", os.getpid(), idle=False)
    assert memory.peak["gateway"] > 100
    assert 0 < memory.idle["gateway"] < 100
    assert str(memory) == f"gateway {memory.peak['gateway']} MB at most ({memory.idle['gateway']} idle)"


def test_what_was_told_before_a_loss_is_forgiven_and_what_came_after_it_is_not() -> None:
    before, after = took(1, "toggle", 1, 200), took(1, "toggle", 1, 200)
    after.invoked = 11.0
    told = forgiven([before, after], 11.0)
    assert [one.status for one in told] == [None, 200]
    assert [one.marker for one in told] == [before.marker, after.marker]
    assert before.status == 200


@pytest.mark.parametrize(
    ("seconds", "gave_up", "recorded", "patience", "broken"),
    [
        (0.5, False, False, 1, ["a request in flight is answered"]),
        (0.5, False, False, 2, []),
        (0.1, False, False, 1, []),
        (0.1, False, True, 1, ["every accepted request is answered"]),
        (8.0, True, False, 1, []),
    ],
)
def test_a_request_that_was_read_and_cut_off_is_found(
    seconds: float, gave_up: bool, recorded: bool, patience: float, broken: list[str]
) -> None:
    cut = took(seconds, "toggle", 1, None, marker="w1", gave_up=gave_up)
    rows = ({"marker": "w1"},) if recorded else ()
    judged = world(cut, took(5, "toggle", 1, 200), rows=rows, patience=patience)
    assert [violation.rule for violation in all_in_flight_are_answered(judged)] == broken


@pytest.mark.parametrize(("status", "user", "broken"), [(None, "user1", 1), (None, "probe", 0), (503, "user1", 0)])
def test_a_client_without_an_answer_is_found(status: int | None, user: str, broken: int) -> None:
    found = list(all_are_answered(world(operation("get", 1, status, user=user))))
    assert [violation.rule for violation in found] == ["every request is answered"] * broken


@pytest.mark.parametrize(
    ("kind", "seconds", "patience", "broken"),
    [("get", 1.1, 1, 1), ("get", 0.9, 1, 0), ("get", 1.1, 2, 0), ("toggle", 1.1, 1, 0)],
)
def test_a_read_that_waits_for_a_migration_is_found(kind: str, seconds: float, patience: float, broken: int) -> None:
    found = list(reads_do_not_wait(world(took(seconds, kind, 1, 200), patience=patience)))
    assert [violation.rule for violation in found] == ["reads do not wait for a migration"] * broken


@pytest.mark.parametrize(
    ("undone", "wrong", "broken"),
    [
        (Undone(at=2, position=2, undoes=1), [], []),
        (Undone(at=2, position=3, undoes=1), [], ["an undo is in the ledger"]),
        (Undone(at=2, position=2, undoes=7), [], ["an undo is in the ledger"]),
        (Undone(at=2, position=9, undoes=1), [], ["an undo is in the ledger"]),
        (Undone(at=1, position=9, undoes=1), [], []),
        (Undone(at=2, position=2, undoes=1), ["an undo of 1 gave []"], ["an undo gives back what was"]),
    ],
    ids=["there", "elsewhere", "of another", "lost", "forgiven", "wrong"],
)
def test_an_acknowledged_undo_that_is_lost_or_gave_back_something_else_is_found(
    undone: Undone, wrong: list[str], broken: list[str]
) -> None:
    undoer = Undoer(user="anna", ports=[], rng=random.Random(1), undone=[undone], wrong=wrong)
    events = [event._replace(metadata_text='{"actor":"anna"}') for event in stream(STEPS)]
    events[1] = events[1]._replace(metadata_text='{"actor":"anna","undoes":1}')
    assert [violation.rule for violation in check_undone(undoer, events, since=1.5)] == broken


@pytest.mark.parametrize(
    ("fired", "firing", "broken"),
    [
        ({"TasklogProjectorDown"}, set(), []),
        ({"TasklogProjectorDown", "TasklogErrors"}, set(), []),
        (set(), set(), ["an alert tells of a fault"]),
        ({"TasklogProjectorDown"}, {"TasklogProjectorDown"}, ["an alert ends with its fault"]),
        ({"TasklogProjectorDown", "TasklogUserParked"}, set(), ["an alert tells of the right fault"]),
    ],
    ids=["right", "busy", "silent", "endless", "another"],
)
def test_an_alert_that_is_missing_wrong_or_stays_is_found(fired: set[str], firing: set[str], broken: list[str]) -> None:
    alarm = Alarm(fault="no_projector", alerts=frozenset({"TasklogProjectorDown"}), firing=frozenset(firing))
    alarm.fired = dict.fromkeys(fired, 1.0)
    assert [violation.rule for violation in check_alarm(alarm)] == broken


@pytest.mark.parametrize("too", [set(), {"TasklogProcessDown"}], ids=["alone", "beside it"])
def test_a_projector_that_is_too_slow_for_a_scrape_is_no_other_fault(too: set[str]) -> None:
    """Then it counts as a process that is down, too."""
    alarm = Alarm(fault="no_database", alerts=frozenset())
    alarm.fired = dict.fromkeys({"TasklogProjectorDown", *too}, 1.0)
    assert len([*check_alarm(alarm)]) == (0 if too else 1)


def test_rules_in_a_hurry_have_shorter_times_and_the_same_bounds() -> None:
    rules = "        expr: max(x) > 30 and rate(y[5m]) > 1\n        for: 1h\n"
    assert hurried(rules) == "        expr: max(x) > 30 and rate(y[6000ms]) > 1\n        for: 72000ms\n"
    assert hurried(rules, at_once=True).endswith("for: 0s\n")


@pytest.mark.parametrize(
    ("twice", "owner", "status", "broken"),
    [
        (set(), "anna", 421, []),
        ({"anna"}, "anna", 421, ["a user is in one cell"]),
        (set(), "bob", 421, ["a task id is one user's"]),
        (set(), "anna", 200, ["the fault was there"]),
    ],
    ids=["right", "in two", "one id for two", "nobody moved"],
)
def test_a_user_in_two_cells_and_an_id_of_two_users_are_found(
    twice: set[str], owner: str, status: int, broken: list[str]
) -> None:
    judged = CellsWorld.__new__(CellsWorld)
    streams = {"anna": stream(STEPS), owner: stream(STEPS, owner)}
    found = Stored(streams=streams, heads={}, checkpoints={}, rows={})
    load = SimpleNamespace(history=[operation("list", 1, status)])
    vars(judged).update(stored=lambda: found, twice=twice, load=load, notes=[])
    assert [violation.rule for violation in moves_are_right(judged)] == broken[:1] * (2 if owner == "bob" else 1)


async def test_a_moved_address_leads_only_new_connections_elsewhere(tmp_path: Path) -> None:
    async def server(name: str) -> asyncio.Server:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline():
                writer.write(f"{name}\n".encode())
            writer.close()
            await writer.wait_closed()

        return await asyncio.start_unix_server(say, tmp_path / name)

    async def asked(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
        reader, writer = connection
        writer.write(b"who\n")
        return await asyncio.wait_for(reader.readline(), 10)

    proxy = Proxy(str(tmp_path / "old"), postgres=False)
    servers = [await server("old"), await server("new")]
    await proxy.open()
    try:
        kept = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await asked(kept) == b"old\n"
        proxy.lead_new_to(str(tmp_path / "new"))
        fresh = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert (await asked(kept), await asked(fresh)) == (b"old\n", b"new\n")
        for _, writer in (kept, fresh):
            writer.close()
            await writer.wait_closed()
        await eventually_async(lambda: not proxy._links)
    finally:
        await proxy.end()
        for one in servers:
            one.close()
            await one.wait_closed()
