"""An import accepts each line exactly as an export writes it, or nothing at all; `verify --file` judges the same."""

from __future__ import annotations

import json
import re
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from audit.export import export_to
from audit.export_file import verify_file
from audit.export_line import ExportError
from audit.import_ import LedgerNotEmptyError, import_
from audit.verify import verify
from projector.catch_up import catch_up
from runtime.database import Database, open_database
from runtime.settings import Settings
from tests.exports import Event, event, lines_of, two_streams, write_export
from tests.ledger import created
from tests.servers import Database as Addresses

DEEP = "[" * 200_000 + "]" * 200_000


def with_(n: int, **other: Any) -> Callable[[], list[Event]]:
    """Return what gives the two streams with members of the nth event changed."""
    return lambda: [one | other if number == n else one for number, one in enumerate(two_streams())]


EVENTS: dict[str, tuple[int, Callable[[], list[Event]]]] = {
    "a time in another zone": (3, with_(2, recorded_at="2026-11-23T07:17:03.346505+01:00")),
    "a time without fractions": (3, with_(2, recorded_at="2026-11-23T06:17:03Z")),
    "a time that no clock shows": (3, with_(2, recorded_at="2026-02-30T06:17:03.346505Z")),
    "a time in other digits": (3, with_(2, recorded_at="٢٠٢٦-11-23T06:17:03.346505Z")),
    "a time that runs back": (3, with_(2, recorded_at="2026-11-23T06:17:01.000000Z")),
    "a UUID in capitals": (2, with_(1, event_id="01A2070D-C7B1-7824-AAF8-000000000002")),
    "a UUID without hyphens": (2, with_(1, event_id="01a2070dc7b17824aaf8000000000002")),
    "an id beyond JSON's": (2, with_(1, task_id=2**53)),
    "the largest bigint as an id": (2, with_(1, task_id=2**63 - 1)),
    "an id beyond bigint": (2, with_(1, task_id=2**64)),
    "an id of 0": (2, with_(1, task_id=0)),
    "an id below 0": (2, with_(1, task_id=-1)),
    "two users with one id": (5, lambda: [*two_streams()[:4], *(one | {"task_id": 3} for one in two_streams()[4:])]),
    "a user without a name": (1, lambda: [one | {"user_id": ""} for one in two_streams()[:4]]),
    "a user with a line feed": (1, lambda: [one | {"user_id": "al\nice"} for one in two_streams()[:4]]),
    "a user with a slash": (1, lambda: [one | {"user_id": "al/ice"} for one in two_streams()[:4]]),
    "a user with a blank end": (1, lambda: [one | {"user_id": "alice "} for one in two_streams()[:4]]),
    "a user with NUL": (1, lambda: [one | {"user_id": "al\0ice"} for one in two_streams()[:4]]),
    "a user of 256 characters": (1, lambda: [one | {"user_id": "a" * 256} for one in two_streams()[:4]]),
    "a title over 200": (3, with_(2, data=json.dumps({"title": "x" * 201}, separators=(",", ":")))),
    "a title of nothing": (3, with_(2, data='{"title":""}')),
    "a title of blanks": (3, with_(2, data='{"title":" \u3000"}')),
    "a title with NUL": (3, with_(2, data='{"title":"a\\u0000b"}')),
    "a description with NUL": (3, with_(2, data='{"description":"a\\u0000b"}')),
    "a lone surrogate": (3, with_(2, data='{"title":"\\ud800"}')),
    "a title that is a number": (3, with_(2, data='{"title":7}')),
    "a field that is not known": (3, with_(2, data='{"priority":1,"title":"a"}')),
    "a due date in a zone": (3, with_(2, schema_version=2, data='{"due_date":"2026-03-01T10:00:00+02:00"}')),
    "a due date that is no date": (3, with_(2, schema_version=2, data='{"due_date":"soon"}')),
    "tags with repeats": (3, with_(2, schema_version=2, data='{"tags":["home","HOME"]}')),
    "a tag over 50": (3, with_(2, schema_version=2, data='{"tags":["' + "x" * 51 + '"]}')),
    "a priority of nothing": (3, with_(2, schema_version=2, data='{"priority":""}')),
    "a category over 50": (3, with_(2, schema_version=2, data='{"category":"' + "x" * 51 + '"}')),
    "a field of a later schema version": (3, with_(2, data='{"category":"Work"}')),
    "an edit of nothing": (3, with_(2, data="{}")),
    "a description over 1 MiB": (3, with_(2, data=json.dumps({"description": "x" * 2**20}, separators=(",", ":")))),
    "data with blanks": (3, with_(2, data='{"title": "a"}')),
    "data with escapes": (3, with_(2, data='{"title":"\\u0061"}')),
    "data with a member twice": (3, with_(2, data='{"title":"a","title":"b"}')),
    "data in another order": (1, with_(0, data='{"title":"Milk","description":null}')),
    "data that are not JSON": (3, with_(2, data="{")),
    "data that are a list": (3, with_(2, data="[]")),
    "data nested deep": (3, with_(2, data=DEEP)),
    "data where there are none": (4, with_(3, data='{"title":"a"}')),
    "metadata nested deep": (4, with_(3, metadata=DEEP)),
    "metadata without an actor": (4, with_(3, metadata='{"nonce":"' + "0" * 32 + '","request_id":"r"}')),
    "metadata with NUL": (4, with_(3, metadata=two_streams()[3]["metadata"].replace('"r"', '"\\u0000"'))),
    "metadata with a short nonce": (4, with_(3, metadata=two_streams()[3]["metadata"].replace("0011", ""))),
    "metadata that undo what is to come": (4, with_(3, metadata=two_streams()[3]["metadata"][:-1] + ',"undoes":4}')),
    "metadata that undo a word": (4, with_(3, metadata=two_streams()[3]["metadata"][:-1] + ',"undoes":"3"}')),
    "metadata that do not continue": (4, with_(3, metadata=two_streams()[3]["metadata"].replace(
        '"nonce"', '"continues":false,"nonce"'))),
    "a task restored that is there": (4, with_(3, type="task.restored")),
    "no metadata": (4, with_(3, metadata=None)),
    "neither text nor digest": (4, with_(3, metadata=None, data=None)),
    "a digest beside the text": (4, with_(3, erased_digest="0" * 64)),
    "a digest in capitals": (4, with_(3, erased_digest="A" * 64, metadata=None, data=None)),
    "a type that is not known": (4, with_(3, type="task.eaten")),
    "a schema version to come": (1, with_(0, schema_version=4)),
    "a schema version that is true": (4, with_(3, schema_version=True)),
    "a position left out": (4, with_(3, position=5)),
    "a version left out": (4, with_(3, version=4)),
    "a task reopened that is open": (4, with_(3, type="task.reopened")),
    "a task deleted twice": (7, lambda: [*two_streams(), event("bob", 3, 2, 3, "task.deleted")]),
    "a task without a number": (4, with_(3, task_id=None)),
    "an erasure of a task": (4, with_(3, type="stream.erased", data='{"through":3}')),
    "an erasure of what is to come": (4, with_(3, type="stream.erased", task_id=None, version=1, data='{"through":9}')),
    "users in another order": (3, lambda: [*two_streams()[4:], *two_streams()[:4]]),
}  # fmt: skip


