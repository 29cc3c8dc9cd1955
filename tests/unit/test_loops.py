"""The loops of services: they report what nobody handled, but no future that asyncpg abandons with its connection.

Seen to fail: with asyncio's own handler, and with one that reports nothing.
"""

from __future__ import annotations

import asyncio
import gc
import logging

import asyncpg
import pytest

from runtime.loops import new_loop


@pytest.mark.parametrize(
    ("error", "reported"),
    [(asyncpg.ConnectionDoesNotExistError("connection was closed"), 0), (asyncpg.InterfaceError("a fault"), 1)],
    ids=["of a lost connection", "of anything else"],
)
def test_what_nobody_handled_is_reported_unless_it_is(
    caplog: pytest.LogCaptureFixture, error: Exception, reported: int
) -> None:
    async def abandon() -> None:
        asyncio.get_running_loop().create_future().set_exception(error)
        gc.collect()

    with caplog.at_level(logging.ERROR, "asyncio"), asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(abandon())
    assert [record.name for record in caplog.records] == ["asyncio"] * reported
