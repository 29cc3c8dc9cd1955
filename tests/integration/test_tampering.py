"""Changes that the database's superuser makes to the ledger are found, at the right position.

A second verifier, which shares no code with the first, finds each fault of a chain too. Seen to fail: with any one
field left out of the hash (in both `tasklog.link` and `event_log.chain`), without the check of density, of the head's
hash, of text after an erasure, and of `projected > head`.
"""

from __future__ import annotations

import asyncpg
import pytest

from audit.verify import verify
from projector.catch_up import catch_up
from runtime.database import Database
from tests.integration.second_verifier import first_bad_position
from tests.integration.tampering import DELETE, EVENT, FORGED, Tampering, three_streams
from tests.ledger import created

MOVE = "UPDATE tasklog.events SET position = {} WHERE user_id = 'bob' AND position {}"
COPY_TO_4 = """
    INSERT INTO tasklog.events SELECT user_id, 4, task_id, 50, gen_random_uuid(), type, schema_version, data, metadata,
    recorded_at, hash FROM tasklog.events WHERE user_id = 'bob' AND position = 3
"""
COPY_TO_7 = COPY_TO_4.replace("4", "7", 1)
ERASED = "data = NULL, metadata = NULL, erased_digest = tasklog.content_digest(metadata::text, data::text)"
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
    return await three_streams(writer, projector)


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


@pytest.mark.parametrize("name", PROJECTION)
async def test_tampering_with_the_projection_is_found(ledger: Database, owner: asyncpg.Connection, name: str) -> None:
    """At the position that the projection claims to have, or after the end of the stream."""
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
    """All events up to an erasure are gone, including its own event."""
    await owner.execute("SELECT tasklog.erase('bob', 'a', 'r')")
    await owner.execute(DELETE.format("<= 6"))
    assert [fault.position for fault in (await verify(ledger)).faults] == [1]
