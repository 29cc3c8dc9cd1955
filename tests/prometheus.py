"""A real Prometheus (Debian's package) that scrapes processes of the tests, with our rules in a hurry."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import httpx
import yaml

from tests.machine import free_port
from tests.servers import eventually

OPERATE: Final = Path(__file__).parents[1] / "docs" / "operate"
RULES: Final = (OPERATE / "alerts.yml").read_text()
HURRY: Final = 50
"""How many times as fast the rules are here: `5m` is 6 s. Bounds stay as they are, also those in seconds."""

_START_SECONDS: Final = 60
_WAITS: Final = re.compile(r"^( +for: )(\w+)$", re.MULTILINE)
_WINDOW: Final = re.compile(r"\[(\w+)\]")
_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@dataclass(frozen=True, kw_only=True)
class Prometheus:
    """A running Prometheus."""

    client: httpx.Client

    def firing(self) -> frozenset[str]:
        """Return the names of the alerts that fire."""
        alerts = self.client.get("/api/v1/alerts").raise_for_status().json()["data"]["alerts"]
        return frozenset(alert["labels"]["alertname"] for alert in alerts if alert["state"] == "firing")

    def up(self) -> int:
        """Return how many processes were scraped; none while Prometheus still starts."""
        try:
            answer = self.client.get("/api/v1/query", params={"query": "sum(up)"})
        except httpx.TransportError:
            return 0
        found: list[Any] = answer.json()["data"]["result"] if answer.status_code == 200 else []
        return int(found[0]["value"][1]) if found else 0


def hurried(rules: str, *, at_once: bool = False) -> str:
    """Return rules of which every `for` and every window is `HURRY` times as short; `at_once` leaves no `for`."""

    def shorter(duration: str) -> str:
        return f"{int(duration[:-1]) * _UNITS[duration[-1]] * 1000 // HURRY}ms"

    text = _WINDOW.sub(lambda found: f"[{shorter(found[1])}]", rules)
    return _WAITS.sub(lambda found: found[1] + ("0s" if at_once else shorter(found[2])), text)


@contextmanager
def running_prometheus(directory: Path, targets: Sequence[str], rules: str) -> Iterator[Prometheus]:
    """Start a Prometheus with our configuration that scrapes every second; yield when it has scraped all targets."""
    config = yaml.safe_load((OPERATE / "prometheus.yml").read_text())
    config["global"] = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "250ms"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = list(targets)
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    (directory / "alerts.yml").write_text(rules)
    port = free_port()
    command = [
        shutil.which("prometheus") or "prometheus",
        f"--config.file={directory / 'prometheus.yml'}",
        f"--storage.tsdb.path={directory / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    with (directory / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log) as process:
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
                prometheus = Prometheus(client=client)
                eventually(lambda: prometheus.up() == len(targets), _START_SECONDS)
                yield prometheus
        finally:
            process.terminate()
