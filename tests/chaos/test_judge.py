"""Checks besides the answers: whether it healed, what logs show, what is left running, whether faults happened.

Seen to fail: without any one of the rules. The worlds consist only of what a rule looks at; nothing runs in them.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from runtime.database import open_database
from runtime.settings import Settings
from tests.chaos import judge
from tests.chaos.by_hand import operation
from tests.chaos.checker import Violation
from tests.chaos.judge import check_log, heal, left_running
from tests.chaos.ledger import read_stored
from tests.chaos.memory import Memory
from tests.chaos.special import (
    all_accepted_are_answered,
    answers_were_lost,
    the_clock_jumped,
    the_disk_was_full,
    the_others_go_on,
)
from tests.chaos.world import UnhealthyError
from tests.ledger import appended, of
from tests.servers import SECRET, Database, run_async

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIi.c2ln"
ENDED = Violation("a process ends as it should", "all", "SIGTERM: exit code 1")


def rules(violations: Any) -> list[str]:
    return [violation.rule for violation in violations]


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"traceback":["x"]}', "a traceback"),
        ("Traceback (most recent call last):", "a traceback"),
        ("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIi", "a token"),
        (f"secret={SECRET}", "the secret"),
        *((f"the title {word} user1.7", "a title") for word in ("Milk", "äpfel", "Ärger", "zebra")),
    ],
)
def test_what_no_log_may_show_is_found(line: str, what: str) -> None:
    assert rules(check_log(f"fine\n{line}\nfine")) == [f"no log shows {what}"]


def test_a_log_without_any_of_that_is_fine() -> None:
    assert rules(check_log('{"event":"request","user_id":"user1","request_id":"user1.7"}\nMilk\n')) == []
    assert rules(check_log(f"Open the console:\n  http://127.0.0.1:8000/console#token={JWT}")) == []
    assert rules(check_log(f'{{"path":"/console#token={JWT}"}}')) == ["no log shows a token"]


class Healing:
    """A world whose projection is behind at the first `behind` looks; a `sick` world does not heal."""

    urls = ("",)

    def __init__(self, behind: int = 0, *, sick: bool = False, parked: frozenset[str] = frozenset()) -> None:
        self.left, self.sick, self.parked = behind, sick, parked
        self.stopped, self.given = False, 0.0
        self.background = SimpleNamespace(run=lambda _: None)
        self.load = SimpleNamespace(stop=lambda: setattr(self, "stopped", True))

    def wait_until_healthy(self, seconds: float) -> None:
        self.given = seconds
        if self.sick:
            raise UnhealthyError(f"not within {seconds} s")

    def pause(self, seconds: float) -> None:
        """Do nothing, as no time has to pass."""

    async def lagging(self, _url: str) -> list[str]:
        self.left -= 1
        return ["user1"] if self.left >= 0 else []


@pytest.mark.parametrize(
    ("world", "seconds", "broken"),
    [
        (Healing(), 10, []),
        (Healing(behind=3), 10, []),
        (Healing(sick=True), 10, ["it heals by itself"]),
        (Healing(behind=10**9), 0, ["lag is 0 within 0 s"]),
        (Healing(behind=10**9, parked=frozenset(["user1"])), 0, []),
    ],
)
def test_a_world_that_does_not_heal_in_time_is_found(
    monkeypatch: pytest.MonkeyPatch, world: Any, seconds: float, broken: list[str]
) -> None:
    monkeypatch.setattr(judge, "lagging", world.lagging)
    assert rules(heal(world, seconds)) == broken
    assert world.stopped
    assert world.given == 5


def test_with_patience_it_may_take_so_many_times_as_long(monkeypatch: pytest.MonkeyPatch) -> None:
    world: Any = Healing(behind=10**9)
    monkeypatch.setattr(judge, "lagging", world.lagging)
    assert rules(heal(world, 0.001, patience=20)) == ["lag is 0 within 0 s"]
    assert world.given == 100


async def _one_event(url: str) -> None:
    async with open_database(Settings(_env_file=None, database_url=url), "owner") as database:
        await appended(database, of("anna"))
        await database.fetch('UPDATE tasklog.events SET data = \'{"title":"Oat milk","description":null}\'')


def test_every_check_is_made_of_what_happened(database: Database, tmp_path: Path) -> None:
    """One event that nobody requested, changed later and not projected; a 500, a traceback and a complaint."""
    run_async(_one_event(database.owner))
    log = tmp_path / "services.log"
    log.write_text("Traceback (most recent call last):\n")
    read = operation("list", 1, 200, headers={"etag": '"7"'}, answer=b"[]")
    load = SimpleNamespace(history=[read, operation("get", 2, 500, answer=b'{"detail":"No"}')])
    judged: Any = SimpleNamespace(
        urls=[database.owner],
        stored=lambda: run_async(read_stored(database.owner, judged.parked)),
        parked=frozenset(),
        load=load,
        log=log,
        memory=Memory(),
        forgiven_until=0,
        complaints=[ENDED],
    )
    broken = {
        "every event was asked for",
        "no read is from the future",
        "no 500 ever",
        "chains verify",
        "a head is its stream's end",
        "./run verify finds nothing",
        "lag is 0",
        "no log shows a traceback",
        "a process ends as it should",
    }
    assert set(rules(judge.judge(judged))) == broken
    judged.parked = frozenset(["anna"])
    assert set(rules(judge.judge(judged))) == broken - {"./run verify finds nothing", "lag is 0"}


def test_a_process_that_is_left_running_is_found(tmp_path: Path) -> None:
    """By its directory, its arguments or its environment, which it has as soon as it prints something."""
    sleep = [sys.executable, "-c", "print(flush=True); input()"]
    given: list[dict[str, Any]] = [
        {"args": sleep, "cwd": tmp_path},
        {"args": [*sleep, str(tmp_path)]},
        {"args": sleep, "env": {"DATA_DIR": str(tmp_path)}},
        {"args": sleep},
    ]
    processes = [subprocess.Popen(**one, stdin=subprocess.PIPE, stdout=subprocess.PIPE) for one in given]
    judged: Any = SimpleNamespace(directory=tmp_path, patience=1)
    try:
        for process in processes:
            assert process.stdout is not None
            assert process.stdout.readline() == b"\n"
        found = {int(line.split()[0]) for line in left_running(judged, seconds=0)}
    finally:
        for process in processes:
            process.communicate()
    assert found == {process.pid for process in processes[:3]}
    assert left_running(judged, seconds=0) == []


def test_a_process_that_ends_in_time_is_not_left_running(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    looks = [{7: "postgres"}, {7: "postgres"}, {}]
    monkeypatch.setattr(judge, "processes_of", lambda _directory: looks.pop(0))
    judged: Any = SimpleNamespace(directory=tmp_path, patience=1)
    assert left_running(judged, seconds=60) == []
    assert looks == []


def world(rows: list[dict[str, Any]] | None = None, **more: Any) -> Any:
    """Return what the checks of scenarios look at: the rows of their statement, a history, a log, proxies."""
    return SimpleNamespace(execute=lambda _statement: rows, **more)


PARKED = {"user_id": "user0", "position": 7, "projected": 6, "attempts": 2, "error": "unknown event type"}


@pytest.mark.parametrize(
    ("rows", "parked", "status", "broken"),
    [
        ([PARKED], ["user0"], 200, 0),
        ([PARKED | {"projected": 7}], ["user0"], 200, 1),
        ([PARKED | {"projected": 5}], ["user0"], 200, 1),
        ([PARKED | {"attempts": 0}], ["user0"], 200, 1),
        ([PARKED | {"error": None}], ["user0"], 200, 1),
        ([PARKED], ["user0", "user1"], 200, 1),
        ([PARKED], ["user0"], 503, 1),
    ],
)
def test_who_is_not_parked_right_before_an_impossible_event_is_found(
    rows: list[dict[str, Any]], parked: list[str], status: int, broken: int
) -> None:
    load = SimpleNamespace(history=[operation("list", 1, status, user="user2"), operation("list", 1, 200)])
    found = rules(the_others_go_on(world(rows, parked=parked, load=load)))
    assert found == ["a user who cannot be projected is parked"] * broken


@pytest.mark.parametrize(
    ("status", "gave_up", "marker", "broken"),
    [(None, False, "w1", 1), (None, True, "w1", 0), (None, False, "w2", 0), (200, False, "w1", 0)],
)
def test_a_write_that_happened_and_was_cut_off_is_found(
    status: int | None, gave_up: bool, marker: str, broken: int
) -> None:
    load = SimpleNamespace(history=[operation("toggle", 1, status, marker=marker, gave_up=gave_up)])
    found = rules(all_accepted_are_answered(world([{"marker": "w1"}], load=load)))
    assert found == ["every accepted request is answered"] * broken


def test_a_fault_that_was_not_there_is_found(tmp_path: Path) -> None:
    absent = ["the fault was there"]
    log = tmp_path / "postgres.log"
    log.write_text("ready")
    assert rules(the_disk_was_full(world(directory=tmp_path))) == absent
    log.write_text("PANIC: could not write: No space left on device\n")
    assert rules(the_disk_was_full(world(directory=tmp_path))) == []
    for lost in ((0, 0), (1, 0), (0, 1), (1, 1)):
        proxies: dict[str, Any] = {
            f"{name}_proxy": SimpleNamespace(lost=n) for name, n in zip(("gateway", "projector"), lost, strict=True)
        }
        assert rules(answers_were_lost(world(**proxies))) == absent * lost.count(0)
    now = datetime.now(UTC)
    assert rules(the_clock_jumped(world([{"newest": None}]))) == absent
    assert rules(the_clock_jumped(world([{"newest": now}]))) == absent
    assert rules(the_clock_jumped(world([{"newest": now + timedelta(hours=1)}]))) == []
