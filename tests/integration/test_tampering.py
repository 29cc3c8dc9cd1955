"""What the database's superuser does to the ledger behind everybody's back is found, at the right position.

Each fault of a chain is also found by a second verifier, written here from docs/audit.md with nothing but hashlib: it
shares no code with the first.

Seen to fail: with any one field left out of the link (in `tasklog.link` and `event_log.chain` alike), without the
check of density, of the head's hash, of the anchors, of text behind an erasure, and of `projected > head`.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

import asyncpg
import pytest

from audit.anchor import AnchorsError, anchor, read_anchors
from audit.report import Anchors
from audit.verify import verify
from domain.events import TaskCompleted, TaskDeleted, TaskEdited, TaskReopened
from event_log.chain import Fault
from projector.catch_up import catch_up
from runtime.database import Database
from tests.ledger import appended, created, forget_projection, of

EVENT = "UPDATE tasklog.events SET {} WHERE user_id = 'bob' AND position = {}"
DELETE = "DELETE FROM tasklog.events WHERE user_id = 'bob' AND position {}"
MOVE = "UPDATE tasklog.events SET position = {} WHERE user_id = 'bob' AND position {}"
COPY_TO_4 = """
    INSERT INTO tasklog.events SELECT user_id, 4, task_id, 50, gen_random_uuid(), type, schema_version, data, metadata,
    recorded_at, hash FROM tasklog.events WHERE user_id = 'bob' AND position = 3
"""
COPY_TO_7 = COPY_TO_4.replace("4", "7", 1)
HEAD = """
    UPDATE tasklog.streams s SET head = e.position, hash = e.hash FROM tasklog.events e
    WHERE s.user_id = 'bob' AND e.user_id = 'bob' AND e.position = {}
"""
RELINK = """
    DO $$ DECLARE e record; previous bytea := decode(repeat('00', 32), 'hex'); BEGIN
        FOR e IN SELECT * FROM tasklog.events WHERE user_id = 'bob' ORDER BY position LOOP
            previous := tasklog.link(previous, e.user_id, e.position, e.task_id, e.version, e.event_id, e.type,
                e.schema_version, e.recorded_at, tasklog.content_digest(e.metadata::text, e.data::text));
            UPDATE tasklog.events SET hash = previous WHERE user_id = 'bob' AND position = e.position;
        END LOOP;
        UPDATE tasklog.streams SET hash = previous WHERE user_id = 'bob';
    END $$
"""
ERASED = "data = NULL, metadata = NULL, erased_digest = tasklog.content_digest(metadata::text, data::text)"
FORGED = """'{"description":null,"title":"Forged"}'"""


class Tampering(NamedTuple):
    """Statements, and the position at which they are found in bob's stream."""

    position: int
    statements: tuple[str, ...]


