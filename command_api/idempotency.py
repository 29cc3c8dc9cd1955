"""Idempotency keys: a command that was carried out under a key is answered as it was then."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import sha256

from domain.commands import Command
from domain.decide import CommandError
from domain.evolve import fold
from domain.task import NoTask, TaskState
from event_log.append import Fetching, Once
from event_log.read import Remembered, remembered, task_events


class KeyReusedError(CommandError):
    """The key came with another request before."""


def once(key: str, task_id: int | None, command: Command, if_match: frozenset[int] | None) -> Once:
    """What makes a request under `key` the same request: its task, its command and its precondition."""
    match = None if if_match is None else sorted(if_match)
    return Once(key=key, fingerprint=sha256(repr((task_id, command, match)).encode()).digest())


async def repeated(
    database: Fetching, asked: Iterable[tuple[str, Once]]
) -> dict[tuple[str, str], TaskState | CommandError]:
    """The answers to those of (user id, once) that were carried out before: the task as it was after them."""
    fingerprints = {(user_id, once.key): once.fingerprint for user_id, once in asked}
    if not fingerprints:
        return {}
    found = await remembered(database, list(fingerprints))
    same = {key: command for key, command in found.items() if command.fingerprint == fingerprints[key]}
    return {key: KeyReusedError() for key in found} | await _states(database, same)


async def _states(
    database: Fetching, commands: Mapping[tuple[str, str], Remembered]
) -> dict[tuple[str, str], TaskState | CommandError]:
    tasks = {(user_id, command.task_id): 0 for (user_id, _), command in commands.items()}
    if not tasks:
        return {}
    histories = await task_events(database, tasks)
    return {
        (user_id, key): fold(
            NoTask(), (event for event in histories[user_id, command.task_id] if event.version <= command.version)
        )
        for (user_id, key), command in commands.items()
    }
