"""`./run` on a user's own Postgres, which has never been used with Tasklog: which logins work.

Seen to fail: with a superuser's login accepted, and with the roles not granted to an owner who is no superuser.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasklog.embedded.data_dir import open_data_dir, socket_dir
from tasklog.embedded.postgres import Postgres
from tests.e2e.all_in_one import StartRun, create_task, only_sentence, titles
from tests.servers import SECRET, Servers

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Postgres]:
    """Yield a Postgres with a superuser, and a database whose owner is no superuser."""
    data_dir = open_data_dir(tmp_path / "given")
    postgres = Postgres(data_dir, socket_dir(data_dir), {"fsync": "off"})
    try:
        postgres.start()
        superuser = Servers(postgres_url=postgres.url(), redis_url="")
        superuser.execute("CREATE ROLE proprietor LOGIN CREATEROLE")
        superuser.execute("CREATE DATABASE theirs OWNER proprietor")
        yield postgres
    finally:
        postgres.stop(timeout=5)


def test_an_owner_who_is_no_superuser_is_all_it_needs(start_run: StartRun, given: Postgres) -> None:
    run = start_run(DATABASE_URL=given.url("proprietor", "theirs"), BETTER_AUTH_SECRET=SECRET)
    url = run.wait_until_ready()
    assert create_task(run, url, "Milk").status_code == 201
    assert titles(run, url) == ["Milk"]


def test_a_superuser_is_one_sentence_unless_it_is_allowed(start_run: StartRun, given: Postgres) -> None:
    settings = {"DATABASE_URL": given.url(), "BETTER_AUTH_SECRET": SECRET}
    sentence = only_sentence(start_run(**settings))
    assert sentence.startswith("DATABASE_URL logs in as a superuser")
    assert "ALLOW_SUPERUSER=true" in sentence
    allowed = start_run(**settings, ALLOW_SUPERUSER="true")
    assert create_task(allowed, allowed.wait_until_ready(), "Milk").status_code == 201
