"""A real PgBouncer in transaction mode before a test's Postgres."""

from __future__ import annotations

import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from tasklog.embedded.child import RunAs, spawn
from tests.machine import free_port, go_without
from tests.servers import Database, eventually

_CONFIGURATION = """
[databases]
* = host={host} port={port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = 16
max_client_conn = 500
server_reset_query =
server_lifetime = 60
ignore_startup_parameters =
"""
_TLS = """
client_tls_sslmode = require
client_tls_cert_file = {file}
client_tls_key_file = {file}
"""


@dataclass(frozen=True, kw_only=True)
class PgBouncer:
    """A running pooler. It accepts no startup parameter of ours, and lends a server connection per transaction."""

    port: int

    def through(self, database: Database) -> Database:
        """Return the same database through the pooler; the owner connects directly, as for migrations."""
        return Database(
            name=database.name,
            owner=database.owner,
            pooler="yes",
            **{role: self.url(getattr(database, role)) for role in ("writer", "projector", "reader")},
        )

    def url(self, url: str) -> str:
        parts = urlsplit(url)
        user = parts.username or "postgres"
        return f"postgresql://{user}:ignored@127.0.0.1:{self.port}{parts.path}?sslmode=disable"


@contextmanager
def running_pgbouncer(postgres_url: str, directory: Path, *, certificate: Path | None = None) -> Iterator[PgBouncer]:
    """Run Debian's PgBouncer; without it, skip the test, or fail if `CI` is set.

    With a certificate (and its key in the same file), it refuses clients that do not speak TLS.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        go_without("PgBouncer", "pgbouncer is not installed")
    port = free_port()
    parts = urlsplit(postgres_url)
    query = parse_qs(parts.query)
    users = directory / "users.txt"
    roles = ["tasklog_writer", "tasklog_projector", "tasklog_reader", unquote(parts.username or "postgres")]
    password = unquote(parts.password or "password-of-the-tests")
    users.write_text("".join(f'"{role}" "{_password(role, password)}"\n' for role in roles))
    configuration = directory / "pgbouncer.ini"
    host, server_port = query.get("host", [parts.hostname])[0], query.get("port", [parts.port or 5432])[0]
    tls = _TLS.format(file=certificate) if certificate else ""
    configuration.write_text(_CONFIGURATION.format(host=host, port=server_port, listen=port, users=users) + tls)
    run_as = RunAs.NAMESPACE if os.geteuid() == 0 and sys.platform == "linux" else RunAs.SELF
    with (directory / "pgbouncer.log").open("wb") as log:
        process = spawn([program, configuration], run_as=run_as, output=log)
    try:
        eventually(lambda: _answers(port))
        yield PgBouncer(port=port)
    finally:
        process.terminate()
        process.wait(10)


def _password(role: str, of_login: str) -> str:
    return "password-of-the-tests" if role.startswith("tasklog_") else of_login


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False
