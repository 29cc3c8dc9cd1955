"""`./run status` shows what an operator has to know, and exits with 3 if an operator has to act."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis import Redis

from runtime.version import VERSION
from tests.e2e.shell import Shell
from tests.servers import RunningService, eventually

STATES = "tasklog:job-states"
AWAY = "redis://127.0.0.1:1/0"
FORGE = """UPDATE tasklog.events SET data = '{"title":"Forged"}' WHERE user_id = 'alice' AND position = 3"""


def verification(shell: Shell, code: int = 0) -> Any:
    return shell.json("status", code=code)["verification"]


def test_status_says_that_no_verification_is_on_record(shell: Shell) -> None:
    assert verification(shell) is None
    assert "no verification is on record" in shell.run("status").stdout
    away = shell.run("status", REDIS_URL=AWAY)
    assert away.returncode == 0
    assert "unknown, as Redis does not answer" in away.stdout


def test_status_says_when_the_last_verification_ran_and_what_it_found(shell: Shell) -> None:
    assert shell.run("verify").returncode == 0
    known = verification(shell)
    assert datetime.now(UTC) - datetime.fromisoformat(known["at"]) < timedelta(minutes=1)
    assert (known["streams"], known["events"], known["fault_count"], known["faults"]) == (2, 5, 0, [])
    assert f"{known['at']}: no faults in 5 events" in shell.run("status").stdout
    shell.database.execute(FORGE)
    assert shell.run("verify").returncode == 3
    known = verification(shell, code=3)
    assert [(fault["user_id"], fault["position"]) for fault in known["faults"]] == [("alice", 3)]
    told = shell.run("status")
    assert told.returncode == 3
    assert "1 fault in 5 events" in told.stdout
    assert "FAULT alice, position 3" in told.stdout


def test_a_verification_of_one_user_is_not_taken_for_one_of_the_ledger(shell: Shell) -> None:
    shell.database.execute(FORGE)
    assert shell.run("verify", "bob").returncode == 0
    assert verification(shell) is None
    assert shell.run("verify", "alice").returncode == 3
    assert verification(shell, code=3) is None
    assert "FAULT alice, position 3" in shell.run("status").stdout


def test_a_verification_in_the_background_counts_as_well(shell: Shell) -> None:
    shell.json("verify", "--background")
    assert eventually(lambda: verification(shell))["events"] == 5


def test_status_says_which_version_runs_and_whether_a_projector_lives(shell: Shell, service: RunningService) -> None:
    status = shell.json("status")
    assert (status["version"], status["schema_state"]) == (VERSION, "current")
    assert [projector["version"] for projector in status["projectors"]] == [VERSION]
    assert f"1 projector runs, version {VERSION}" in shell.run("status").stdout
    service.projector.stop(timeout=5)
    assert eventually(lambda: shell.json("status")["projectors"] == [])
    assert "no projector has been heard from" in shell.run("status").stdout
    assert shell.run("status", REDIS_URL=AWAY).stdout.count("unknown, as Redis does not answer") == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "UPDATE tasklog.checkpoints SET parked_until = now() + '1 h', error = 'unreadable' WHERE user_id = 'alice'",
            "alice: unreadable",
        ),
        (
            "UPDATE tasklog.checkpoints SET fault_position = 2, fault_reason = 'cannot happen' WHERE user_id = 'alice'",
            "FAULT alice, position 2: cannot happen",
        ),
        ("DROP INDEX tasklog.checkpoints_rebuild", "FAULT index checkpoints.checkpoints_rebuild is missing"),
    ],
    ids=["a parked user", "a fault of a rebuild", "a fault of the schema"],
)
def test_status_ends_with_3_where_somebody_has_to_act(shell: Shell, change: str, said: str) -> None:
    assert shell.run("status").returncode == 0
    shell.database.execute(change)
    done = shell.run("status")
    assert (done.returncode, done.stderr) == (3, "")
    assert said in done.stdout
    shell.json("status", code=3)


def test_states_of_jobs_that_another_version_wrote_are_shown_as_far_as_they_are_understood(shell: Shell) -> None:
    at = datetime.now(UTC).isoformat()
    known = {"id": "1", "name": "verify", "queued_at": at, "updated_at": at}
    result = {"streams": 2, "events": 5, "fault_count": 0, "faults": [], "new": 1}
    strange: list[Any] = [
        known | {"state": "done", "priority": "high", "result": result},
        known | {"id": "2", "state": "done", "result": {"verdict": "fine"}},
        known | {"id": "3", "updated_at": at[:19]},
        known | {"id": "4", "done": "many"},
        {"id": "5"},
        [6],
    ]
    with Redis.from_url(shell.redis_url) as redis:
        for number, value in enumerate(strange, 1):
            redis.hset(STATES, str(number), json.dumps(value))
        redis.hset(STATES, "7", b"\xff{")
    status = shell.json("status")
    assert {job["id"] for job in status["jobs"]} == {"1", "2"}
    assert (status["verification"]["at"], status["verification"]["events"]) == (at, 5)
    assert shell.run("status").returncode == 0
