"""The clients, sync and async. Each method is one call; it returns the answer's JSON, or raises `ProblemError`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from types import TracebackType
from typing import Final, Self, Unpack
from urllib.parse import quote

import httpx
import httpx_sse

from tasklog_client import calls
from tasklog_client.calls import Answer, Call
from tasklog_client.problem import ProblemError
from tasklog_client.types import (
    Changes,
    Command,
    CommandAnswer,
    DeletedTask,
    Explained,
    Fields,
    History,
    Stats,
    StoredEvents,
    Task,
    TaskDeleted,
    Undone,
)

SILENCE: Final = 45.0
"""Seconds without a byte after which a stream is taken for dead: three heartbeats."""

Filter = str | int | bool | Sequence[str] | None


def _root(url: str, user: str) -> str:
    return f"{url.rstrip('/')}/api/{quote(user, safe='')}"


class Tasklog:
    """The calls of one user. `token` is a bearer token, or a function that returns the current one."""

    def __init__(
        self, url: str, user: str, token: str | Callable[[], str], *, http: httpx.Client | None = None
    ) -> None:
        """Take the URL of the service; `http` is a client of your own, which you close."""
        self._root = _root(url, user)
        self._token = token if callable(token) else lambda: token
        self._http = http or httpx.Client(timeout=30.0)
        self._closes = http is None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        if self._closes:
            self._http.close()

    def send(self, call: Call[Answer]) -> Answer:
        """Make a call, and return its JSON."""
        answer = self._http.send(call.request(self._http, self._root, self._token()))
        if answer.is_error:
            raise ProblemError(answer)
        result: Answer = answer.json()
        return result

    def tasks(self, **query: Filter) -> list[Task]:
        """Return the tasks that match; the names are those of the API: status, search, sort, limit and others."""
        return self.send(calls.read_tasks(query))

    def get(self, task_id: int) -> Task:
        """Return a task."""
        return self.send(calls.read_task(task_id))

    def create(self, *, key: str | None = None, **fields: Unpack[Fields]) -> Task:
        """Create a task. Calls with the same key create it once."""
        return self.send(calls.create_task(fields, key))

    def edit(self, task_id: int, **fields: Unpack[Fields]) -> Task:
        """Change fields of a task."""
        return self.send(calls.edit_task(task_id, fields))

    def complete(self, task_id: int, *, completed: bool = True) -> Task:
        """Complete a task, or reopen it."""
        return self.send(calls.complete_task(task_id, completed=completed))

    def delete(self, task_id: int) -> TaskDeleted:
        """Delete a task."""
        return self.send(calls.delete_task(task_id))

    def restore(self, task_id: int) -> Task:
        """Bring a deleted task back."""
        return self.send(calls.restore_task(task_id))

    def trash(self, *, limit: int | None = None, cursor: str | None = None) -> list[DeletedTask]:
        """Return the deleted tasks, the newest deletion first."""
        return self.send(calls.read_trash({"limit": limit, "cursor": cursor}))

    def undo(self, position: int | None = None) -> Undone:
        """Undo the command at a position, by default the newest that is not undone."""
        return self.send(calls.undo(position))

    def stats(self) -> Stats:
        """Count the tasks."""
        return self.send(calls.read_stats())

    def history(self, task_id: int | None = None, **query: Filter) -> History:
        """Return the history of a task, by default of all."""
        return self.send(calls.read_history(task_id, query))

    def events(self, *, after: int = 0, limit: int | None = None) -> StoredEvents:
        """Return the events after a position as they are stored, with all that their hashes are made of."""
        return self.send(calls.read_events({"after": after, "limit": limit}))

    def explain(self, position: int) -> Explained:
        """Return the command, the event, and its task's state and row before and after it."""
        return self.send(calls.explain(position))

    def changes(self, since: str | None = None, *, limit: int | None = None, wait: int | None = None) -> Changes:
        """Return what changed since a token, by default everything; wait for up to 30 s until there is something."""
        return self.send(calls.read_changes({"since": since, "limit": limit, "wait": wait}))

    def commands(self, commands: Sequence[Command]) -> CommandAnswer:
        """Carry out up to 100 commands in order, each once for its id."""
        return self.send(calls.commands(commands))

    def stream(self, since: str | None = None) -> Generator[Changes, None, None]:
        """Yield what changes, first what changed since a token; end when the connection does."""
        request = calls.stream(since).request(self._http, self._root, self._token())
        request.extensions["timeout"] = httpx.Timeout(30.0, read=SILENCE).as_dict()
        answer = self._http.send(request, stream=True)
        try:
            if answer.is_error:
                answer.read()
                raise ProblemError(answer)
            for event in httpx_sse.EventSource(answer).iter_sse():
                if event.data:
                    yield json.loads(event.data)
        finally:
            answer.close()


