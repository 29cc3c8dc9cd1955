"""A test's database as its owner and each service see it, and the command queues for it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import asyncpg
import pytest

from command_api.group_commit import CommandQueues, command_queues
from runtime.database import Database, open_database
from runtime.settings import Settings
from runtime.wakeup import Wake
from tests.servers import Database as Addresses


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
