"""A ledger that was cut or fully rewritten is consistent in itself; only heads that were kept elsewhere show it.

Seen to fail: without the check of the anchors, or of those after the end, in our verifier or in the second one.
"""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import pytest

from audit.anchor import AnchorsError, anchor, read_anchors
from audit.report import Anchors
from audit.verify import verify
from event_log.chain import Fault
from projector.catch_up import catch_up
from runtime.database import Database
from tests.integration.second_verifier import first_bad_position
from tests.integration.tampering import DELETE, EVENT, FORGED, Tampering, three_streams
from tests.ledger import created, forget_projection

HEAD = """
    UPDATE tasklog.streams s SET head = e.position, hash = e.hash, recorded_at = e.recorded_at FROM tasklog.events e
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


@pytest.fixture
async def ledger(writer: Database, projector: Database) -> Database:
    return await three_streams(writer, projector)


@pytest.mark.parametrize("name", REWRITTEN)
async def test_what_is_consistent_in_itself_is_found_by_the_anchors_alone(
    ledger: Database, owner: asyncpg.Connection, tmp_path: Path, name: str
) -> None:
    """After rewriting a stream one projects it again; the earlier head is in a file that was kept elsewhere.

    A second verifier, which shares no code with the first, finds the same position.
    """
    path = tmp_path / "anchors.jsonl"
    path.write_text(json.dumps({"user_id": "bob", "position": 3, "hash": await _hash(owner, 3)}) + "\n")
    anchors = await _anchors(ledger, tmp_path)
    assert [*anchors["bob"]] == [3, 6]
    for statement in REWRITTEN[name].statements:
        await owner.execute(statement)
    await forget_projection(owner)
    await catch_up(ledger)
    assert (await verify(ledger)).faults == []
    assert await first_bad_position(owner, "bob") is None
    faults = (await verify(ledger, anchors=anchors)).faults
    assert _places(faults) == [("bob", REWRITTEN[name].position)]
    found = {user: await first_bad_position(owner, user, path) for user in ("alice", "bob", "zoe")}
    assert found == {"alice": None, "bob": REWRITTEN[name].position, "zoe": None}
    assert _places((await verify(ledger, user_id="bob", anchors=anchors)).faults) == _places(faults)
    assert (await verify(ledger, user_id="alice", anchors=anchors)).faults == []


async def test_anchors_of_an_honest_ledger_go_on_fitting(
    ledger: Database, writer: Database, owner: asyncpg.Connection, tmp_path: Path
) -> None:
    """For both verifiers. Appending to the file and to the ledger, and erasing, contradict nothing."""
    await _anchors(ledger, tmp_path)
    await created(writer, "bob")
    await _anchors(ledger, tmp_path)
    await owner.execute("SELECT tasklog.erase('bob', 'a', 'r')")
    anchors = await _anchors(ledger, tmp_path)
    assert [*anchors["bob"]] == [6, 7, 10]
    assert (await verify(ledger, anchors=anchors)).faults == []
    assert await first_bad_position(owner, "bob", tmp_path / "anchors.jsonl") is None


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


def _places(faults: list[Fault]) -> list[tuple[str | None, int | None]]:
    return [(fault.user_id, fault.position) for fault in faults]
