"""The demo: a ledger of three people over two months, made from a seed, in the form of an export.

The people give commands, and the domain decides: so nothing is in this ledger that could not have happened.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from hashlib import sha256
from itertools import count
from pathlib import Path
from random import Random
from typing import Final
from uuid import UUID

import orjson

from audit.demo_ideas import DETAILS, IDEAS, NOTES, PRIORITIES, TAGS, Idea
from audit.export_line import FileEvent
from domain.commands import (
    Command,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    ReopenTask,
    RestoreTask,
    UndoCommand,
)
from domain.decide import decide
from domain.events import Recorded, TaskCompleted, TaskEdited, TaskEvent, TaskReopened
from domain.evolve import evolve
from domain.fields import given
from domain.labels import tags_of
from domain.task import DeletedTask, NoTask, Task, TaskState
from domain.undo import COMPLETED, EXISTENCE, Effect, inverse
from event_log.chain import GENESIS
from event_log.codec import canonical_json, encode

PEOPLE: Final = tuple(sorted(IDEAS))
DAYS: Final = 61
"""How many days the history covers."""

_MOST_OPEN: Final = 16
"""From this many open tasks on, people seldom add another one."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Demo:
    """The lines of an export, and what is in it: events, and the days from `first` to before `until`."""

    lines: list[bytes]
    events: int
    first: date
    until: date

    def write(self, path: Path) -> None:
        """Write the export to a file."""
        path.write_bytes(b"".join(self.lines))


def demo(seed: int, until: date) -> Demo:
    """Return the ledger of the two months before `until`; the same for the same seed and day, in every byte."""
    midnight = datetime(until.year, until.month, until.day, tzinfo=UTC)
    first, ids = midnight - timedelta(days=DAYS), count(1)
    people = [_Person(user_id=name, random=Random(f"{seed} {name}"), ids=ids, now=first) for name in PEOPLE]  # noqa: S311
    for day in range(DAYS):
        for person in people:
            person.live(first + timedelta(days=day))
    events = [event for person in people for event in person.events]
    lines = [orjson.dumps(event._asdict()) + b"\n" for event in events]
    end = {"end": True, "user_id": None, "events": len(events), "exported_at": midnight}
    digest = sha256(b"".join(lines)).hexdigest()
    lines.append(orjson.dumps(end | {"sha256": digest}, option=orjson.OPT_UTC_Z) + b"\n")
    return Demo(lines=lines, events=len(events), first=first.date(), until=until)


