"""A test's database as its owner and each service see it, the command queues for it, and data directories."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from command_api.queues import CommandQueues, command_queues
from runtime.database import Database, open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tasklog.embedded import embedded_postgres
from tests.adoption import ROWS, SQLMODEL, insert
from tests.cells import Place, opened, two_ledgers
from tests.integration.data_dirs import MakeDataDir
from tests.servers import Database as Addresses
from tests.servers import Servers


@pytest.fixture
async def owner(database: Addresses) -> AsyncIterator[asyncpg.Connection]:
    """Yield a connection that may read and change everything."""
    connection = await asyncpg.connect(database.owner)
    yield connection
    await connection.close()


@pytest.fixture
async def writer(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings, "writer") as opened:
        yield opened


@pytest.fixture
async def projector(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings, "projector") as opened:
        yield opened


@pytest.fixture
async def reader(settings: Settings) -> AsyncIterator[Database]:
    async with open_database(settings, "reader") as opened:
        yield opened


@pytest.fixture
async def queue(writer: Database) -> AsyncIterator[CommandQueues]:
    async with command_queues(writer, Wake(None)) as running:
        yield running


@pytest.fixture
def rows_fetched(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that gets the number of rows of each statement from now on."""
    rows_fetched: list[int] = []
    fetch = Database.fetch

    async def counted(self: Database, *args: Any) -> Any:
        rows = await fetch(self, *args)
        rows_fetched.append(len(rows))
        return rows

    monkeypatch.setattr(Database, "fetch", counted)
    return rows_fetched


@pytest.fixture
def short_home() -> Iterator[Path]:
    """Yield a folder with a path so short that sockets fit into the data directories in it."""
    with tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def data_dir_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a data directory with an empty database, made once, because copying it is much faster than a new one."""
    directory = tmp_path_factory.mktemp("template") / "data"
    with embedded_postgres(directory):
        return directory


@pytest.fixture
def make_data_dir(short_home: Path, data_dir_template: Path) -> MakeDataDir:
    """Return a function that makes a data directory at a path below `short_home`."""

    def made(path: str) -> Path:
        shutil.copytree(data_dir_template, short_home / path)
        return short_home / path

    return made


@pytest.fixture
async def keeper(settings: Settings, database: Addresses) -> AsyncIterator[Database]:
    """Yield the ledger as its owner, as the command opens it."""
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner)})
    async with open_database(as_owner, "owner") as opened:
        yield opened


@pytest.fixture
async def source(owner: asyncpg.Connection) -> asyncpg.Connection:
    """Return a connection to a plain CRUD's table, with three rows."""
    await owner.execute(SQLMODEL)
    await insert(owner, ROWS)
    return owner


@pytest.fixture(scope="module")
def ledgers(servers: Servers) -> Iterator[tuple[Addresses, Addresses]]:
    """Two ledgers for all tests of a file: each has users of its own."""
    with two_ledgers(servers) as both:
        yield both


@pytest.fixture
async def here(ledgers: tuple[Addresses, Addresses]) -> AsyncIterator[Place]:
    async with opened(ledgers[0]) as place:
        yield place


@pytest.fixture
async def there(ledgers: tuple[Addresses, Addresses]) -> AsyncIterator[Place]:
    async with opened(ledgers[1]) as place:
        yield place
