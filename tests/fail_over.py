"""A primary, its standby, and an address that leads to one of them, for a test's service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import migrations
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tests.chaos.background import Background
from tests.chaos.proxy import Proxy
from tests.servers import Database, Servers
from tests.standby import Standby, running_standby


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two servers; `database` is reached through the address, `primary` and `standby.database` directly."""

    postgres: Postgres
    standby: Standby
    primary: Database
    database: Database
    proxy: Proxy
    background: Background

    def lead_to_standby(self) -> None:
        """Make the address lead to the standby, and cut connections to the primary."""
        self.background.call(self.proxy.lead_to, socket_of(self.standby.postgres))

    def lead_to_primary(self) -> None:
        """Make the address lead to the primary, and cut connections to the standby."""
        self.background.call(self.proxy.lead_to, socket_of(self.postgres))

    def freeze(self) -> None:
        """Make the address silent: it accepts connections, but nothing is answered."""
        self.background.call(self.proxy.freeze)

    def thaw(self) -> None:
        """Pass on everything that was held back."""
        self.background.call(self.proxy.thaw)

    @property
    def url(self) -> str:
        """Return the address for the superuser, in the database `postgres`, as a pooler needs it."""
        return f"postgresql://postgres@127.0.0.1:{self.proxy.port}/postgres?sslmode=disable"


def socket_of(postgres: Postgres) -> str:
    """Return the unix socket that a server listens on."""
    query = parse_qs(urlsplit(postgres.url()).query)
    return f"{query['host'][0]}/.s.PGSQL.{query['port'][0]}"


@contextmanager
def running_pair(directory: Path) -> Iterator[Pair]:
    """Start a migrated primary with a standby, and an address that leads to the primary; takes two seconds."""
    data_dir = open_data_dir(directory / "primary")
    postgres = Postgres(data_dir, socket_dir(data_dir), {"fsync": "off"})
    background = Background()
    try:
        postgres.start()
        primary = Servers(postgres_url=postgres.url(), redis_url="").database("tasklog")
        migrations.upgrade(primary.owner, list(primary.service_urls.values()))
        with running_standby(postgres, directory / "standby") as standby:
            proxy = Proxy(socket_of(postgres))
            background.run(proxy.open())
            try:
                yield Pair(
                    postgres=postgres,
                    standby=standby,
                    primary=primary,
                    database=at(proxy.port),
                    proxy=proxy,
                    background=background,
                )
            finally:
                background.run(proxy.end())
    finally:
        background.close()
        postgres.stop(timeout=5)


def at(port: int) -> Database:
    """Return the database `tasklog` at a port of this machine."""
    url = f"postgresql://postgres@127.0.0.1:{port}/tasklog?sslmode=disable"
    return Servers(postgres_url=url, redis_url="").database("tasklog")