@dataclass(kw_only=True, slots=True)
class _Person:
    """Somebody with a list of tasks; `now` is the person's clock, `last` the last command that can be undone."""

    user_id: str
    random: Random
    ids: Iterator[int]
    now: datetime
    events: list[FileEvent] = field(default_factory=list)
    _tasks: dict[int, TaskState] = field(default_factory=dict)
    _thought_of: dict[Idea, datetime] = field(default_factory=dict)
    _last: tuple[int, TaskState, Effect] | None = None

    def live(self, day: datetime) -> None:
        """Look at the list a few times on this day, and do something each time."""
        hours = sorted(self.random.sample(range(6, 22), self.random.choice((0, 1, 1, 2, 2, 3))))
        for hour in hours:
            self.now = day + timedelta(hours=hour, seconds=self.random.uniform(0, 2400))
            self._last = None
            for _ in range(self.random.choice((1, 2, 2, 3, 4))):
                self._act()
                self.now += timedelta(seconds=self.random.uniform(5, 180))

    def _act(self) -> None:
        open_, done, deleted = self._of(completed=False), self._of(completed=True), self._deleted()
        likely = {
            self._add: 3.0 if len(open_) < _MOST_OPEN else 0.3,
            self._complete: 0.2 * len(open_),
            self._edit: 1.5 if open_ else 0,
            self._reopen: 0.2 if done else 0,
            self._delete: 0.3 if open_ else 0,
            self._restore: 0.2 if deleted else 0,
            self._undo: 0.4 if self._last else 0,
        }
        (act,) = self.random.choices(list(likely), list(likely.values()))
        act()

    def _add(self) -> None:
        fresh = [idea for idea in IDEAS[self.user_id] if self._is_fresh(idea)]
        if not fresh:
            return
        idea = self.random.choice(fresh)
        self._thought_of[idea] = self.now
        due = None if idea.due_in is None else self._day(idea.due_in)
        command = CreateTask(
            title=idea.title,
            description=idea.description,
            due_date=due,
            priority=idea.priority,
            tags=idea.tags,
            category=idea.category,
        )
        self._give(next(self.ids), command)

    def _is_fresh(self, idea: Idea) -> bool:
        last = self._thought_of.get(idea)
        return last is None or (idea.every is not None and self.now - last > timedelta(days=idea.every))

    def _complete(self) -> None:
        """Complete one of the four open tasks that are due first."""
        by_due = sorted(self._of(completed=False), key=lambda task: (task.due_date or "9", task.id))
        task = self.random.choice(by_due[:4])
        note = EditTask(description=self.random.choice(NOTES), completed=True)
        (command,) = self.random.choices((CompleteTask(), note), (9, 1))
        self._give(task.id, command)

    def _edit(self) -> None:
        task = self.random.choice(self._of(completed=False))
        changes = [
            EditTask(due_date=self._day(self.random.randint(1, 9))),
            EditTask(description=self.random.choice(NOTES)),
            EditTask(priority=self.random.choice(PRIORITIES)),
            EditTask(tags=tags_of([*task.tags, self.random.choice(TAGS)])),
        ]
        if "," not in task.title:
            changes.append(EditTask(title=f"{task.title}, {self.random.choice(DETAILS)}"))
        self._give(task.id, self.random.choice(changes))

    def _reopen(self) -> None:
        self._give(max(self._of(completed=True), key=lambda task: task.updated_at).id, ReopenTask())

    def _delete(self) -> None:
        self._give(self.random.choice(self._of(completed=False)).id, DeleteTask())

    def _restore(self) -> None:
        self._give(self.random.choice(self._deleted()), RestoreTask())

    def _undo(self) -> None:
        assert self._last is not None
        task_id, before, effect = self._last
        now = self._tasks[task_id]
        undo = UndoCommand(undoes=effect.position, version=now.version, inverse=inverse(effect, (), before, now))
        self._give(task_id, undo)
        self._last = None

    def _of(self, *, completed: bool) -> list[Task]:
        return [state for state in self._tasks.values() if isinstance(state, Task) and state.completed is completed]

    def _deleted(self) -> list[int]:
        return [task_id for task_id, state in self._tasks.items() if isinstance(state, DeletedTask)]

    def _day(self, days: int) -> str:
        return (self.now + timedelta(days=days)).date().isoformat()

    def _give(self, task_id: int, command: Command) -> None:
        """Carry a command out: decide, append, evolve."""
        before = self._tasks.get(task_id, NoTask())
        events = decide(command, before)
        request_id = f"{self.random.getrandbits(128):032x}"
        undoes = command.undoes if isinstance(command, UndoCommand) else None
        for n, event in enumerate(events):
            self._append(task_id, event, _metadata(self, request_id, continues=n > 0, undoes=undoes))
        if events:
            version = before.version + len(events)
            self._last = (task_id, before, Effect(len(self.events), before.version, version, _sets(events), undoes))

    def _append(self, task_id: int, event: TaskEvent, metadata: str) -> None:
        state = self._tasks.get(task_id, NoTask())
        at = self.now.replace(microsecond=self.random.randrange(1_000_000))
        self.now = at = max(at, self.now)
        name, schema_version, data = encode(event)
        position, version = len(self.events) + 1, state.version + 1
        time = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        event_id = _event_id(at, self.random)
        content = sha256(f"{metadata}\n{data}".encode()).hexdigest()
        previous = self.events[-1].hash if self.events else GENESIS
        lines = (previous, self.user_id, position, task_id, version, event_id, name, schema_version, time, content)
        digest = sha256("\n".join(map(str, lines)).encode()).hexdigest()
        place = (self.user_id, position, task_id, version)
        self.events.append(FileEvent(*place, event_id, name, schema_version, time, data, metadata, None, digest))
        recorded = Recorded(event=event, task_id=task_id, position=position, version=version, recorded_at=at)
        self._tasks[task_id] = evolve(state, recorded)


def _metadata(person: _Person, request_id: str, *, continues: bool, undoes: int | None) -> str:
    values: dict[str, object] = {
        "actor": person.user_id,
        "nonce": f"{person.random.getrandbits(128):032x}",
        "request_id": request_id,
    }
    if continues:
        values["continues"] = True
    if undoes is not None:
        values["undoes"] = undoes
    return canonical_json(values)


def _sets(events: tuple[TaskEvent, ...]) -> frozenset[str]:
    """Return the fields that events set, as `Effect.sets` has them."""
    found: set[str] = set()
    for event in events:
        match event:
            case TaskEdited():
                found |= given(event).keys()
            case TaskCompleted() | TaskReopened():
                found.add(COMPLETED)
            case _:
                found.add(EXISTENCE)
    return frozenset(found)


def _event_id(at: datetime, random: Random) -> str:
    """Return a UUID of version 7 (RFC 9562) of this moment."""
    value = int(at.timestamp() * 1000) << 80 | 0x7 << 76 | random.getrandbits(12) << 64
    return str(UUID(int=value | 0x2 << 62 | random.getrandbits(62)))
