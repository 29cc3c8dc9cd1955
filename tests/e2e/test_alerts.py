"""The alerts: their rules are right, and a real Prometheus sees them begin and end while services run.

Seen to fail: with a bound changed in a rule, and with a rule renamed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx
import pytest
import yaml

from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.valkey import Valkey
from tests.admin import LATE, Watched, exported, held, unreachable, value, watched_service
from tests.machine import go_without
from tests.prometheus import OPERATE, RULES, Prometheus, hurried, running_prometheus
from tests.servers import Servers, eventually

ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES)["groups"][0]["rules"]
CAUSED = [name for name in (alert["alert"] for alert in ALERTS) if name != "TasklogNeverVerified"]
CHECKPOINT = "SELECT FROM tasklog.checkpoints WHERE user_id = $1"
LATE_READ = """
    SELECT FROM pg_stat_activity
    WHERE usename = 'tasklog_reader' AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > interval '1.2 s'
"""
CASES = [*(Path(__file__).parent / "alerts").glob("*.yml")]


def program(name: str) -> str:
    """Return the path of a program of Prometheus. Without it, skip the test, or fail in CI."""
    found = shutil.which(name)
    if found is None:
        go_without("test of the alerts", f"{name} is not installed (Debian's package prometheus)")
    return found


def test_the_rules_do_what_their_unit_tests_say() -> None:
    done = subprocess.run(
        [program("promtool"), "test", "rules", *map(str, CASES)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_configuration_is_valid() -> None:
    command = [program("promtool"), "check", "config", str(OPERATE / "prometheus.yml")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_is_seen_to_fire_and_is_explained() -> None:
    names = {alert["alert"] for alert in ALERTS}
    checked = [
        case
        for cases in CASES
        for test in yaml.safe_load(cases.read_text())["tests"]
        for case in test["alert_rule_test"]
    ]
    assert {case["alertname"] for case in checked if case.get("exp_alerts")} == names
    assert {case["alertname"] for case in checked if not case.get("exp_alerts")} <= names
    section = (OPERATE / "metrics.md").read_text().partition("## Alerts\n")[2].partition("\n## ")[0]
    assert set(re.findall(r"\bTasklog[A-Z]\w+", section)) == names


def test_rules_and_dashboard_only_use_metrics_that_there_are(running: Watched) -> None:
    there = exported(running.gateway) | exported(running.projector)
    dashboard = json.loads((OPERATE / "dashboard.json").read_text())
    asked = [target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])]
    used = re.findall(r"\b(?:tasklog|process)_[a-z_]+", " ".join([*asked, *(alert["expr"] for alert in ALERTS)]))
    parts = re.compile(r"_(?:bucket|sum|count)$")
    assert {name for name in used if name not in there and parts.sub("", name) not in there} == set()
    assert len(asked) >= 10


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """Yield a Redis that a test may kill."""
    data_dir = open_data_dir(tmp_path_factory.mktemp("redis"))
    redis = Valkey(data_dir, socket_dir(data_dir))
    redis.start()
    yield redis
    redis.stop(timeout=2)


@pytest.fixture(scope="module")
def running(servers: Servers, valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    log = tmp_path_factory.mktemp("watched") / "service.log"
    with servers.cloned() as database, watched_service(database, valkey.url, log) as found:
        yield found


@pytest.fixture(scope="module")
def prometheus(running: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Run a Prometheus in which alerts fire at once, and look back for a few seconds."""
    program("prometheus")
    targets = [url.removeprefix("http://") for url in (running.gateway, running.projector)]
    rules = hurried(RULES, at_once=True)
    with running_prometheus(tmp_path_factory.mktemp("prometheus"), targets, rules) as started:
        yield started


def begins_while(prometheus: Prometheus, name: str, doing: Callable[[], object]) -> bool:
    """Return whether an alert begins while something is done again and again."""

    def found() -> bool:
        doing()
        return name in prometheus.firing()

    return eventually(found, 60)


def begins_after(prometheus: Prometheus, name: str, doing: Callable[[], object]) -> bool:
    """Return whether an alert begins after something is done, up to three times: scrapes of a busy machine may fail."""
    for _ in range(3):
        doing()
        with suppress(AssertionError):
            return begins(prometheus, name, 20)  # the windows of the rules are 6 s long
    return False


def begins(prometheus: Prometheus, name: str, seconds: float = 60) -> bool:
    return eventually(lambda: name in prometheus.firing(), seconds)


def ends(prometheus: Prometheus, name: str) -> bool:
    return eventually(lambda: name not in prometheus.firing(), 60)


@pytest.fixture
def calm(prometheus: Prometheus) -> Prometheus:
    """Return the Prometheus once no alert fires any more that the faults of these tests cause."""
    for name in CAUSED:
        assert ends(prometheus, name)
    return prometheus