CHAIN = {
    "payload": Tampering(2, (EVENT.format(f"data = {FORGED}", 2),)),
    "white space in the payload": Tampering(2, (EVENT.format("data = replace(data::text, '\":', '\": ')::json", 2),)),
    "who did it": Tampering(3, (EVENT.format("metadata = replace(metadata::text, 'bob', 'eve')::json", 3),)),
    "time": Tampering(4, (EVENT.format("recorded_at = recorded_at + interval '1 microsecond'", 4),)),
    "type": Tampering(4, (EVENT.format("type = 'task.reopened'", 4),)),
    "version": Tampering(5, (EVENT.format("version = 99", 5),)),
    "schema version": Tampering(1, (EVENT.format("schema_version = 1", 1),)),
    "task": Tampering(3, (EVENT.format("task_id = 99", 3),)),
    "no task": Tampering(3, (EVENT.format("task_id = NULL", 3),)),
    "event id": Tampering(1, (EVENT.format("event_id = gen_random_uuid()", 1),)),
    "hash": Tampering(3, (EVENT.format("hash = sha256('')", 3),)),
    "head's hash": Tampering(6, ("UPDATE tasklog.streams SET hash = sha256('') WHERE user_id = 'bob'",)),
    "head's position": Tampering(7, ("UPDATE tasklog.streams SET head = 9 WHERE user_id = 'bob'",)),
    "first removed": Tampering(1, (DELETE.format("= 1"),)),
    "middle removed": Tampering(3, (DELETE.format("= 3"),)),
    "last removed": Tampering(6, (DELETE.format("= 6"),)),
    "middle removed and the rest moved up": Tampering(
        3, (DELETE.format("= 3"), MOVE.format("position - 1", "= 4"), MOVE.format("position - 1", "> 4"))
    ),
    "inserted in the middle": Tampering(
        4, (MOVE.format("position + 100", ">= 4"), MOVE.format("position - 99", ">= 104"), COPY_TO_4)
    ),
    "inserted at the end": Tampering(7, (COPY_TO_7,)),
    "swapped": Tampering(2, (MOVE.format("100", "= 2"), MOVE.format("2", "= 3"), MOVE.format("3", "= 100"))),
    "given to another user": Tampering(
        6, ("UPDATE tasklog.events SET user_id = 'carol' WHERE user_id = 'bob' AND position = 6",)
    ),
    "text taken away": Tampering(3, (EVENT.format("data = NULL, metadata = NULL", 3),)),
    "text taken away under its digest": Tampering(3, (EVENT.format(ERASED, 3),)),
    "stream row removed": Tampering(1, ("DELETE FROM tasklog.streams WHERE user_id = 'bob'",)),
}
TASK = "UPDATE tasklog.tasks SET {} WHERE user_id = 'bob'"
EXTRA = (
    "INSERT INTO tasklog.tasks SELECT {}, 77, title, description, completed, created_at, updated_at, 77, version,"
    " title_key, body FROM tasklog.tasks WHERE user_id = 'bob'"
)
PROJECTION = {
    **{
        column: Tampering(6, (TASK.format(f"{column} = {value}"),))
        for column, value in {
            "title": "'Forged'",
            "description": "'Forged'",
            "completed": "NOT completed",
            "created_at": "created_at - interval '1 day'",
            "updated_at": "updated_at + interval '1 microsecond'",
            "created_position": "3",
            "version": "version + 1",
            "title_key": "'forged'",
            "body": "body || ' '",
            "id": "99",
        }.items()
    },
    "missing row": Tampering(6, ("DELETE FROM tasklog.tasks WHERE user_id = 'bob'",)),
    "extra row": Tampering(6, (EXTRA.format("user_id"),)),
    "checkpoint ahead": Tampering(7, ("UPDATE tasklog.checkpoints SET position = 9 WHERE user_id = 'bob'",)),
    "checkpoint back": Tampering(4, ("UPDATE tasklog.checkpoints SET position = 4 WHERE user_id = 'bob'",)),
    "checkpoint lost": Tampering(0, ("DELETE FROM tasklog.checkpoints WHERE user_id = 'bob'",)),
}


@pytest.fixture
async def ledger(writer: Database, projector: Database) -> Database:
    """Six events of bob between those of alice and zoe, all projected."""
    for user in ("alice", "bob", "zoe"):
        milk, bread = await created(writer, user), await created(writer, user, "Bread")
        edited = TaskEdited(title="Oat milk", description="Two")
        await appended(writer, of(user, edited, TaskCompleted(), TaskReopened(), task=milk, expected=1))
        await appended(writer, of(user, TaskDeleted(), task=bread, expected=1))
    await catch_up(projector)
    assert (await verify(projector)).faults == []
    return projector


