"""The speed of `./run adopt`: a plain CRUD's table with 20 tasks for each user, read, appended and compared."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from adoption.adopt import read, write
from adoption.source import opened
from adoption.spool import spooled
from runtime.database import open_database
from runtime.settings import Settings

_TASKS_OF_A_USER: Final = 20
_TABLE: Final = """
    CREATE TABLE public.tasks (
        id SERIAL PRIMARY KEY, user_id VARCHAR NOT NULL, title VARCHAR(200) NOT NULL, description VARCHAR,
        completed BOOLEAN NOT NULL, created_at TIMESTAMP NOT NULL, updated_at TIMESTAMP NOT NULL)
"""
_ROWS: Final = """
    INSERT INTO public.tasks (user_id, title, description, completed, created_at, updated_at)
    SELECT 'user_' || md5((n % ($1::integer / $2::integer + 1))::text), 'Buy milk ' || n,
           CASE WHEN n % 2 = 0 THEN 'Two litres, the blue one' END, n % 3 = 0,
           timestamp '2025-01-01' + n * interval '1 minute', timestamp '2026-01-01' + n * interval '1 minute'
    FROM generate_series(1, $1) AS n
"""


async def measure_adoption(settings: Settings, tasks: int, show: Callable[[str, float], None]) -> None:
    """Adopt a table of `tasks` rows into an empty ledger; show the seconds of each stage, and of all together."""
    assert settings.database_url is not None
    url = settings.database_url.get_secret_value()

    @contextmanager
    def timed(stage: str, _total: int) -> Iterator[Callable[[int], None]]:
        began = time.perf_counter()
        yield lambda _: None
        show(f"adopt: {stage}", time.perf_counter() - began)

    async with open_database(settings, "owner", seconds=3600) as owner:
        async with owner.pool.acquire() as connection:
            await connection.execute(_TABLE)
            await connection.execute(_ROWS, tasks, _TASKS_OF_A_USER)
            await connection.execute("ANALYZE public.tasks")
        began = time.perf_counter()
        with spooled() as spool:
            async with opened(url, "public.tasks") as source:
                await read(source, spool, timed)
            done = await write(owner, spool, timed, actor="operator bench", request_id="adopt-bench")
        show("adopt, in all", time.perf_counter() - began)
        assert (done.adopted, done.changed, done.missing) == (tasks, 0, 0)
