"""Copying rows from one Postgres to another, as COPY writes them, without holding them in memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

_BLOCKS: Final = 64
Seen: TypeAlias = Callable[[bytes], Awaitable[None]]
"""A callback that gets each block on its way."""


async def _ignore(_: bytes) -> None:
    pass


@dataclass(frozen=True, kw_only=True, slots=True)
class Rows:
    """The rows of a query with its arguments, which are `columns` of the table `table` (`schema.name`)."""

    query: str
    table: str
    columns: Sequence[str]
    arguments: Sequence[object] = ()
    form: Literal["text", "binary"] = "text"


async def copy_rows(source: Any, target: Any, rows: Rows, seen: Seen = _ignore) -> None:
    """Copy rows from one connection to another, as COPY writes them."""
    blocks = asyncio.Queue[bytes | None](_BLOCKS)
    schema, name = rows.table.split(".")

    async def read() -> None:
        try:
            await source.copy_from_query(rows.query, *rows.arguments, output=blocks.put, format=rows.form)
        finally:
            await blocks.put(None)

    async def written() -> AsyncIterator[bytes]:
        while (block := await blocks.get()) is not None:
            await seen(block)
            yield block

    reading = asyncio.create_task(read())
    try:
        await target.copy_to_table(name, schema_name=schema, columns=rows.columns, source=written(), format=rows.form)
    except BaseException:
        reading.cancel()
        raise
    await reading
