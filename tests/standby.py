"""A streaming standby of a test's Postgres: made by pg_basebackup, read-only until it is promoted."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tasklog.embedded.binaries import find_postgres
from tasklog.embedded.child import spawn
from tasklog.embedded.cluster import plain_environment
from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.identity import choose_identity
from tasklog.embedded.postgres import Postgres
from tests.servers import Database, Servers, eventually


@dataclass(frozen=True, kw_only=True)
class Standby:
    """A running standby and the primary that it follows. Use it from the main thread, without a running loop."""

    primary: Postgres
    postgres: Postgres
    database: Database

    def catch_up(self) -> None:
        """Wait until the standby has replayed everything that the primary has committed."""
        (written,) = self._of_primary("SELECT pg_current_wal_lsn()::text")
        seen = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1::text::pg_lsn, false)"
        eventually(lambda: self.database.execute(seen, written)[0][0])

    def fall_behind(self) -> None:
        """Stop receiving: what the primary commits from now on is missing here, also after a promotion."""
        self.database.execute("ALTER SYSTEM SET primary_conninfo = ''")
        self.database.execute("SELECT pg_reload_conf()")
        eventually(lambda: not self.database.execute("SELECT pid FROM pg_stat_wal_receiver"))

    def promote(self) -> None:
        """Promote it to a primary, after it has replayed everything that it received."""
        self.database.execute("SELECT pg_promote(true, 30)")

    def _of_primary(self, statement: str) -> tuple[str]:
        primary = Servers(postgres_url=self.primary.url(), redis_url="").database("tasklog")
        return tuple(primary.execute(statement)[0])


@contextmanager
def running_standby(primary: Postgres, directory: Path, options: Mapping[str, str] | None = None) -> Iterator[Standby]:
    """Copy a running primary and follow it from another data directory; takes about a second."""
    data_dir = open_data_dir(directory)
    sockets = socket_dir(data_dir)
    _copy(primary, data_dir, sockets)
    standby = Postgres(data_dir, sockets, {"fsync": "off", **(options or {})})
    try:
        standby.start()
        database = Servers(postgres_url=standby.url(), redis_url="").database("tasklog")
        yield Standby(primary=primary, postgres=standby, database=database)
    finally:
        standby.stop(timeout=5)


def _copy(primary: Postgres, data_dir: Path, sockets: Path) -> None:
    programs, _ = find_postgres(None)
    (data_dir / "postgres").mkdir(mode=0o700)
    run_as, _, programs = choose_identity(programs, data_dir, sockets)
    source = primary.url(database="postgres")
    # -R makes the copy a standby that knows its primary.
    copy = data_dir / "postgres"
    arguments: list[str | Path] = ["-d", source, "-D", copy, "-R", "-X", "stream", "-c", "fast", "--no-sync"]
    backup = spawn(
        [programs / "pg_basebackup", *arguments], run_as=run_as, env=plain_environment(), output=subprocess.PIPE
    )
    _, errors = backup.communicate(timeout=60)
    assert backup.returncode == 0, errors.decode(errors="replace")
