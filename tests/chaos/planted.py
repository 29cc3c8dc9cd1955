"""Faults planted in processes of the tests, for the checker to find: `python -m tests.chaos.planted`."""
# ruff: noqa: PLC0415 - only the faulty service is imported

from __future__ import annotations

import atexit
import os
import signal
import sys
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final
from unittest.mock import patch

from tasklog.embedded.child import spawn
from tasklog.supervision.service import Service

_FILE: Final = "planted"


class PlantedService(Service):
    """A service with a planted fault."""

    fault = ""

    @classmethod
    def with_fault(cls, fault: str) -> Callable[..., PlantedService]:
        return partial(_make, fault)

    def start(self, _pause: Callable[[float], object] | None = None) -> None:
        """Start the service as Service does, but through this module."""
        inherited = [] if self._inherited is None else [self._inherited.fileno()]
        option = [f"--fd={number}" for number in inherited]
        self.process = spawn(
            [sys.executable, "-m", "tests.chaos.planted", self.fault, *self._command, *option],
            env=self._env,
            output=self._output,
            pass_fds=inherited,
        )


def _make(fault: str, *command: str, **how: Any) -> PlantedService:
    service = PlantedService(*command, **how)
    service.fault = fault
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

    async def broken(connection: Any, claimed: Any, batch: Any) -> None:
        advanced = {user: position for user, position in batch.reached.items() if position > claimed[user]}
        await connection.execute(statements.ADVANCE, [*advanced], [*advanced.values()])
        await connection.execute("COMMIT")
        if batch.events and next(batches) % 20 == 0:
            _happens()
            os.kill(os.getpid(), signal.SIGKILL)
        await connection.execute("BEGIN")
        await write(connection, claimed, batch)

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


def _change_dropped() -> None:
    """Leave out the last changed task of every tenth answer that has some."""
    from dataclasses import replace

    import orjson

    from read_api.change_reader import ChangeReader

    answer, answers = ChangeReader.changes, count(1)

    async def broken(self: ChangeReader, user_id: str, since: Any, limit: int) -> Any:
        found = await answer(self, user_id, since, limit)
        if since is None or not found.tasks or next(answers) % 10:
            return found
        _happens()
        kept = orjson.loads(b"[%b]" % found.tasks)[:-1]
        return replace(found, tasks=orjson.dumps(kept)[1:-1])

    patch.object(ChangeReader, "changes", broken).start()


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


def _wrong_exit_code() -> None:
    """End with code 3, whatever the reason."""
    atexit.register(os._exit, 3)


def _much_memory() -> None:
    """Take 450 MB and keep them."""
    kept.append(b"x" * 450 * 2**20)


kept: Final[list[bytes]] = []

FAULTS: Final = {
    "change-dropped": _change_dropped,
    "connections-cut": _connections_cut,
    "everybody-waits": _everybody_waits,
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
