"""Which standby a reader uses, and which it refuses: of another cluster, with another history, or promoted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from read_api.counts import COUNTS, Outcome
from read_api.opened import open_reader
from read_api.queries import TaskQuery
from read_api.reader import Reader
from runtime.database import open_database
from runtime.readiness import notes
from runtime.settings import Settings, SettingsError
from tasklog.embedded.postgres import Postgres
from tests.chaos.replicas import execute
from tests.fail_over import Pair, running_pair
from tests.ledger import created
from tests.pgbouncer import running_pgbouncer
from tests.servers import Database, eventually_async
from tests.standby import running_standby

ASKS = "target_session_attrs=prefer-standby"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Start a primary and its standby."""
    with running_pair(tmp_path_factory.mktemp("pair")) as running:
        yield running


def url_of(servers: Sequence[Postgres], role: str = "tasklog_reader") -> str:
    hosts, ports = ",".join(str(server._sockets) for server in servers), ",".join(["5432"] * len(servers))
    return f"postgresql://{role}@/tasklog?host={hosts}&port={ports}"


def asking(*servers: Postgres) -> Settings:
    return Settings(_env_file=None, read_database_url=f"{url_of(servers)}&{ASKS}", standby_wait_ms=500)


@asynccontextmanager
async def reading(settings: Settings) -> AsyncIterator[Reader]:
    async with open_reader(settings) as (_, reader):
        yield reader


async def titles(reader: Reader, user: str) -> int:
    """Return how many tasks a user's list has, read for the first time."""
    _, page = await reader.list(user, TaskQuery())
    assert page is not None
    return page.body.count(b'"title"')


async def write(server: Postgres, user: str) -> None:
    settings = Settings(_env_file=None, command_database_url=url_of([server], "tasklog_writer"))
    async with open_database(settings, "writer") as writer:
        await created(writer, user)


async def answered_by_standby(reader: Reader, user: str) -> bool:
    before = COUNTS.outcomes[Outcome.STANDBY]
    await reader.task(user, 1)
    return COUNTS.outcomes[Outcome.STANDBY] == before + 1


async def is_used(reader: Reader, user: str) -> bool:
    """Wait until the standby answers: on a busy machine a look at it may take too long, or it may be behind."""
    return await eventually_async(lambda: answered_by_standby(reader, user))


async def test_of_two_servers_the_standby_answers_in_either_order(pair: Pair, user: str) -> None:
    await write(pair.postgres, user)
    for servers in ((pair.postgres, pair.standby.postgres), (pair.standby.postgres, pair.postgres)):
        async with reading(asking(*servers)) as reader:
            assert await is_used(reader, user)
            assert await eventually_async(lambda: not notes())


async def test_a_standby_alone_is_noticed_beside_the_primary_of_database_url(pair: Pair, user: str) -> None:
    await write(pair.postgres, user)
    settings = Settings(
        _env_file=None,
        database_url=pair.primary.owner,
        read_database_url=url_of([pair.standby.postgres]),
        allow_superuser=True,
    )
    async with reading(settings) as reader:
        assert await is_used(reader, user)
    other_way_round = settings.model_copy(update={"read_database_url": settings.database_url})
    async with reading(other_way_round) as reader:
        assert not await answered_by_standby(reader, user)


async def test_a_standby_behind_a_pooler_answers(pair: Pair, user: str, tmp_path: Path) -> None:
    await write(pair.postgres, user)
    with running_pgbouncer(pair.standby.postgres.url(database="postgres"), tmp_path) as pgbouncer:
        pooled = pgbouncer.url(pair.standby.database.reader)
        for url in (pooled, f"{pooled}&{ASKS}"):
            settings = Settings(_env_file=None, database_url=pair.primary.reader, read_database_url=url)
            async with reading(settings) as reader:
                assert await is_used(reader, user)
                assert await eventually_async(lambda: not notes())


async def test_a_standby_without_a_primary_is_no_start(pair: Pair) -> None:
    with pytest.raises(SettingsError, match="name the primary too"):
        async with reading(asking(pair.standby.postgres)):
            pass


async def test_a_superuser_does_not_read_on_a_standby(pair: Pair, user: str) -> None:
    superusers = f"{pair.standby.database.owner}&{ASKS}"
    settings = Settings(_env_file=None, database_url=pair.primary.reader, read_database_url=superusers)
    async with reading(settings.model_copy(update={"allow_superuser": True})) as reader:
        assert await is_used(reader, user)
    async with reading(settings) as reader:
        assert not await answered_by_standby(reader, user)
        await eventually_async(lambda: "its login is a superuser" in "".join(notes()))


async def test_a_start_does_not_need_the_standby(pair: Pair, user: str, tmp_path: Path) -> None:
    await write(pair.postgres, user)
    nowhere = f"{url_of([pair.postgres])}".replace("&port=5432", f",{tmp_path}&port=5432,5432")
    async with reading(Settings(_env_file=None, read_database_url=f"{nowhere}&{ASKS}")) as reader:
        assert await titles(reader, user) == 1
        (said,) = notes()
        assert said.startswith("All reads go to the primary, as the standby of READ_DATABASE_URL is not used: ")


async def test_a_standby_of_another_cluster_is_refused(pair: Pair, database: Database, user: str) -> None:
    settings = Settings(
        _env_file=None,
        database_url=database.owner,
        read_database_url=f"{url_of([pair.standby.postgres])}&{ASKS}",
        allow_superuser=True,
    )
    async with reading(settings) as reader:
        await eventually_async(lambda: "of another cluster" in "".join(notes()))
        assert not await answered_by_standby(reader, user)


def test_a_standby_that_has_what_a_fail_over_lost_is_never_believed(
    pair: Pair, user: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The last test of the file, as it promotes the standby: the other standby then follows nobody."""
    asyncio.run(write(pair.postgres, user))
    with running_standby(pair.postgres, tmp_path_factory.mktemp("other")) as other:
        pair.standby.catch_up()
        pair.standby.fall_behind()
        asyncio.run(write(pair.postgres, user))
        other.catch_up()
        assert pair.postgres.process is not None
        pair.postgres.process.kill()
        pair.standby.promote()
        has = "SELECT head FROM tasklog.streams WHERE user_id = $1"
        assert execute(other.postgres, has, user)[0][0] == execute(pair.standby.postgres, has, user)[0][0] + 1 == 2
        asyncio.run(assert_never_believed(new=pair.standby.postgres, lost=other.postgres, user=user))


async def assert_never_believed(*, new: Postgres, lost: Postgres, user: str) -> None:
    """Check that a user's second task on `lost` is not shown, and that the server is left once it differs."""
    async with reading(asking(new, lost)) as reader:
        assert await is_used(reader, f"{user}-other")
        assert await titles(reader, user) == 1
        await write(new, user)
        assert await titles(reader, user) == 2
        await eventually_async(lambda: "its history is not the primary's" in "".join(notes()))
        assert not await answered_by_standby(reader, f"{user}-other")
