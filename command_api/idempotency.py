"""Idempotency keys: a command that was carried out under a key is answered as it was then."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

from domain.commands import Command
from domain.decide import CommandError
from domain.task import TaskState
from event_log.append import Fetching, Once, Refused
from event_log.read import known_tasks, remembered


class KeyReusedError(CommandError):
    """The key came with another request before."""


def once(key: str, task_id: int | None, command: Command, if_match: frozenset[int] | None) -> Once:
    """What makes a request under `key` the same request: its task, its command and its precondition."""
    match = None if if_match is None else sorted(if_match)
    return Once(key=key, fingerprint=sha256(repr((task_id, command, match)).encode()).digest())


async def repeated(
    database: Fetching, asked: Iterable[tuple[str, Once]], light: int | None = None
) -> dict[tuple[str, str], TaskState | CommandError | Refused]:
    """Return the answers to those of (user id, once) that were carried out before, by user and key.

    An answer is the task as it was after the command; HEAVY where that has more than `light` bytes of data.
    """
    fingerprints = {(user_id, once.key): once.fingerprint for user_id, once in asked}
    if not fingerprints:
        return {}
    found = await remembered(database, list(fingerprints))
    same = {key: command for key, command in found.items() if command.fingerprint == fingerprints[key]}
    versions = [((user_id, command.task_id), command.version) for (user_id, _), command in same.items()]
    tasks = await known_tasks(database, versions, light) if versions else []
    answers: dict[tuple[str, str], TaskState | CommandError | Refused] = {key: KeyReusedError() for key in found}
    for key, task in zip(same, tasks, strict=True):
        answers[key] = Refused.HEAVY if task is None else task.state
    return answers
