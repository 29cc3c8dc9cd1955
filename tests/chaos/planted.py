"""Faults planted in processes of the tests, for the checker to find: `python -m tests.chaos.planted`."""
# ruff: noqa: PLC0415 - only the faulty service is imported

from __future__ import annotations

import atexit
import os
import signal
import sys
from itertools import count
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from tasklog.supervision.service import Service

_FILE: Final = "planted"


def planted_service(fault: str, *command: str, **how: Any) -> Service:
    """Return a service with a planted fault."""
    service = Service(*command, **how)
    service._program = f"tests.chaos.planted {fault}"
    return service


def happened_in(directory: Path) -> int:
    """Return how often the planted fault has happened in the services of this DATA_DIR."""
    file = directory / _FILE
    return file.stat().st_size if file.exists() else 0


def _happens() -> None:
    with (Path(os.environ["DATA_DIR"]) / _FILE).open("ab") as file:
        file.write(b".")


def _checkpoint_before_rows() -> None:
    """Commit the checkpoint before the rows, and sometimes die in between."""
    from projector import catch_up, statements

    write, batches = catch_up._write, count(1)

    async def broken(connection: Any, claimed: Any, batch: Any, *, over: bool) -> None:
        advanced = {user: position for user, position in batch.reached.items() if position > claimed[user]}
        none = [0] * len(advanced)  # `write` counts them
        await connection.execute(statements.ADVANCE, [*advanced], [*advanced.values()], none, none)
        await connection.execute("COMMIT")
        if batch.events and next(batches) % 20 == 0:
            _happens()
            os.kill(os.getpid(), signal.SIGKILL)
        await connection.execute("BEGIN")
        await write(connection, claimed, batch, over=over)

    patch.object(catch_up, "_write", broken).start()


def _write_dropped() -> None:
    """Acknowledge every twentieth new task without writing it."""
    from command_api.group_commit import CommandQueue

    execute, creations = CommandQueue.execute, count(1)
    last: dict[str, Any] = {}

    async def broken(self: CommandQueue, request: Any) -> Any:
        if request.task_id is None and next(creations) % 20 == 0 and request.user_id in last:
            _happens()
            done, asked = last[request.user_id], request.command
            return done._replace(state=done.state._replace(title=asked.title, description=asked.description))
        outcome = await execute(self, request)
        if request.task_id is None:
            last[request.user_id] = outcome
        return outcome

    patch.object(CommandQueue, "execute", broken).start()


def _stale_read() -> None:
    """Answer every twentieth changed list as it was before."""
    from read_api.reader import Reader

    answer, lists = Reader.list, count(1)
    last: dict[Any, Any] = {}

    async def broken(self: Reader, user_id: str, query: Any, known: str | None = None) -> Any:
        answered = await answer(self, user_id, query, known)
        if known is not None:
            return answered
        before = last.get((user_id, query), answered)
        if before != answered and next(lists) % 20 == 0:
            _happens()
            return before
        last[user_id, query] = answered
        return answered

    patch.object(Reader, "list", broken).start()


def _standby_unchecked() -> None:
    """Believe the standby whatever it has."""
    from read_api import standby_rows

    checked = standby_rows.checked

    def broken(query: str, arguments: int) -> str:
        _happens()
        statement = checked(query, arguments).replace("seen.others", "NULL::text")
        return statement.replace("seen.is_there", "true")

    patch.object(standby_rows, "checked", broken).start()


def _change_dropped() -> None:
    """Leave out the last changed task of every fourth answer that has some, read or told."""
    from dataclasses import replace

    import orjson

    from read_api.advances import RecentAdvances
    from read_api.change_reader import ChangeReader

    answer, tell, answers = ChangeReader.changes, RecentAdvances.since, count(1)

    def dropped(found: Any) -> Any:
        if found is None or not found.tasks or next(answers) % 4:
            return found
        _happens()
        kept = orjson.loads(b"[%b]" % found.tasks)[:-1]
        return replace(found, tasks=orjson.dumps(kept)[1:-1])

    async def broken_answer(self: ChangeReader, user_id: str, since: Any, limit: int) -> Any:
        found = await answer(self, user_id, since, limit)
        return found if since is None else dropped(found)

    def broken_tell(self: RecentAdvances, bookmark: Any, limit: int) -> Any:
        return dropped(tell(self, bookmark, limit))

    patch.object(ChangeReader, "changes", broken_answer).start()
    patch.object(RecentAdvances, "since", broken_tell).start()