class AsyncTasklog:
    """The same calls for asyncio. `token` is a bearer token, or a function that returns the current one."""

    def __init__(
        self, url: str, user: str, token: str | Callable[[], str], *, http: httpx.AsyncClient | None = None
    ) -> None:
        """Take the URL of the service; `http` is a client of your own, which you close."""
        self._root = _root(url, user)
        self._token = token if callable(token) else lambda: token
        self._http = http or httpx.AsyncClient(timeout=30.0)
        self._closes = http is None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        if self._closes:
            await self._http.aclose()

    async def send(self, call: Call[Answer]) -> Answer:
        """Make a call, and return its JSON."""
        answer = await self._http.send(call.request(self._http, self._root, self._token()))
        if answer.is_error:
            raise ProblemError(answer)
        result: Answer = answer.json()
        return result

    async def tasks(self, **query: Filter) -> list[Task]:
        """Return the tasks that match; the names are those of the API: status, search, sort, limit and others."""
        return await self.send(calls.read_tasks(query))

    async def get(self, task_id: int) -> Task:
        """Return a task."""
        return await self.send(calls.read_task(task_id))

    async def create(self, *, key: str | None = None, **fields: Unpack[Fields]) -> Task:
        """Create a task. Calls with the same key create it once."""
        return await self.send(calls.create_task(fields, key))

    async def edit(self, task_id: int, **fields: Unpack[Fields]) -> Task:
        """Change fields of a task."""
        return await self.send(calls.edit_task(task_id, fields))

    async def complete(self, task_id: int, *, completed: bool = True) -> Task:
        """Complete a task, or reopen it."""
        return await self.send(calls.complete_task(task_id, completed=completed))

    async def delete(self, task_id: int) -> TaskDeleted:
        """Delete a task."""
        return await self.send(calls.delete_task(task_id))

    async def restore(self, task_id: int) -> Task:
        """Bring a deleted task back."""
        return await self.send(calls.restore_task(task_id))

    async def trash(self, *, limit: int | None = None, cursor: str | None = None) -> list[DeletedTask]:
        """Return the deleted tasks, the newest deletion first."""
        return await self.send(calls.read_trash({"limit": limit, "cursor": cursor}))

    async def undo(self, position: int | None = None) -> Undone:
        """Undo the command at a position, by default the newest that is not undone."""
        return await self.send(calls.undo(position))

    async def stats(self) -> Stats:
        """Count the tasks."""
        return await self.send(calls.read_stats())

    async def history(self, task_id: int | None = None, **query: Filter) -> History:
        """Return the history of a task, by default of all."""
        return await self.send(calls.read_history(task_id, query))

    async def events(self, *, after: int = 0, limit: int | None = None) -> StoredEvents:
        """Return the events after a position as they are stored, with all that their hashes are made of."""
        return await self.send(calls.read_events({"after": after, "limit": limit}))

    async def explain(self, position: int) -> Explained:
        """Return the command, the event, and its task's state and row before and after it."""
        return await self.send(calls.explain(position))

    async def changes(self, since: str | None = None, *, limit: int | None = None, wait: int | None = None) -> Changes:
        """Return what changed since a token, by default everything; wait for up to 30 s until there is something."""
        return await self.send(calls.read_changes({"since": since, "limit": limit, "wait": wait}))

    async def commands(self, commands: Sequence[Command]) -> CommandAnswer:
        """Carry out up to 100 commands in order, each once for its id."""
        return await self.send(calls.commands(commands))

    async def stream(self, since: str | None = None) -> AsyncGenerator[Changes, None]:
        """Yield what changes, first what changed since a token; end when the connection does."""
        request = calls.stream(since).request(self._http, self._root, self._token())
        request.extensions["timeout"] = httpx.Timeout(30.0, read=SILENCE).as_dict()
        answer = await self._http.send(request, stream=True)
        try:
            if answer.is_error:
                await answer.aread()
                raise ProblemError(answer)
            async for event in httpx_sse.EventSource(answer).aiter_sse():
                if event.data:
                    yield json.loads(event.data)
        finally:
            await answer.aclose()