def _line(n: int, old: bytes, new: bytes) -> Callable[[list[bytes]], list[bytes]]:
    def change(lines: list[bytes]) -> list[bytes]:
        assert old in lines[n]
        return [*lines[:n], lines[n].replace(old, new, 1), *lines[n + 1 :]]

    return change


BYTES: dict[str, tuple[int, Callable[[list[bytes]], list[bytes]]]] = {
    "a blank": (3, _line(2, b'"position":3', b'"position": 3')),
    "a blank at the end": (3, _line(2, b"}\n", b"} \n")),
    "a carriage return": (3, _line(2, b"}\n", b"}\r\n")),
    "a byte order mark": (1, lambda lines: [b"\xef\xbb\xbf" + lines[0], *lines[1:]]),
    "an empty line": (3, lambda lines: [*lines[:2], b"\n", *lines[2:]]),
    "a member twice": (3, _line(2, b'"position":3', b'"position":3,"position":3')),
    "a member too many": (3, _line(2, b'"position":3', b'"more":1,"position":3')),
    "members in another order": (3, _line(2, b'"user_id":"alice","position":3', b'"position":3,"user_id":"alice"')),
    "a float": (3, _line(2, b'"position":3', b'"position":3.0')),
    "an exponent": (3, _line(2, b'"position":3', b'"position":3e0')),
    "an escape": (3, _line(2, b'"alice"', b'"\\u0061lice"')),
    "no UTF-8": (3, _line(2, b'"alice"', b'"alic\xe9"')),
    "a surrogate": (3, _line(2, b'"alice"', b'"alice\\ud800"')),
    "a number without end": (3, _line(2, b'"position":3', b'"position":' + b"9" * 5000)),
    "nesting without end": (3, _line(2, b'"position":3', b'"position":' + DEEP.encode())),
    "NUL": (3, _line(2, b'"alice"', b'"alice\0"')),
}
END: dict[str, Callable[[bytes], bytes]] = {
    "no line feed": lambda line: line.rstrip(b"\n"),
    "a blank": lambda line: line.replace(b'"events":', b'"events": '),
    "a member left out": lambda line: line.replace(b'"exported_at":"2026-11-23T06:18:11.841983Z",', b""),
    "true as a number": lambda line: line.replace(b'"events":6', b'"events":true'),
    "another user": lambda line: line.replace(b'"user_id":null', b'"user_id":"bob"'),
    "no time": lambda line: line.replace(b"06:18:11.841983Z", b"06:18:11.841983+01:00"),
}


