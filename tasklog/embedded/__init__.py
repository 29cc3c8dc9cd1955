"""Postgres and Valkey for a machine that has neither: child processes of Tasklog, with their data in DATA_DIR."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tasklog.embedded.data_dir import locked, open_data_dir, running_socket_dir, socket_dir
from tasklog.embedded.postgres import Postgres

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SERVICE_ROLES = {
    "COMMAND_DATABASE_URL": "tasklog_writer",
    "PROJECTOR_DATABASE_URL": "tasklog_projector",
    "READ_DATABASE_URL": "tasklog_reader",
}
"""The setting that holds each service's address, and the database role of that service."""


@contextmanager
def embedded_postgres(directory: Path) -> Iterator[Postgres]:
    """Yield the Postgres of a DATA_DIR: the running one, or one that is started for this context."""
    data_dir = open_data_dir(directory)
    with locked(data_dir) as ours:
        postgres = Postgres(data_dir, socket_dir(data_dir) if ours else running_socket_dir(data_dir))
        if not ours:
            postgres.wait_until_ready()
            yield postgres
            return
        try:
            postgres.start()
            yield postgres
        finally:
            postgres.stop(timeout=10)


def service_urls(postgres: Postgres) -> dict[str, str]:
    """Return each service's address, by the name of its setting."""
    return {name: postgres.url(role) for name, role in SERVICE_ROLES.items()}
