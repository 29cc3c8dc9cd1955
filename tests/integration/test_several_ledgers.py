"""One person's export comes into a ledger that is in use, and commands look at several ledgers."""

from __future__ import annotations

import asyncio
import json
from hashlib import sha256
from pathlib import Path

import pytest

from audit.arrival import ArrivalError
from audit.export import export_to
from audit.export_file import verify_file
from audit.export_line import ExportError
from audit.import_ import import_
from domain.commands import DeleteTask, EditTask, RestoreTask
from domain.task import Task
from tests.cells import Place, check_all, create, done, moved, opened, two_ledgers
from tests.servers import Database as Addresses
from tests.servers import Servers

EVENTS = "SELECT * FROM tasklog.events WHERE user_id = $1 ORDER BY position"


@pytest.fixture
async def there(there: Place) -> Place:
    await create(there, "somebody")
    return there


async def test_a_person_s_export_comes_into_a_ledger_in_use(
    here: Place, there: Place, user: str, tmp_path: Path
) -> None:
    """Chain, ids, trash, an idempotency key, and what an earlier erasure left. Seen to fail without the keys."""
    await create(here, user, "erased")
    await here.keeper.fetch("SELECT tasklog.erase($1, 'operator', 'test')", user)
    task, trashed = await create(here, user, "kept"), await create(here, user, "trashed")
    await here.run(user, EditTask(title="edited"), task, key="k")
    await here.run(user, DeleteTask(), trashed)
    path = tmp_path / "person.jsonl"
    assert await export_to(here.keeper, path, user_id=user) == 7
    assert verify_file(path).faults == []
    assert await import_(there.keeper, path) == 7
    assert await there.sql.fetch(EVENTS, user) == await here.sql.fetch(EVENTS, user)
    repeated = await there.run(user, EditTask(title="edited"), task, key="k")
    assert repeated.receipt is not None
    assert repeated.receipt.position == 6
    restored = (await there.run(user, RestoreTask(), trashed)).state
    assert isinstance(restored, Task)
    assert restored.title == "trashed"
    assert "erased" not in repr(await there.titles(user))
    await check_all(there)
    with pytest.raises(ArrivalError, match=f"{user} has a stream in this ledger already"):
        await import_(there.keeper, path)


async def test_an_import_refuses_ids_that_somebody_has(servers: Servers, user: str, tmp_path: Path) -> None:
    """Both ledgers have the default range, so their ids collide; nothing is written. Seen to fail without the look."""
    path = tmp_path / "person.jsonl"
    with servers.cloned() as first, servers.cloned() as second:
        async with opened(first) as one, opened(second) as other:
            task = await create(one, user)
            assert await create(other, "somebody") == task
            await export_to(one.keeper, path, user_id=user)
            with pytest.raises(ArrivalError, match=f"task {task} of {user} has the id of a task of somebody here"):
                await import_(other.keeper, path)
            assert await other.sql.fetchval("SELECT count(*) FROM tasklog.events") == 1
            for _ in range(3):
                last = await create(one, f"{user}-2")
            path.unlink()
            await export_to(one.keeper, path, user_id=f"{user}-2")
            assert await import_(other.keeper, path) == 3  # no task there has these ids
            assert await create(other, "somebody") == last + 1
            await check_all(other)


async def test_an_import_refuses_a_person_who_has_left(here: Place, there: Place, user: str, tmp_path: Path) -> None:
    await create(here, user)
    path = tmp_path / "person.jsonl"
    await export_to(here.keeper, path, user_id=user)
    await asyncio.to_thread(moved, user, here.where, there.where)
    with pytest.raises(ArrivalError, match=f"{user} left this ledger for b: bring them back with ./run move there"):
        await import_(here.keeper, path)
    assert len(await here.titles(user)) == 1  # the old rows are still there


