"""Fixtures. Everything is real: one Postgres and one Redis per session, and a separate database for each test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as effort

from runtime.settings import Settings
from tests.pgbouncer import PgBouncer, running_pgbouncer
from tests.servers import SECRET, Database, RunningService, Servers, running_service, started_servers

for _name in Settings.model_fields:  # the developer's own settings must not affect the tests
    os.environ.pop(_name.upper(), None)

# In the background of a shell, or under nohup, these are ignored, and every process started here would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda *_: None)

pytest_plugins = ["tests.turns"]
_users = count(1)

# Every run uses the same examples, and may be slow on a busy machine; for others: `--hypothesis-profile default`.
effort.register_profile(
    "tasklog", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
effort.load_profile("tasklog")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `./run test --pgbouncer tests/integration`: the same tests through a pooler."""
    parser.addoption("--pgbouncer", action="store_true", help="let the services reach Postgres through PgBouncer")


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say which tests `--pgbouncer` leaves out: workers do not report how many they deselect."""
    through = "pgbouncer: only tests that use the fixture `database`, as the others never reach the pooler"
    return [through] if config.getoption("--pgbouncer") else []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With --pgbouncer, deselect the tests that do the same without it."""
    if config.getoption("--pgbouncer"):
        others = [item for item in items if "database" not in getattr(item, "fixturenames", ())]
        config.hook.pytest_deselected(items=others)
        items[:] = [item for item in items if item not in set(others)]


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    """Start Postgres and Redis, with a migrated database to copy."""
    with started_servers(tmp_path_factory.mktemp("servers")) as servers, servers.migrated_template():
        yield servers


@pytest.fixture(scope="session")
def pgbouncer(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    """Run a pooler in transaction mode before the same Postgres."""
    with running_pgbouncer(servers.postgres_url, tmp_path_factory.mktemp("pgbouncer")) as running:
        yield running


@pytest.fixture
def database(servers: Servers, request: pytest.FixtureRequest) -> Iterator[Database]:
    """Yield a migrated, empty database; with --pgbouncer the services reach it through PgBouncer."""
    with servers.cloned() as cloned:
        pooled = request.config.getoption("--pgbouncer")
        yield request.getfixturevalue("pgbouncer").through(cloned) if pooled else cloned


@pytest.fixture
def redis_url(servers: Servers) -> Iterator[str]:
    """Yield the URL of an empty logical Redis database."""
    with servers.emptied_redis() as url:
        yield url


@pytest.fixture
def settings(database: Database, redis_url: str) -> Settings:
    """Return the settings of a service on this test's database and Redis."""
    return Settings(
        _env_file=None,
        better_auth_secret=SECRET,
        redis_url=redis_url,
        command_database_url=database.writer,
        projector_database_url=database.projector,
        read_database_url=database.reader,
        database_pooler=database.pooler,
    )


@pytest.fixture
def service(database: Database, redis_url: str, tmp_path: Path) -> Iterator[RunningService]:
    """Start gateway and projector for this test only, in about a second. Most tests can use `shared_service`."""
    with running_service(database, redis_url, tmp_path / "service.log") as running:
        yield running


@pytest.fixture(scope="session")
def shared_service(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Start gateway and projector for the whole session: for tests whose users are their own."""
    log = tmp_path_factory.mktemp("service") / "service.log"
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, log) as running,
    ):
        yield running


@pytest.fixture
def user() -> str:
    """Return a user that no other test has."""
    return f"user-{next(_users)}"