@pytest.mark.parametrize("name", CHAIN)
async def test_tampering_with_a_chain_is_found_at_its_position_by_both_verifiers(
    ledger: Database, owner: asyncpg.Connection, name: str
) -> None:
    position, statements = CHAIN[name]
    for statement in statements:
        await owner.execute(statement)
    faults = {fault.user_id: fault.position for fault in (await verify(ledger)).faults}
    assert faults.pop("bob") == position
    assert not faults.keys() & {"alice", "zoe"}
    assert await first_bad_position(owner, "bob") == position
    assert [await first_bad_position(owner, user) for user in ("alice", "zoe")] == [None, None]
    assert [fault.position for fault in (await verify(ledger, user_id="bob")).faults] == [position]
    assert (await verify(ledger, user_id="alice")).faults == []


async def first_bad_position(owner: asyncpg.Connection, user: str) -> int | None:
    """The first position of a stream that is not as it was written, by hand; see docs/audit.md."""
    rows = await owner.fetch("SELECT * FROM tasklog.events WHERE user_id = $1 ORDER BY position", user)
    previous, textless, position = "0" * 64, set[int](), 0
    for row in rows:
        if row["position"] != position + 1:
            return position + 1
        position = row["position"]
        previous = link(previous, row)
        if row["hash"].hex() != previous:
            return position
        if row["erased_digest"] is not None:
            textless.add(position)
            if row["data"] is not None or row["metadata"] is not None:
                return position
        elif row["type"] == "stream.erased":
            through = int(row["data"].removeprefix('{"through":').removesuffix("}"))
            textless -= set(range(1, through + 1))
    if textless:
        return min(textless)
    stream = await owner.fetchrow("SELECT head, hash FROM tasklog.streams WHERE user_id = $1", user)
    head, digest = (stream["head"], stream["hash"].hex()) if stream else (0, "0" * 64)
    if head != position:
        return min(head, position) + 1
    return None if digest == previous else position