@pytest.mark.parametrize(
    "wrong",
    [
        ({"key": "a b"}, "has an idempotency key that no command could have written"),
        ({"fingerprint": "00"}, "has an idempotency key that no command could have written"),
        ({"version": 7}, "an idempotency key is for version 7 of task"),
        ({"user_id": "mallory"}, "has an idempotency key of mallory, but the events are another user's"),
        ({"position": "1"}, "is not an idempotency key of an export"),
    ],
)
async def test_a_key_that_does_not_fit_is_refused(
    here: Place, there: Place, user: str, tmp_path: Path, wrong: tuple[dict[str, object], str]
) -> None:
    change, reason = wrong
    await create(here, user, key="k")
    path = tmp_path / "person.jsonl"
    await export_to(here.keeper, path, user_id=user)
    event, key, end = path.read_text().splitlines()
    changed = json.dumps(json.loads(key) | change, separators=(",", ":"))
    last = json.loads(end)
    last["sha256"] = sha256(f"{event}\n{changed}\n".encode()).hexdigest()
    path.write_text(f"{event}\n{changed}\n{json.dumps(last, separators=(',', ':'))}\n")
    with pytest.raises(ExportError, match=reason):
        await import_(there.keeper, path)
    assert await there.titles(user) == []


def test_commands_look_at_several_ledgers(servers: Servers, user: str, tmp_path: Path) -> None:
    """Status, verify, anchor and export; who is in two ledgers, and a task that is, are faults.

    Seen to fail with a set of task ids for each ledger, with the ids of old rows in it, and with old rows exported.
    """
    with two_ledgers(servers) as (first, second):
        task = asyncio.run(_created(first, user))
        asyncio.run(_created(second, f"{user}-b"))
        cells = {"CELLS": f"a={first.owner} b={second.owner}"}

        def run(*command: str, code: int = 0) -> str:
            return done(first, *command, "--url", "all", code=code, **cells)

        shown = json.loads(run("status", "--json"))
        assert [shown[name]["events"] for name in "ab"] == [1, 1]
        assert shown["b"]["task_ids"] == {"first_id": 1_000_000, "last_id": 1_999_999, "last": 1_000_000}
        anchors = str(tmp_path / "anchors")
        assert run("anchor", "--out", anchors) == f"Appended 2 heads to {anchors}.\n"
        said = run("verify", "--anchors", anchors)
        assert said.count("Checked 1 event in 1 stream") == 2
        assert "against 1 anchor" in said
        assert said.endswith("together:\n  No user is in two of them.\n")
        moved(f"{user}-b", second, first, "a")
        assert "FAULT" not in run("verify", "--anchors", anchors)  # though the old rows are still there
        for command in ("history", "export", "verify", "rebuild"):
            said = done(second, command, f"{user}-b", code=1)
            assert said == "The user has left this ledger for a: ask there.\n"
        left = str(tmp_path / "left.jsonl")
        assert done(second, "export", "--out", left) == f"Wrote 0 events to {left}.\n"
        assert done(second, "verify", "nobody", code=1) == "The ledger has no stream of nobody.\n"
        moved(f"{user}-b", first, second, "b")
        out = str(tmp_path / "person.jsonl")
        assert run("export", f"{user}-b", "--out", out) == f"Wrote 1 event to {out}.\n"
        refused = run("export", "--out", f"{out}2", code=2)
        assert refused == "Write each ledger to a file of its own: name one with --url, or a user.\n"
        second.execute("ALTER SEQUENCE tasklog.task_ids MINVALUE 1 RESTART 1")
        assert asyncio.run(_created(second, f"{user}-c")) == task
        twice = run("verify", code=3)
        assert f"task {task} is created, but another user's events have its id" in twice
        first.execute(
            "INSERT INTO tasklog.streams SELECT $1, head, hash, recorded_at FROM tasklog.streams", f"{user}-b"
        )
        assert f"FAULT {user}-b: has a stream in a and one in b" in run("verify", code=3)


async def _created(where: Addresses, user: str) -> int:
    async with opened(where) as place:
        return await create(place, user)


@pytest.mark.parametrize(
    ("command", "cells", "name"),
    [
        (("move", "alice", "--to", "b"), "b=postgresql://127.0.0.1:1/b", "b in CELLS"),
        (("move", "alice", "--to", "postgresql://127.0.0.1:1/b"), "", "--to"),
        (("status", "--url", "b"), "b=postgresql://127.0.0.1:1/b", "b in CELLS"),
        (("verify", "--url", "postgresql://127.0.0.1:1/b"), "", "ledger 1 of --url"),
    ],
)
async def test_a_ledger_that_cannot_be_used_is_named(
    here: Place, command: tuple[str, ...], cells: str, name: str
) -> None:
    """Seen to fail with DATABASE_URL in its place, which names another one."""
    said = await asyncio.to_thread(done, here.where, *command, code=1, CELLS=cells)
    assert said == (
        f"The database of {name} cannot be used (nothing listens there): check the URL and that Postgres runs.\n"
    )
