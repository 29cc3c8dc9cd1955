"""Code that reads a ledger with long texts holds a few of them at a time, never all.

Seen to fail with limits only in rows (100 tasks and 60 edits): verify took 603 MB, rebuild 602 to 1,210 MB, the
projector 1,050 MB.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.large import create_long_tasks, edit_at_length, peak_of, peak_of_command, toggle
from tests.servers import Database, Servers, eventually, running_service

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

MOST = 150
"""The limit in MB; an idle process takes about 80 MB."""


@pytest.fixture
def empty(servers: Servers) -> Iterator[Database]:
    """Another database, migrated and empty."""
    with servers.cloned() as cloned:
        yield cloned


def test_projecting_and_auditing_long_texts_takes_little_memory(
    database: Database, empty: Database, redis_url: str, tmp_path: Path
) -> None:
    tasks = create_long_tasks(database, "heavy", 30)
    edit_at_length(database, "heavy", tasks[0], 20)
    toggle(database, "heavy", tasks[1:])
    create_long_tasks(database, "light", 1, size=64)
    with running_service(database, redis_url, tmp_path / "log") as service:

        def is_projected() -> bool:
            return not database.execute("SELECT FROM tasklog.streams WHERE unprojected_since IS NOT NULL")

        eventually(is_projected, timeout=60)
        assert service.projector.process is not None
        peaks = {"projector": peak_of(service.projector.process.pid)}
    rows = "SELECT count(*), sum(octet_length(description)) FROM tasklog.tasks WHERE user_id = 'heavy'"
    assert database.execute(rows)[0][0] == 30
    out = str(tmp_path / "export")
    peaks["verify"] = peak_of_command(database, "verify")
    peaks["rebuild"] = peak_of_command(database, "rebuild")
    database.execute("UPDATE tasklog.tasks SET body = body || ' '")
    peaks["mend"] = peak_of_command(database, "rebuild")
    assert database.execute("SELECT count(*) FROM tasklog.tasks WHERE body LIKE '% '")[0][0] == 0
    peaks["export"] = peak_of_command(database, "export", "--out", out)
    peaks["verify the file"] = peak_of_command(database, "verify", "--file", out)
    peaks["import"] = peak_of_command(empty, "import", out)
    assert {name: peak for name, peak in peaks.items() if peak > MOST} == {}
