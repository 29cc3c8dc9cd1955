"""Idempotency keys: a repeated request under a key gets the answer of the first one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from functools import cache
from hashlib import sha256
from typing import Final, NamedTuple, TypeAlias

from domain.commands import (
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
    ToggleTask,
)
from domain.decide import CommandError
from domain.fields import UNSET, field_getter
from domain.task import TaskState
from event_log.append import Fetching, IdempotencyKey, Refused
from event_log.read import known_tasks, remembered
from event_log.receipt import Receipt


class Done(NamedTuple):
    """A command that was carried out: the task's state after it, and its receipt, unless the ledger lost that place."""

    state: TaskState
    receipt: Receipt | None


Answer: TypeAlias = Done | CommandError | Refused


_NAMES: Final[Mapping[type[TaskCommand], tuple[str, tuple[str, ...]]]] = {
    CreateTask: ("CreateTask", ("title", "description")),
    EditTask: ("EditTask", ("title", "description", "completed")),
    CompleteTask: ("CompleteTask", ()),
    ReopenTask: ("ReopenTask", ()),
    ToggleTask: ("ToggleTask", ()),
    DeleteTask: ("DeleteTask", ()),
    RestoreTask: ("RestoreTask", ()),
}
"""The names of commands in digests, which stay, and the fields that they had in release 1.0, in their order then."""


class _Form(NamedTuple):
    """How a command is written in digests: a template of the fields that it had in release 1.0, and the later fields.

    `of_1_0` and `of_later` return the values of both in a command; `defaults` are those of the later fields.
    """

    template: str
    later: tuple[str, ...]
    defaults: tuple[object, ...]
    of_1_0: Callable[[object], tuple[object, ...]]
    of_later: Callable[[object], tuple[object, ...]]


@cache
def _form(command: type[object]) -> _Form:
    name, of_1_0 = next(form for known, form in _NAMES.items() if issubclass(command, known))
    later = [field for field in fields(command) if field.name not in of_1_0]  # type: ignore[arg-type] # one of dataclasses
    names, defaults = tuple(field.name for field in later), tuple(field.default for field in later)
    template = ", ".join(f"{field}=%s" for field in of_1_0)
    return _Form(f"{name}({template}", names, defaults, field_getter(of_1_0), field_getter(names))


class KeyReusedError(CommandError):
    """The key was used for another request before."""


def key_with_digest(
    key: str, task_id: int | None, command: TaskCommand, if_match: frozenset[int] | None
) -> IdempotencyKey:
    """Return a key with the digest of its request: of the task, the command and the precondition.

    Digests are stored, and services of other releases compare them. So the digested text stays that of release 1.0.
    """
    return _with_digest(key, task_id, _written(command), if_match)


def undo_key_with_digest(key: str, position: int | None, if_match: frozenset[int] | None) -> IdempotencyKey:
    """Return a key with the digest of a request to undo what was done at a position, or the newest change for None."""
    return _with_digest(key, None, f"Undo(position={position!r})", if_match)


def _with_digest(key: str, task_id: int | None, asked: str, if_match: frozenset[int] | None) -> IdempotencyKey:
    match = None if if_match is None else sorted(if_match)
    text = f"({task_id!r}, {asked}, {match!r})"
    return IdempotencyKey(key, sha256(text.encode()).digest())


def _written(command: TaskCommand) -> str:
    """Return a command in the form of release 1.0, followed by the fields of later releases that are given."""
    form = _form(type(command))  # type: ignore[arg-type] # a class can be hashed
    text = form.template % tuple([_value(value) for value in form.of_1_0(command)])
    later = form.of_later(command)
    if later != form.defaults:
        for field, value, default in zip(form.later, later, form.defaults, strict=True):
            if value != default:
                text += f", {field}={_value(value)}"
    return text + ")"


def _value(value: object) -> str:
    return "<Unset.UNSET: 'unset'>" if value is UNSET else repr(value)


async def repeated(
    database: Fetching, asked: Iterable[tuple[str, IdempotencyKey]], light: int | None = None
) -> dict[tuple[str, str], Answer]:
    """Return the answers to those requests (user id, key) that were carried out before, by user and key.

    An answer is the task as it was after the command, with the receipt of the first time, or HEAVY if the task has more
    than `light` bytes of data.
    """
    fingerprints = {(user_id, key.key): key.fingerprint for user_id, key in asked}
    if not fingerprints:
        return {}
    found = await remembered(database, list(fingerprints))
    same = {key: command for key, command in found.items() if command.fingerprint == fingerprints[key]}
    versions = [((user_id, command.task_id), command.version) for (user_id, _), command in same.items()]
    tasks = await known_tasks(database, versions, light) if versions else []
    answers: dict[tuple[str, str], Answer] = {key: KeyReusedError() for key in found}
    for (key, command), task in zip(same.items(), tasks, strict=True):
        answers[key] = Refused.HEAVY if task is None else Done(task.state, command.receipt)
    return answers
