"""Export: the ledger as JSON Lines that can be checked by themselves; audit/export_file.py reads them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import IO, Any, Final

import orjson

from audit.report import Progress
from event_log.read import NoStreamError
from runtime.database import Database

_LINES: Final = """
    -- Events as JSON, one per line, in order; data and metadata are strings, because their exact text is hashed. The
    -- JSON is put together by hand: json_build_object takes more time than everything else.
    SELECT '{"user_id":' || to_json(e.user_id) || ',"position":' || e.position
        || ',"task_id":' || coalesce(e.task_id::text, 'null') || ',"version":' || e.version
        || ',"event_id":"' || e.event_id || '","type":' || to_json(e.type)
        || ',"schema_version":' || e.schema_version
        || ',"recorded_at":"' || to_char(e.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","data":' || coalesce(to_json(e.data::text)::text, 'null')
        || ',"metadata":' || coalesce(to_json(e.metadata::text)::text, 'null')
        || ',"erased_digest":' || coalesce('"' || encode(e.erased_digest, 'hex') || '"', 'null')
        || ',"hash":"' || encode(e.hash, 'hex') || '"}'
    FROM tasklog.events e
    -- Without what is left of users who are elsewhere: an import would begin a second life of theirs.
    WHERE e.user_id NOT IN (SELECT d.user_id FROM tasklog.departures d
                            UNION ALL SELECT a.user_id FROM tasklog.arrivals a WHERE a.opened_at IS NULL)
"""
_KEYS: Final = """
    -- The idempotency keys of user $1 as JSON, one per line.
    SELECT '{"user_id":' || to_json($1::text) || ',"key":' || to_json(k.key)
        || ',"fingerprint":"' || encode(k.fingerprint, 'hex') || '","task_id":' || k.task_id
        || ',"version":' || k.version
        || ',"recorded_at":"' || to_char(k.recorded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')
        || '","position":' || coalesce(k.position::text, 'null') || '}'
    FROM tasklog.idempotency_keys k WHERE k.user_id = $1 AND k.recorded_at > now() - interval '24 hours' ORDER BY k.key
"""
_ALL: Final = f"{_LINES} ORDER BY e.user_id, e.position"
_OF_USER: Final = f"{_LINES} AND e.user_id = $1 ORDER BY e.position"


async def export(
    database: Database, out: IO[bytes], *, user_id: str | None = None, progress: Progress = lambda _: None
) -> int:
    """Write all events, or one user's, to `out` as of one moment; return the number of events.

    After the events of one user come the user's idempotency keys, if the database is open as its owner. The last line
    is `{"end": true, …}`, with the user, the number of events, and the SHA-256 of all earlier lines.

    Raises:
        NoStreamError: the user has no events here; nothing is written.
        OSError: `out` cannot be written; it is incomplete, and has no last line.
        UnavailableError: the database went away; `out` is incomplete, and has no last line.
    """
    moment, copied = datetime.now(UTC), _Copied(out, progress)
    query, arguments = (_ALL, ()) if user_id is None else (_OF_USER, (user_id,))
    async with database.transaction(snapshot=True) as connection:
        # JSON has no control characters, so with these as delimiter and quote each row is exactly its JSON.
        as_lines: dict[str, Any] = {"format": "csv", "delimiter": "\x02", "quote": "\x01"}
        await connection.copy_from_query(query, *arguments, output=copied.write, **as_lines)
        if user_id is not None and database.role == "owner":  # projectors may not see keys
            await connection.copy_from_query(_KEYS, user_id, output=copied.write_keys, **as_lines)
    if copied.failed is not None:
        raise copied.failed
    if user_id is not None and not copied.events:
        raise NoStreamError(user_id)
    end = {"end": True, "user_id": user_id, "events": copied.events, "exported_at": moment}
    out.write(orjson.dumps(end | {"sha256": copied.digest.hexdigest()}, option=orjson.OPT_UTC_Z) + b"\n")
    out.flush()
    return copied.events


class _Copied:
    """The lines written so far: their number, their digest, and why the file could not be written, if so."""

    def __init__(self, out: IO[bytes], progress: Progress) -> None:
        self.events = 0
        self.digest = sha256()
        self.failed: OSError | None = None
        self._out = out
        self._progress = progress

    async def write(self, block: bytes) -> None:
        """Write lines of events."""
        await self.write_keys(block)
        if self.failed is None:
            lines = block.count(b"\n")
            self.events += lines
            self._progress(lines)

    async def write_keys(self, block: bytes) -> None:
        """Write lines that are no events."""
        # Never raise in here: asyncpg would wait for ever, and the transaction would blame the database.
        if self.failed is not None:
            return
        self.digest.update(block)
        try:
            self._out.write(block)
        except OSError as error:
            self.failed = error


async def export_to(
    database: Database, path: Path, *, user_id: str | None = None, progress: Progress = lambda _: None
) -> int:
    """Export to a new file, readable only by its owner; it gets its name only when it is complete.

    Raises:
        FileExistsError: the file already exists.
        OSError: it cannot be written.
        NoStreamError: the user has no events; there is no file.
        UnavailableError: the database went away.
    """
    with _new_file(path) as file:
        return await export(database, file, user_id=user_id, progress=progress)


@contextmanager
def _new_file(path: Path) -> Iterator[IO[bytes]]:
    if path.exists():
        raise FileExistsError(errno.EEXIST, "the file already exists", str(path))
    # `closing` removes the file even if its last bytes cannot be written, which the file's own `with` leaves undone.
    with closing(NamedTemporaryFile("wb", dir=path.parent, prefix=f".{path.name}-")) as file:  # mode 0600
        yield file
        os.fsync(file.fileno())
        path.hardlink_to(file.name)
