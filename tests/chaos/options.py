"""How a world is made, and the migrated cluster that each begins with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import migrations
from tasklog.embedded import service_urls
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a world is made.

    `clock` is the library that lets the services' and Postgres' clock be what the file `clock` says; `planted` is a
    fault of tests/chaos/planted.py in the services. A client stays with one gateway, unless it `roams`: then each
    request may go to another. `direct` leads the services to Postgres without a proxy, which costs time.
    """

    gateways: int = 1
    projectors: int = 1
    postgres: Mapping[str, str] = field(default_factory=dict)
    env: Mapping[str, str] = field(default_factory=dict)
    clock: Path | None = None
    disk_mb: int = 0
    planted: str | None = None
    users: int = 5
    clients: int = 3
    roams: bool = False
    direct: bool = False


def make_template(directory: Path) -> Path:
    """A migrated cluster, stopped, to be copied for each world."""
    data_dir = open_data_dir(directory)
    postgres = Postgres(data_dir, socket_dir(data_dir), {"fsync": "off"})
    try:
        postgres.start()
        migrations.upgrade(postgres.url(), list(service_urls(postgres).values()))
    finally:
        postgres.stop(timeout=10)
    return data_dir / "postgres"