def _judged(path: Path) -> str:
    """Return the one sentence about a file, or about its first fault."""
    try:
        report = verify_file(path)
    except ExportError as error:
        return str(error)
    (fault,) = report.faults
    return fault.reason


@pytest.mark.parametrize("name", EVENTS)
def test_an_event_as_no_export_has_it_is_refused_with_its_line(tmp_path: Path, name: str) -> None:
    line, events = EVENTS[name]
    write_export(tmp_path / "x", lines_of(events()))
    assert f"line {line}" in _judged(tmp_path / "x")


@pytest.mark.parametrize("name", BYTES)
def test_a_line_that_is_written_otherwise_is_refused_with_its_number(tmp_path: Path, name: str) -> None:
    line, change = BYTES[name]
    write_export(tmp_path / "x", change(lines_of(two_streams())))
    with pytest.raises(ExportError, match=f"^line {line} "):
        verify_file(tmp_path / "x")


@pytest.mark.parametrize("name", END)
def test_an_end_line_that_is_written_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    write_export(tmp_path / "x", lines_of(two_streams()), END[name])
    with pytest.raises(ExportError):
        verify_file(tmp_path / "x")


async def test_import_refuses_all_of_them_with_the_line_and_imports_nothing(
    settings: Settings, database: Addresses, tmp_path: Path
) -> None:
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner)})
    files = {name: (line, lines_of(events())) for name, (line, events) in EVENTS.items()}
    files |= {f"line: {name}": (line, change(lines_of(two_streams()))) for name, (line, change) in BYTES.items()}
    async with open_database(as_owner, "owner") as ledger:
        for name, (line, lines) in files.items():
            write_export(tmp_path / "x", lines)
            assert await _refused_line(ledger, tmp_path / "x") == line, name
        for table in ("events", "streams"):
            assert (await ledger.fetch(f"SELECT count(*) FROM tasklog.{table}"))[0][0] == 0
        write_export(tmp_path / "x", lines_of(two_streams()))
        assert verify_file(tmp_path / "x").faults == []
        assert await import_(ledger, tmp_path / "x") == 6
        await catch_up(ledger)
        assert (await verify(ledger)).faults == []
        await export_to(ledger, tmp_path / "again")
        assert (tmp_path / "again").read_bytes().splitlines()[:-1] == (tmp_path / "x").read_bytes().splitlines()[:-1]
        assert await created(ledger, "carol") == 4


async def _refused_line(ledger: Database, path: Path) -> int:
    """Return the number of the line that an import names."""
    with pytest.raises(ExportError) as refused:
        await import_(ledger, path)
    (line,) = re.findall(r"\bline ([0-9]+)\b", str(refused.value))
    return int(line)


@pytest.mark.parametrize(
    "left",
    [
        "INSERT INTO tasklog.checkpoints (user_id, position) VALUES ('alice', 3)",
        "INSERT INTO tasklog.idempotency_keys VALUES ('alice', 'k', '', 1, 1, now())",
    ],
)
async def test_import_refuses_a_ledger_with_leftovers(
    settings: Settings, database: Addresses, owner: asyncpg.Connection, tmp_path: Path, left: str
) -> None:
    await owner.execute(left)
    write_export(tmp_path / "x", lines_of(two_streams()))
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner)})
    async with open_database(as_owner, "owner") as ledger:
        with pytest.raises(LedgerNotEmptyError):
            await import_(ledger, tmp_path / "x", into_empty=True)


async def test_import_never_sets_the_sequence_back(
    settings: Settings, database: Addresses, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    await owner.execute("SELECT setval('tasklog.task_ids', 100)")
    write_export(tmp_path / "x", lines_of(two_streams()))
    as_owner = settings.model_copy(update={"database_url": SecretStr(database.owner)})
    async with open_database(as_owner, "owner") as ledger:
        await import_(ledger, tmp_path / "x")
        assert await created(ledger, "carol") == 101


def test_a_line_without_end_takes_no_memory(tmp_path: Path) -> None:
    """The file is sparse: 2 GB of zeros that take no space on the disk."""
    with (tmp_path / "x").open("wb") as file:
        file.truncate(2**31)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ExportError, match=r"^line 1 "):
        verify_file(tmp_path / "x")
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB
