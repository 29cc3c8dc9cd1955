"""How a world is set up, and the migrated cluster that each begins with."""

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
    """How a world is set up.

    `clock` is a library that sets the clock of services and Postgres from the file `clock`. `planted` is a fault of
    tests/chaos/planted.py in the services. A client uses one gateway, unless it `roams`: then each request may use
    another. `direct` connects the services to Postgres without a proxy, which would cost time.
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
    """Return a migrated, stopped cluster, which is copied for each world."""
    data_dir = open_data_dir(directory)
    postgres = Postgres(data_dir, socket_dir(data_dir), {"fsync": "off"})
    try:
        postgres.start()
        migrations.upgrade(postgres.url(), list(service_urls(postgres).values()))
    finally:
        postgres.stop(timeout=10)
    return data_dir / "postgres"