def _connections_cut() -> None:
    """Cut a connection instead of reading from it, every fiftieth time."""
    from tasklog.serving.protocol import Protocol

    receive, times = Protocol.data_received, count(1)

    def broken(self: Protocol, data: bytes) -> None:
        if next(times) % 50 == 0:
            _happens()
            self.transport.abort()
        else:
            receive(self, data)

    patch.object(Protocol, "data_received", broken).start()


def _everybody_waits() -> None:
    """Delay every fifth new task by half a second."""
    import asyncio

    from command_api.group_commit import CommandQueue

    execute, creations = CommandQueue.execute, count(1)

    async def broken(self: CommandQueue, request: Any) -> Any:
        if request.task_id is None and next(creations) % 5 == 0:
            _happens()
            await asyncio.sleep(0.5)
        return await execute(self, request)

    patch.object(CommandQueue, "execute", broken).start()


def _drained_by_a_kill() -> None:
    """End replaced workers at once, whatever they are doing."""
    from tasklog.supervision.worker import Worker

    def broken(self: Worker) -> None:
        assert self.process is not None
        _happens()
        self.process.kill()

    patch.object(Worker, "drain", broken).start()


def _wrong_exit_code() -> None:
    """End with code 3, whatever the reason."""
    atexit.register(os._exit, 3)


def _much_memory() -> None:
    """Take 450 MB and keep them."""
    kept.append(b"x" * 450 * 2**20)


def _stream_not_held() -> None:
    """Move a stream without the lock that holds its writes up, once more was written than was copied."""
    import asyncio

    from audit import move

    complete = move._Move._complete

    async def broken(self: Any, copy: Any, here: Any, row: Any) -> None:
        await complete(self, copy, here, row)
        _happens()
        while (await self.source.fetch(move._HEAD, self.user_id))[0]["head"] <= row["head"]:  # noqa: ASYNC110 - others write
            await asyncio.sleep(0.02)

    patch.object(move, "_HOLD", move._HEAD).start()
    patch.object(move._Move, "_complete", broken).start()


def _patient_queues() -> None:
    """Refuse no write because another one has waited for over a second: no fault, but patience for a slow disk."""
    from command_api import group_commit

    patch.object(group_commit, "_LONGEST_WAIT_SECONDS", 100.0).start()


def _database_always_up() -> None:
    """Tell Prometheus that the database answers, whatever it does."""
    from tasklog.admin import figures

    up = figures._up

    async def broken() -> Any:
        _happens()
        return dict.fromkeys(await up(), 1.0)

    patch.object(figures, "_up", broken).start()


kept: Final[list[bytes]] = []

FAULTS: Final = {
    "patient-queues": _patient_queues,
    "stream-not-held": _stream_not_held,
    "standby-unchecked": _standby_unchecked,
    "change-dropped": _change_dropped,
    "connections-cut": _connections_cut,
    "database-always-up": _database_always_up,
    "everybody-waits": _everybody_waits,
    "drained-by-a-kill": _drained_by_a_kill,
    "wrong-exit-code": _wrong_exit_code,
    "much-memory": _much_memory,
    "checkpoint-before-rows": _checkpoint_before_rows,
    "write-dropped": _write_dropped,
    "stale-read": _stale_read,
}

TOGGLE_OUTSIDE_THE_LOCK: Final = (
    ("IF current_version <> event.version - 1 OR current_event <> event.known\n", "IF false AND (false\n"),
    (
        "OR task_id = ANY (refused) THEN\n                    outcome := 'conflict'",
        "OR false) THEN outcome := 'conflict'",
    ),
    (
        "IF event.type IS NOT NULL THEN\n",
        "IF event.type IS NOT NULL THEN event.version := current_version + 1; versions[event.n] := event.version;\n",
    ),
    ("task_id := nextval('tasklog.task_ids');", "task_id := nextval('tasklog.task_ids'); current_version := 0;"),
)
"""Changes to event_log/append.sql that remove every check of the version that a command was decided on."""


if __name__ == "__main__":
    FAULTS[sys.argv.pop(1)]()
    from tasklog.cli.app import main

    main()
