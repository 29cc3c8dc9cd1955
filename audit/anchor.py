"""Anchors: the heads of all streams in a file kept elsewhere, to prove later that no stream was cut or rewritten."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Final

import orjson

from runtime.database import Database, chunks

_HEADS: Final = """
    -- Every stream's head, all at the same moment.
    SELECT json_build_object('user_id', user_id, 'position', head, 'hash', encode(hash, 'hex'),
                             'anchored_at', to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'))::text
    FROM tasklog.streams ORDER BY user_id
"""


class AnchorsError(Exception):
    """The file does not hold anchors: one sentence that says where."""


async def anchor(database: Database, out: IO[bytes]) -> int:
    """Write the heads of all streams to `out`, one JSON object per line; return the number of streams.

    Raises:
        UnavailableError: the database went away.
    """
    streams = 0
    async with database.transaction() as connection:
        async for rows in chunks(connection, _HEADS):
            out.writelines(row[0].encode() + b"\n" for row in rows)
            streams += len(rows)
    return streams


def read_anchors(path: Path) -> Mapping[str, Mapping[int, str]]:
    """Return the anchors of a file; it may have been appended to several times.

    Raises:
        AnchorsError: a line is no anchor, or there is none.
    """
    anchors: dict[str, dict[int, str]] = defaultdict(dict)
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            with suppress(orjson.JSONDecodeError):
                match orjson.loads(line):
                    case {"user_id": str(user_id), "position": int(position), "hash": str(digest)}:
                        if anchors[user_id].get(position, digest) != digest:
                            raise AnchorsError(
                                f"line {number} of {path} contradicts an earlier one: {user_id}, {position}"
                            )
                        anchors[user_id][position] = digest
                        continue
            raise AnchorsError(f"line {number} of {path} is not an anchor.")
    if not anchors:
        raise AnchorsError(f"{path} holds no anchors.")
    return dict(anchors)
