"""The address leads to a standby, or the database accepts no writes: no answer is stale, and everything heals."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.fail_over import Pair, running_pair
from tests.pgbouncer import running_pgbouncer
from tests.servers import RunningService, eventually, running_service

TASKS: Final = "/api/alice/tasks"
HEALS: Final = 60
"""In seconds; on a quiet machine it takes one."""


@contextmanager
def running(pair: Pair, redis_url: str, directory: Path, *, pooled: bool) -> Iterator[RunningService]:
    """Run the services on the pair's address, with or without a PgBouncer."""
    if not pooled:
        with running_service(pair.database, redis_url, directory / "service.log") as service:
            yield service
        return
    directory.joinpath("pgbouncer").mkdir()
    with (
        running_pgbouncer(pair.url, directory / "pgbouncer") as pgbouncer,
        running_service(pgbouncer.through(pair.database), redis_url, directory / "service.log") as service,
    ):
        yield service


def assert_refused(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    assert answer.headers["retry-after"] == "1"
    assert isinstance(answer.json()["detail"], str)


def assert_whole(service: RunningService, pair: Pair, titles: list[str]) -> None:
    """Check that writes and reads are right again within seconds, and the projection follows."""
    http = service.client("alice")

    def written() -> bool:
        answer = http.post(TASKS, json={"title": f"after {len(titles)}"})
        if answer.status_code == 201:
            titles.insert(0, answer.json()["title"])
        else:
            assert_refused(answer)
        return answer.status_code == 201

    eventually(written, HEALS)
    eventually(lambda: http.get("/health").status_code == 200, HEALS)
    assert [task["title"] for task in http.get(TASKS).json()] == titles
    behind = "SELECT user_id FROM tasklog.streams WHERE unprojected_since IS NOT NULL"
    eventually(lambda: not pair.primary.execute(behind), HEALS)


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pgbouncer"])
def test_on_a_standby_nothing_is_stale_and_back_on_the_primary_all_heals(
    redis_url: str, tmp_path: Path, pooled: bool
) -> None:
    with running_pair(tmp_path) as pair, running(pair, redis_url, tmp_path, pooled=pooled) as service:
        http = service.client("alice")
        task = http.post(TASKS, json={"title": "known to both"}).json()
        pair.standby.catch_up()
        pair.standby.fall_behind()
        later = http.post(TASKS, json={"title": "known to the primary"})
        assert later.status_code == 201
        pair.lead_to_standby()
        for _ in range(5):
            assert_refused(http.get(TASKS))
            assert_refused(http.get(f"{TASKS}/{task['id']}"))
            assert_refused(http.get(f"{TASKS}/{later.json()['id']}"))
            assert_refused(http.get(f"/api/alice/tasks/{task['id']}/history"))
            assert_refused(http.get(TASKS, params={"as_of": 1}))
            assert_refused(http.post(TASKS, json={"title": "lost"}))
            assert_refused(http.patch(f"{TASKS}/{later.json()['id']}/complete"))
        eventually(lambda: http.get("/health").status_code == 503)
        assert_refused(http.get("/health"))
        pair.lead_to_primary()
        assert_whole(service, pair, ["known to the primary", "known to both"])
        assert "Traceback" not in service.logged()


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pgbouncer"])
def test_a_promoted_standby_is_used_at_once(redis_url: str, tmp_path: Path, pooled: bool) -> None:
    with running_pair(tmp_path) as pair, running(pair, redis_url, tmp_path, pooled=pooled) as service:
        http = service.client("alice")
        assert http.post(TASKS, json={"title": "before"}).status_code == 201
        pair.standby.catch_up()
        assert pair.postgres.process is not None
        pair.postgres.process.kill()
        pair.lead_to_standby()
        assert_refused(http.get(TASKS))
        pair.standby.promote()
        assert_whole(service, replace(pair, primary=pair.standby.database), ["before"])


@pytest.mark.parametrize("pooled", [False, True], ids=["direct", "pgbouncer"])
def test_a_database_that_takes_no_writes_for_a_while_is_not_used_meanwhile(
    redis_url: str, tmp_path: Path, pooled: bool
) -> None:
    cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'tasklog' AND pid <> pg_backend_pid()"
    with running_pair(tmp_path) as pair, running(pair, redis_url, tmp_path, pooled=pooled) as service:
        http = service.client("alice")
        assert http.post(TASKS, json={"title": "before"}).status_code == 201
        pair.primary.execute("ALTER DATABASE tasklog SET default_transaction_read_only = on")
        pair.primary.execute(cut)
        eventually(lambda: http.get("/health").status_code == 503)
        for _ in range(3):
            assert_refused(http.post(TASKS, json={"title": "refused"}))
            assert_refused(http.get(TASKS))
        execute_read_write(pair, "ALTER DATABASE tasklog RESET default_transaction_read_only")
        if pooled:  # this only ends the pooler's idle connections
            execute_read_write(pair, cut)
        assert_whole(service, pair, ["before"])


def test_a_server_that_turns_read_only_under_open_connections_gives_no_answer(redis_url: str, tmp_path: Path) -> None:
    with running_pair(tmp_path) as pair, running(pair, redis_url, tmp_path, pooled=False) as service:
        http = service.client("alice")
        assert http.post(TASKS, json={"title": "before"}).status_code == 201
        assert http.get(TASKS).status_code == 200
        pair.primary.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        pair.primary.execute("SELECT pg_reload_conf()")
        eventually(lambda: pair.primary.execute("SHOW default_transaction_read_only")[0][0] == "on")
        assert_refused(http.get(TASKS))
        assert_refused(http.post(TASKS, json={"title": "refused"}))
        pair.primary.execute("ALTER SYSTEM RESET default_transaction_read_only")
        pair.primary.execute("SELECT pg_reload_conf()")
        assert_whole(service, pair, ["before"])


def execute_read_write(pair: Pair, statement: str) -> None:
    """Run a statement in a session that ignores the database's default."""
    url = f"{pair.primary.owner}&options=-c%20default_transaction_read_only%3Doff"
    replace(pair.primary, owner=url).execute(statement)