def link(previous: str, row: Any) -> str:
    content = row["erased_digest"].hex() if row["erased_digest"] else sha256(f"{row['metadata']}\n{row['data']}")
    task = "" if row["task_id"] is None else row["task_id"]
    at = row["recorded_at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    fields = [previous, row["user_id"], row["position"], task, row["version"], row["event_id"], row["type"]]
    return sha256("\n".join(map(str, [*fields, row["schema_version"], at, content])))


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("name", PROJECTION)
async def test_tampering_with_the_projection_is_found(ledger: Database, owner: asyncpg.Connection, name: str) -> None:
    """At the position that the projection claims to have, or where the stream has none any more."""
    position, statements = PROJECTION[name]
    for statement in statements:
        await owner.execute(statement)
    assert [(fault.user_id, fault.position) for fault in (await verify(ledger)).faults] == [("bob", position)]
    assert await first_bad_position(owner, "bob") is None


@pytest.mark.parametrize("user", ["aaron", "bobby", "zzz"])
async def test_rows_of_a_user_without_a_stream_are_found(
    ledger: Database, owner: asyncpg.Connection, user: str
) -> None:
    await owner.execute(EXTRA.format(f"'{user}'"))
    assert [fault.user_id for fault in (await verify(ledger)).faults] == [user]


async def test_text_that_comes_back_after_an_erasure_is_found(ledger: Database, owner: asyncpg.Connection) -> None:
    await owner.execute("SELECT tasklog.erase('bob', 'a', 'r')")
    assert (await verify(ledger)).faults == []
    assert await first_bad_position(owner, "bob") is None
    await owner.execute(EVENT.format(f"data = {FORGED}", 2))
    assert [fault.position for fault in (await verify(ledger)).faults] == [2]
    assert await first_bad_position(owner, "bob") == 2


async def test_text_that_is_taken_away_behind_an_erasure_is_found(
    ledger: Database, writer: Database, owner: asyncpg.Connection
) -> None:
    await owner.execute("SELECT tasklog.erase('bob', 'a', 'r')")
    await created(writer, "bob")
    position = await owner.fetchval("SELECT head FROM tasklog.streams WHERE user_id = 'bob'")
    await catch_up(ledger)
    assert (await verify(ledger)).faults == []
    await owner.execute(EVENT.format(ERASED, position))
    assert [fault.position for fault in (await verify(ledger)).faults] == [position]
    assert await first_bad_position(owner, "bob") == position


async def test_a_stream_that_begins_with_its_second_half_is_found(ledger: Database, owner: asyncpg.Connection) -> None:
    """All events before an erasure are gone, its event among them."""
    await owner.execute("SELECT tasklog.erase('bob', 'a', 'r')")
    await owner.execute(DELETE.format("<= 6"))
    assert [fault.position for fault in (await verify(ledger)).faults] == [1]


REWRITTEN = {
    "cut tail": Tampering(5, (DELETE.format("> 4"), HEAD.format(4))),
    "rewritten": Tampering(3, (EVENT.format(f"data = {FORGED}", 2), RELINK)),
    "rewritten and cut": Tampering(
        3, (DELETE.format("> 4"), EVENT.format(f"data = {FORGED}", 2), HEAD.format(4), RELINK)
    ),
    "removed as if it never was": Tampering(
        1, (DELETE.format("> 0"), "DELETE FROM tasklog.streams WHERE user_id = 'bob'")
    ),
}


@pytest.mark.parametrize("name", REWRITTEN)
async def test_what_is_consistent_in_itself_is_found_by_the_anchors_alone(
    ledger: Database, owner: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    """Whoever rewrites a stream projects it anew; the head of before is in a file that was kept elsewhere."""
    anchors = await _anchors(ledger, tmp_path)
    anchors["bob"][3] = await _hash(owner, 3)
    for statement in REWRITTEN[name].statements:
        await owner.execute(statement)
    await forget_projection(owner)
    await catch_up(ledger)
    assert (await verify(ledger)).faults == []
    assert await first_bad_position(owner, "bob") is None
    faults = (await verify(ledger, anchors=anchors)).faults
    assert _places(faults) == [("bob", REWRITTEN[name].position)]
    assert _places((await verify(ledger, user_id="bob", anchors=anchors)).faults) == _places(faults)
    assert (await verify(ledger, user_id="alice", anchors=anchors)).faults == []


async def test_anchors_of_an_honest_ledger_go_on_fitting(
    ledger: Database, writer: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """Appending to the file and to the ledger, and erasing, contradict nothing."""
    await _anchors(ledger, tmp_path)
    await created(writer, "bob")
    await _anchors(ledger, tmp_path)
    await owner.execute("SELECT tasklog.erase('bob', 'a', 'r')")
    anchors = await _anchors(ledger, tmp_path)
    assert [*anchors["bob"]] == [6, 7, 10]
    assert (await verify(ledger, anchors=anchors)).faults == []


@pytest.mark.parametrize("line", ["x", "{}", '{"user_id": "bob", "position": "6", "hash": ""}'])
async def test_a_line_that_is_no_anchor_is_refused(tmp_path: Path, line: str) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(AnchorsError, match="line 1"):
        read_anchors(path)


async def test_anchors_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text("".join(f'{{"user_id":"bob","position":1,"hash":"{digest}"}}\n' for digest in "ab"))
    with pytest.raises(AnchorsError, match="line 2"):
        read_anchors(path)


async def _anchors(ledger: Database, tmp_path: Path) -> dict[str, dict[int, str]]:
    path = tmp_path / "anchors.jsonl"
    with path.open("ab") as out:
        await anchor(ledger, out)
    anchors: Anchors = read_anchors(path)
    return {user: dict(hashes) for user, hashes in anchors.items()}


async def _hash(owner: asyncpg.Connection, position: int) -> str:
    digest = await owner.fetchval("SELECT hash FROM tasklog.events WHERE user_id = 'bob' AND position = $1", position)
    return str(digest.hex())


def _places(faults: list[Fault]) -> list[tuple[str, int]]:
    return [(fault.user_id, fault.position) for fault in faults]
