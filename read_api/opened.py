"""Opens what reads need: the primary, and the standby if there is one."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from read_api.reader import Reader
from read_api.standby import open_standby
from read_api.standby_rows import StandbyRows
from runtime.database import open_database
from runtime.database_url import standby_address
from runtime.readiness import noting
from runtime.standbys import noticing_standby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from runtime.database import Database
    from runtime.settings import Settings


@asynccontextmanager
async def open_reader(settings: Settings) -> AsyncIterator[tuple[Database, Reader]]:
    """Yield the primary, and the reads of this process, on the standby if READ_DATABASE_URL asks for one.

    Raises:
        SettingsError: the primary cannot be used, or a URL is not valid. A standby may be away.
    """
    settings = await noticing_standby(settings)
    where = standby_address(settings)
    async with open_database(settings, "reader") as primary:
        if where is None:
            yield primary, Reader(primary)
            return
        async with open_standby(settings, where, primary) as standby:
            rows = StandbyRows(primary, standby, settings.standby_wait_ms / 1000)
            with noting(rows.note):
                yield primary, Reader(primary, rows)
