"""The alerts: their rules are right, and a real Prometheus sees them begin and end while services run.

Seen to fail: with a bound changed in a rule, and with a rule renamed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tasklog.supervision.service import Service
from tests.admin import Watched, exported, unreachable, watched
from tests.machine import free_port, go_without
from tests.servers import Servers, eventually

ROOT = Path(__file__).parents[2]
OPERATE = ROOT / "docs" / "operate"
RULES = (OPERATE / "alerts.yml").read_text()
ALERTS: list[dict[str, Any]] = yaml.safe_load(RULES)["groups"][0]["rules"]
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
    section = (ROOT / "docs" / "operate.md").read_text().partition("## Alerts\n")[2].partition("\n## ")[0]
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
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(servers, tmp_path_factory.mktemp("watched")) as found:
        yield found


@pytest.fixture(scope="module")
def prometheus(running: Watched, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    with started_prometheus(running, tmp_path_factory.mktemp("prometheus")) as client:
        yield client


@contextmanager
def started_prometheus(running: Watched, directory: Path) -> Iterator[httpx.Client]:
    """Start a Prometheus with our configuration, in a hurry: every alert fires at its first evaluation."""
    config = yaml.safe_load((OPERATE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "250ms"}
    targets = [url.removeprefix("http://") for url in (running.gateway, running.projector)]
    config["scrape_configs"][0]["static_configs"][0]["targets"] = targets
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    (directory / "alerts.yml").write_text(re.sub(r"^( +for:) \w+$", r"\1 0s", RULES, flags=re.MULTILINE))
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                eventually(lambda: up(client) == 2, 60)
                yield client
        finally:
            process.terminate()


def up(client: httpx.Client) -> int:
    """Return how many targets were scraped; none while Prometheus still starts."""
    try:
        answer = client.get("/api/v1/query", params={"query": "sum(up)"})
    except httpx.TransportError:
        return 0
    if answer.status_code != 200:
        return 0
    found = answer.json()["data"]["result"]
    return int(found[0]["value"][1]) if found else 0


def firing(client: httpx.Client, name: str) -> bool:
    alerts = client.get("/api/v1/alerts").json()["data"]["alerts"]
    return any(alert["labels"]["alertname"] == name and alert["state"] == "firing" for alert in alerts)


def is_over(client: httpx.Client, name: str) -> bool:
    return not firing(client, name)


def begins(client: httpx.Client, name: str) -> bool:
    return eventually(partial(firing, client, name), 60)


def ends(client: httpx.Client, name: str) -> bool:
    return eventually(partial(is_over, client, name), 60)


def test_a_parked_user_an_unreachable_database_and_a_killed_projector_are_alerts_while_they_last(
    servers: Servers, running: Watched, prometheus: httpx.Client, user: str
) -> None:
    """One test, as only one fault may last at a time."""
    for name in ("TasklogUserParked", "TasklogDatabaseUnreachable", "TasklogProjectorDown", "TasklogProcessDown"):
        assert ends(prometheus, name)

    running.park(user)
    assert begins(prometheus, "TasklogUserParked")
    running.mend(user)
    assert ends(prometheus, "TasklogUserParked")

    with unreachable(servers, running.database):
        assert begins(prometheus, "TasklogDatabaseUnreachable")
    assert ends(prometheus, "TasklogDatabaseUnreachable")

    projector = running.service.projector
    projector.stop(timeout=5)
    assert begins(prometheus, "TasklogProjectorDown")
    assert begins(prometheus, "TasklogProcessDown")
    port = running.projector.rpartition(":")[2]
    with projector_again(projector, port, running.service.log.with_name("again.log")):
        assert ends(prometheus, "TasklogProjectorDown")
        assert ends(prometheus, "TasklogProcessDown")


@contextmanager
def projector_again(ended: Service, admin_port: str, log: Path) -> Iterator[None]:
    """Start a projector that was ended, with the admin port that it had."""
    with log.open("wb") as output:
        again = Service("projector", env={**ended._env, "ADMIN_PORT": admin_port}, output=output)
        again.start()
        try:
            yield
        finally:
            again.stop(timeout=5)
