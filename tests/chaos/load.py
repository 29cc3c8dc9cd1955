"""The clients: several users with several clients each, who change and read the same tasks at once."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final
from urllib.parse import quote

import jwt
import orjson

from tests.chaos.history import Kind, Operation
from tests.chaos.http_client import CutError, HttpConnection
from tests.servers import SECRET

_TASKS: Final = 20
_CHOICES: Final[dict[Kind, int]] = {
    "create": 20,
    "edit": 14,
    "toggle": 24,
    "set": 6,
    "delete": 9,
    "restore": 5,
    "list": 22,
    "get": 12,
}
_FIELDS: Final = (
    {"priority": "High", "due_date": "2026-03-01", "tags": ["home", "Straße"], "category": "Work"},
    {"due_date": "2026-03-01T14:30:00Z", "tags": ["home"]},
    {"category": "Errands"},
)
_QUERIES: Final = (
    *("", "", "", "?status=pending", "?status=completed", "?sort=title", "?limit=3", "?sort=title&limit=4"),
    *("?search=milk", "?priority=p1&sort=updated", "?tags=strasse,HOME", "?category=work&status=pending"),
    *("?sort=due&limit=5", "?sort=priority&order=asc", "?due_before=2026-03-01T14:30:00Z&sort=due&order=desc"),
)
_METHODS: Final = {
    "create": "POST",
    "edit": "PUT",
    "set": "PATCH",
    "toggle": "PATCH",
    "delete": "DELETE",
    "restore": "POST",
}
_TRIES: Final = 6
_MOVED: Final = 421


@dataclass(kw_only=True)
class User:
    """What all clients of a user know: tasks with their latest known versions, deleted ones, and ETags of lists.

    `has_moved` says that a cell has answered that the user is in another one.
    """

    name: str
    tasks: dict[int, int] = field(default_factory=dict)
    deleted: set[int] = field(default_factory=set)
    etags: dict[str, str] = field(default_factory=dict)
    has_moved: bool = False
    markers: Any = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        now = int(time.time())
        # valid even in a world whose clock is an hour off
        claims = {"sub": self.name, "iat": now - 3 * 3600, "exp": now + 24 * 3600}
        self.token = jwt.encode(claims, SECRET, algorithm="HS256")

    def marker(self) -> str:
        return f"{self.name}.{next(self.markers)}"

    def learn(self, operation: Operation) -> None:
        self.has_moved |= operation.status == _MOVED
        if operation.kind == "list":
            if operation.status == 200 and operation.etag:
                self.etags[operation.query] = operation.etag
        elif operation.kind == "create" and operation.status == 201:
            self.tasks[operation.json()["id"]] = 1
        elif operation.task_id is not None and operation.status in {200, 404}:
            if operation.kind == "delete" or operation.status == 404:
                if self.tasks.pop(operation.task_id, None):
                    self.deleted.add(operation.task_id)
            elif operation.kind == "restore" and operation.number:
                self.deleted.discard(operation.task_id)
                self.tasks[operation.task_id] = operation.number
            elif operation.number and operation.task_id in self.tasks:
                self.tasks[operation.task_id] = max(operation.number, self.tasks[operation.task_id])


class Load:
    """Clients that run until they are told to stop; `history` holds their requests.

    `home` are the ports that a user's clients ask until the user has moved, if not all. `probes` are the users that
    `is_healthy` writes as, by port, if not one for all.
    """

    def __init__(  # noqa: PLR0913 - keywords
        self,
        ports: Sequence[int],
        *,
        seed: int,
        users: int = 5,
        clients: int = 3,
        pause: float = 0.05,
        roams: bool = False,
    ) -> None:
        self.history: list[Operation] = []
        self.ports = list(ports)
        self.home: list[int] | None = None
        self.probes: dict[int, User] = {}
        self.users = [User(name=f"user{n}") for n in range(users)]
        self._pause = pause
        self._roams = roams
        self._stopping = False
        self._random = random.Random(f"load {seed}")
        self._probe = User(name="probe")
        self._clients = clients
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        for user in self.users:
            for _ in range(self._clients):
                rng = random.Random(self._random.random())
                self._tasks.append(asyncio.create_task(self._go_on(user, rng)))

    async def stop(self) -> None:
        """Let every client finish its current request."""
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def is_healthy(self, seconds: float) -> bool:
        """Return whether a write, and a read that shows it, succeed on every gateway."""
        for port in self.ports:
            connection, probe = HttpConnection(port), self.probes.get(port, self._probe)
            write = Operation(user=probe.name, kind="create", marker=probe.marker(), body={"title": "probe"})
            read = Operation(user=probe.name, kind="list", marker=probe.marker())
            try:
                for operation in (write, read):
                    await self.perform(connection, probe, operation, seconds=seconds)
            finally:
                connection.close()
            if (write.status, read.status) != (201, 200):
                return False
        return True

    async def _go_on(self, user: User, rng: random.Random) -> None:
        connections = {port: HttpConnection(port) for port in self.ports}
        port = self._port(user, rng)
        while not self._stopping:
            await asyncio.sleep(rng.uniform(0, self._pause))
            port = self._port(user, rng) if self._roams else port
            connection = connections[port]
            operation = _choose(user, rng)
            await self.perform(connection, user, operation)
            for _ in range(_TRIES):
                if operation.key is None or not operation.is_unknown or self._stopping:
                    break
                await asyncio.sleep(rng.uniform(0.05, 0.2))
                operation = _again(user, operation)
                connection = connections[self._port(user, rng)] if self._roams else connection
                await self.perform(connection, user, operation)
            if operation.is_unknown:
                connection.close()
                port = self._port(user, rng)
                await asyncio.sleep(rng.uniform(0.02, 0.1))
            elif operation.key is not None and rng.random() < 0.2:
                await self.perform(connection, user, _again(user, operation))
        for connection in connections.values():
            connection.close()

    def _port(self, user: User, rng: random.Random) -> int:
        return rng.choice(self.ports if self.home is None or user.has_moved else self.home)

    async def perform(
        self, connection: HttpConnection, user: User, operation: Operation, *, seconds: float = 8
    ) -> None:
        self.history.append(operation)
        body = b"" if operation.body is None else orjson.dumps(operation.body)
        operation.invoked = time.monotonic()
        try:
            answer = await connection.request(
                _METHODS.get(operation.kind, "GET"), _path(operation), _headers(user, operation), body, seconds=seconds
            )
        except CutError as error:
            operation.returned = time.monotonic()
            operation.gave_up = isinstance(error.__cause__, TimeoutError)
            return
        operation.returned = time.monotonic()
        operation.status, operation.headers, operation.answer = answer
        user.learn(operation)


def _kind(user: User, rng: random.Random) -> Kind:
    (kind,) = rng.choices(list(_CHOICES), list(_CHOICES.values()))
    if (not user.tasks and kind != "list") or (kind == "restore" and not user.deleted):
        kind = "create"
    return "delete" if kind in {"create", "restore"} and len(user.tasks) >= _TASKS else kind


def _choose(user: User, rng: random.Random) -> Operation:
    kind = _kind(user, rng)
    operation = Operation(user=user.name, kind=kind, marker=user.marker())
    if kind == "list":
        operation.query = rng.choice(_QUERIES)
    elif kind == "restore":
        operation.task_id = rng.choice(sorted(user.deleted))
    elif kind != "create":
        # Half of the requests use the newest few tasks, so that clients meet on the same task.
        known = list(user.tasks)
        operation.task_id = rng.choice(known[-3:] if rng.random() < 0.5 else known)
    if kind in {"create", "edit"}:
        operation.body = {"title": f"{rng.choice(('Milk', 'äpfel', 'Ärger', 'zebra'))} {operation.marker}"}
    if kind == "create" and rng.random() < 0.5:
        operation.body = {**(operation.body or {}), "description": f"of {operation.marker}"}
    if kind in {"create", "edit"} and rng.random() < 0.5:
        operation.body = {**(operation.body or {}), **rng.choice(_FIELDS)}
    if kind == "set":
        operation.body = {"completed": rng.random() < 0.5}
    _add_conditions(user, operation, rng)
    return operation


def _add_conditions(user: User, operation: Operation, rng: random.Random) -> None:
    if operation.is_write:
        if rng.random() < 0.15:
            operation.key = f"key-{operation.marker}"
        if operation.task_id in user.tasks and rng.random() < 0.15:
            operation.if_match = user.tasks[operation.task_id]
    elif operation.kind == "list" and rng.random() < 0.3:
        operation.if_none_match = user.etags.get(operation.query)


def _again(user: User, operation: Operation) -> Operation:
    """Return the same request under the same key."""
    return Operation(
        user=operation.user,
        kind=operation.kind,
        marker=user.marker(),
        task_id=operation.task_id,
        body=operation.body,
        key=operation.key,
        if_match=operation.if_match,
    )


def _path(operation: Operation) -> str:
    path = f"/api/{quote(operation.user, safe='')}/tasks"
    if operation.task_id is not None:
        path += f"/{operation.task_id}"
    if operation.kind in {"set", "toggle"}:
        path += "/complete"
    if operation.kind == "restore":
        path += "/restore"
    return path + operation.query


def _headers(user: User, operation: Operation) -> dict[str, str]:
    headers = {"Authorization": f"Bearer {user.token}", "X-Request-ID": operation.marker}
    if operation.body is not None:
        headers["Content-Type"] = "application/json"
    if operation.key is not None:
        headers["Idempotency-Key"] = operation.key
    if operation.if_match is not None:
        headers["If-Match"] = f'"{operation.if_match}"'
    if operation.if_none_match is not None:
        headers["If-None-Match"] = operation.if_none_match
    return headers
