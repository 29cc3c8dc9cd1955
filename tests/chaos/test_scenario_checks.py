"""What scenarios require besides the promises to all, on histories and figures written by hand.

Seen to fail: without any one of the conditions.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.chaos.by_hand import operation
from tests.chaos.history import forgiven
from tests.chaos.memory import Memory, check_memory
from tests.chaos.migrating import reads_do_not_wait
from tests.chaos.proxy import Proxy
from tests.chaos.restarts import all_are_answered, all_in_flight_are_answered
from tests.servers import eventually_async


def world(*history: Any, rows: tuple[dict[str, str], ...] = (), patience: float = 1) -> Any:
    return SimpleNamespace(load=SimpleNamespace(history=[*history]), execute=lambda _: rows, patience=patience)


def took(seconds: float, *args: Any, **given: Any) -> Any:
    one = operation(*args, **given)
    one.invoked, one.returned = 10.0, 10.0 + seconds
    return one


@pytest.mark.parametrize(("peak", "broken"), [(400, 0), (401, 1)])
def test_a_process_over_400_mb_is_found(peak: int, broken: int) -> None:
    memory = Memory()
    memory.peak["gateway"] = peak
    assert [violation.rule for violation in check_memory(memory)] == ["a process stays under 400 MB"] * broken


def test_the_peak_of_a_process_is_kept_when_it_has_ended() -> None:
    take = "x = b'x' * 100 * 2**20; del x; print(flush=True); input()"
    memory = Memory()
    with subprocess.Popen(
        [sys.executable, "-c", take], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        memory.note("gateway", process.pid, idle=True)
        process.communicate("\n")
    memory.note("gateway", process.pid)
    memory.note("gateway", os.getpid(), idle=False)
    assert memory.peak["gateway"] > 100
    assert 0 < memory.idle["gateway"] < 100
    assert str(memory) == f"gateway {memory.peak['gateway']} MB at most ({memory.idle['gateway']} idle)"


def test_what_was_told_before_a_loss_is_forgiven_and_what_came_after_it_is_not() -> None:
    before, after = took(1, "toggle", 1, 200), took(1, "toggle", 1, 200)
    after.invoked = 11.0
    told = forgiven([before, after], 11.0)
    assert [one.status for one in told] == [None, 200]
    assert [one.marker for one in told] == [before.marker, after.marker]
    assert before.status == 200


@pytest.mark.parametrize(
    ("seconds", "gave_up", "recorded", "broken"),
    [
        (0.5, False, False, ["a request in flight is answered"]),
        (0.1, False, False, []),
        (0.1, False, True, ["every accepted request is answered"]),
        (8.0, True, False, []),
    ],
)
def test_a_request_that_was_read_and_cut_off_is_found(
    seconds: float, gave_up: bool, recorded: bool, broken: list[str]
) -> None:
    cut = took(seconds, "toggle", 1, None, marker="w1", gave_up=gave_up)
    rows = ({"marker": "w1"},) if recorded else ()
    judged = world(cut, took(5, "toggle", 1, 200), rows=rows)
    assert [violation.rule for violation in all_in_flight_are_answered(judged)] == broken


@pytest.mark.parametrize(("status", "user", "broken"), [(None, "user1", 1), (None, "probe", 0), (503, "user1", 0)])
def test_a_client_without_an_answer_is_found(status: int | None, user: str, broken: int) -> None:
    found = list(all_are_answered(world(operation("get", 1, status, user=user))))
    assert [violation.rule for violation in found] == ["every request is answered"] * broken


@pytest.mark.parametrize(
    ("kind", "seconds", "patience", "broken"),
    [("get", 1.1, 1, 1), ("get", 0.9, 1, 0), ("get", 1.1, 2, 0), ("toggle", 1.1, 1, 0)],
)
def test_a_read_that_waits_for_a_migration_is_found(kind: str, seconds: float, patience: float, broken: int) -> None:
    found = list(reads_do_not_wait(world(took(seconds, kind, 1, 200), patience=patience)))
    assert [violation.rule for violation in found] == ["reads do not wait for a migration"] * broken


async def test_a_moved_address_leads_only_new_connections_elsewhere(tmp_path: Path) -> None:
    async def server(name: str) -> asyncio.Server:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while await reader.readline():
                writer.write(f"{name}\n".encode())
            writer.close()
            await writer.wait_closed()

        return await asyncio.start_unix_server(say, tmp_path / name)

    async def asked(connection: tuple[asyncio.StreamReader, asyncio.StreamWriter]) -> bytes:
        reader, writer = connection
        writer.write(b"who\n")
        return await asyncio.wait_for(reader.readline(), 10)

    proxy = Proxy(str(tmp_path / "old"), postgres=False)
    servers = [await server("old"), await server("new")]
    await proxy.open()
    try:
        kept = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert await asked(kept) == b"old\n"
        proxy.lead_new_to(str(tmp_path / "new"))
        fresh = await asyncio.open_connection("127.0.0.1", proxy.port)
        assert (await asked(kept), await asked(fresh)) == (b"old\n", b"new\n")
        for _, writer in (kept, fresh):
            writer.close()
            await writer.wait_closed()
        await eventually_async(lambda: not proxy._links)
    finally:
        await proxy.end()
        for one in servers:
            one.close()
            await one.wait_closed()