def test_a_parked_user_is_an_alert(running: Watched, calm: Prometheus, user: str) -> None:
    running.park(user)
    assert begins(calm, "TasklogUserParked")
    running.mend(user)
    assert ends(calm, "TasklogUserParked")


def test_an_unreachable_database_and_the_errors_that_it_causes_are_alerts(
    servers: Servers, running: Watched, calm: Prometheus, user: str
) -> None:
    client = running.service.client(user)
    with unreachable(servers, running.database):
        assert eventually(lambda: client.get(f"/api/{user}/tasks").status_code == 503)
        assert begins(calm, "TasklogDatabaseUnreachable")
        assert begins_while(calm, "TasklogErrors", lambda: client.get(f"/api/{user}/tasks"))
    assert ends(calm, "TasklogDatabaseUnreachable")
    assert ends(calm, "TasklogErrors")


def test_a_killed_projector_is_an_alert_until_another_one_runs(running: Watched, calm: Prometheus) -> None:
    projector = running.service.projector
    projector.stop(timeout=5)
    assert begins(calm, "TasklogProjectorDown")
    assert begins(calm, "TasklogProcessDown")
    projector._env["ADMIN_PORT"] = running.projector.rpartition(":")[2]
    projector.start()
    assert ends(calm, "TasklogProjectorDown")
    assert ends(calm, "TasklogProcessDown")


def test_a_projector_that_cannot_go_on_is_an_alert(running: Watched, calm: Prometheus, user: str) -> None:
    client = running.service.client(user)
    assert client.post(f"/api/{user}/tasks", json={"title": "x"}).status_code == 201
    assert eventually(lambda: running.database.execute(CHECKPOINT, user))
    with held(running.database, f"{CHECKPOINT} FOR UPDATE", user):
        assert client.post(f"/api/{user}/tasks", json={"title": "y"}).status_code == 201
        running.database.execute(LATE, user)
        assert begins(calm, "TasklogProjectionLate")
    assert ends(calm, "TasklogProjectionLate")


def test_redis_that_is_killed_is_an_alert_until_it_is_back(valkey: Valkey, running: Watched, calm: Prometheus) -> None:
    valkey.stop(timeout=2)
    assert begins(calm, "TasklogRedisUnreachable")
    valkey.start()
    assert ends(calm, "TasklogRedisUnreachable")


def test_commands_that_wait_for_a_locked_stream_are_alerts(running: Watched, calm: Prometheus, user: str) -> None:
    """Those of three users fill the queues, and have waited for more than a second when the lock is released.

    They are the first requests of their route. Seen to fail without its series from the start.
    """
    users = [f"{user}-{n}" for n in range(3)]
    clients = [running.service.client(name) for name in users]
    for name, client in zip(users, clients, strict=True):
        assert client.post(f"/api/{name}/tasks", json={"title": "x"}).status_code == 201
    route = {"method": "POST", "route": "/api/{user_id}/commands"}
    assert value(running.gateway, "tasklog_http_request_duration_seconds_count", **route) == 0
    calls = [*zip(users, clients, strict=True)] * 4
    seen: list[bool] = []

    def wait_for_the_lock() -> None:
        with ThreadPoolExecutor(len(calls)) as pool:
            with held(running.database, "SELECT FROM tasklog.streams WHERE user_id = ANY ($1) FOR UPDATE", users):
                began, answers = time.monotonic(), [pool.submit(many, *call) for call in calls]
                with suppress(AssertionError):
                    seen.append(begins(calm, "TasklogQueueLong"))
                assert eventually(lambda: time.monotonic() - began > 1.2)
            assert all(answer.result() in {200, 503} for answer in answers)

    assert begins_after(calm, "TasklogSlowWrites", wait_for_the_lock)
    assert any(seen)
    assert ends(calm, "TasklogQueueLong")
    assert ends(calm, "TasklogSlowWrites")


def many(user: str, client: httpx.Client) -> int:
    """Send a hundred commands in one call; return the status of the answer."""
    commands = [{"id": token_hex(16), "type": "task.create", "data": {"title": "x"}} for _ in range(100)]
    return client.post(f"/api/{user}/commands", json={"commands": commands}).status_code


def test_reads_that_wait_for_a_locked_table_are_an_alert(running: Watched, calm: Prometheus, user: str) -> None:
    numbers = count()

    def wait_for_the_lock() -> None:
        reader = f"{user}-{next(numbers)}"  # a list that was read before may be kept
        client = running.service.client(reader)
        with ThreadPoolExecutor(1) as pool:
            with held(running.database, "LOCK TABLE tasklog.tasks"):
                answer = pool.submit(client.get, f"/api/{reader}/tasks?sort=title")
                assert eventually(lambda: running.database.execute(LATE_READ))
            assert answer.result().status_code == 200

    assert begins_after(calm, "TasklogSlowReads", wait_for_the_lock)
    assert ends(calm, "TasklogSlowReads")
