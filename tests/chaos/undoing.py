"""A person who takes back what they did, and back again, by HTTP; the only writer of their tasks."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from time import monotonic
from typing import Any, Final

import orjson

from tests.chaos.checker import Violation
from tests.chaos.fold import Event
from tests.chaos.http_client import Answer, CutError, HttpConnection
from tests.servers import token

_FIELDS: Final = ("id", "title", "description", "completed", "priority", "tags", "due_date", "category", "created_at")
"""What an undo gives back; the version and the time of the last change go on."""
_PAUSE_SECONDS: Final = 0.1
_LATE_SECONDS: Final = 1.0
"""How long after its answer was lost a request may still be carried out, in seconds."""


class NotCarriedOutError(Exception):
    """The service could not carry out a request, or its answer was lost."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Undone:
    """An acknowledged undo: when it was asked for, its own position, and the position that it took back."""

    at: float
    position: int
    undoes: int


@dataclass(kw_only=True)
class Undoer:
    """A person; `undone` holds the acknowledged undos, `wrong` what an undo did not give back."""

    user: str
    ports: Sequence[int]
    rng: random.Random
    undone: list[Undone] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    async def work_forever(self) -> None:
        """Change a task, take that back, and back again; begin anew wherever something is not carried out."""
        while True:
            connection = HttpConnection(self.rng.choice(self.ports))
            try:
                await self._work(connection)
            except NotCarriedOutError:
                await asyncio.sleep(_LATE_SECONDS)
            finally:
                connection.close()
            await asyncio.sleep(self.rng.uniform(0, _PAUSE_SECONDS))

    async def _work(self, connection: HttpConnection) -> None:
        for task in await self._send(connection, "GET", "/trash?limit=1"):
            await self._send(connection, "POST", f"/tasks/{task['id']}/restore")
        tasks = await self._send(connection, "GET", "/tasks")
        if len(tasks) < 3:
            title = f"task {next(self._numbers)} of {self.user}"
            tasks = [await self._send(connection, "POST", "/tasks", {"title": title, "tags": ["home"]})]
        before = self.rng.choice(tasks)
        after = await self._change(connection, before)
        undone = await self._undo(connection, None if self.rng.random() < 0.5 else after[1])
        self._compare("an undo", before, undone, after[1])
        again = await self._undo(connection, undone["position"])
        self._compare("undoing an undo", after[0], again, undone["position"])

    async def _change(
        self, connection: HttpConnection, task: Mapping[str, Any]
    ) -> tuple[Mapping[str, Any] | None, int]:
        """Change a task; return it as it is then, None if it is deleted, and the position of the change."""
        path = f"/tasks/{task['id']}"
        match self.rng.randrange(3):
            case 0:
                body = {"title": f"title {next(self._numbers)}", "completed": self.rng.random() < 0.5}
                answer = await self._answer(connection, "PUT", path, body)
            case 1:
                answer = await self._answer(connection, "PATCH", f"{path}/complete")
            case _:
                answer = await self._answer(connection, "DELETE", path)
        changed = orjson.loads(answer.body)
        return changed if "id" in changed else None, int(answer.headers["tasklog-position"])

    async def _undo(self, connection: HttpConnection, position: int | None) -> dict[str, Any]:
        at = monotonic()
        body = None if position is None else {"position": position}
        undone: dict[str, Any] = await self._send(connection, "POST", "/undo", body)
        self.undone.append(Undone(at=at, position=undone["position"], undoes=undone["undone"]))
        return undone

    def _compare(self, what: str, wanted: Mapping[str, Any] | None, undone: dict[str, Any], position: int) -> None:
        """Note it if an undo took back something else than the change at a position, or did not give back its task."""
        tasks = undone["tasks"]
        if undone["undone"] != position:
            self.wrong.append(f"{what} of {position} took {undone['undone']} back")
        elif [_fields(task) for task in tasks] != ([] if wanted is None else [_fields(wanted)]):
            self.wrong.append(f"{what} of {position} gave {tasks}, it was {wanted}")

    async def _send(self, connection: HttpConnection, method: str, path: str, body: Any = None) -> Any:
        return orjson.loads((await self._answer(connection, method, path, body)).body)

    async def _answer(self, connection: HttpConnection, method: str, path: str, body: Any = None) -> Answer:
        """Return the answer to a request below the user's resources.

        Raises:
            NotCarriedOutError: there was none, or it is no success.
        """
        headers = {"Authorization": f"Bearer {token(self.user)}", "Content-Type": "application/json"}
        sent = b"" if body is None else orjson.dumps(body)
        try:
            answer = await connection.request(method, f"/api/{self.user}{path}", headers, sent)
        except CutError:
            raise NotCarriedOutError from None
        if answer.status >= 300:
            if answer.status in (404, 409, 422):
                self.wrong.append(f"{method} {path} was refused: {answer.body!r}")
            raise NotCarriedOutError
        return answer


def check_undone(undoer: Undoer, stream: Sequence[Event], since: float) -> Iterator[Violation]:
    """Check that undos gave back what was there, and that those acknowledged since a moment are in the ledger."""
    for wrong in undoer.wrong:
        yield Violation("an undo gives back what was", undoer.user, wrong)
    for undone in undoer.undone:
        if undone.at > since and f'"undoes":{undone.undoes}}}' not in _metadata(stream, undone.position):
            yield Violation("an undo is in the ledger", undoer.user, str(undone))


def _metadata(stream: Sequence[Event], position: int) -> str:
    return stream[position - 1].metadata_text if position <= len(stream) else ""


def _fields(task: Mapping[str, Any]) -> dict[str, Any]:
    return {name: task[name] for name in _FIELDS}
