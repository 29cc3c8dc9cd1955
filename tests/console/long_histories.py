"""Long histories for the console, made from a seed as an export that `import` reads."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import count

from tests.exports import Event, event

_BEGIN = datetime(2026, 9, 25, 8, 0, 0, 1, tzinfo=UTC)
_WORDS = ("milk", "report", "garden", "trip", "bill", "dentist", "bike", "letter", "dinner", "roof")
_VERBS = ("Buy", "Write", "Plan", "Check", "Call about", "Book", "Return", "Clean", "Order", "Repair")


def history(user: str, *, tasks: int, events: int, task_ids: Iterator[int], days: int = 60) -> Iterator[Event]:
    """Yield a user's events over some days: at first `tasks` creations among others, every task's events possible."""
    chance = random.Random(user)
    made: list[int] = []
    states: dict[int, tuple[int, bool]] = {}  # version, completed
    for position in range(1, events + 1):
        at = _BEGIN + timedelta(days=days) * (position / events) ** 1.3
        recorded = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        if len(made) < tasks and (
            not made or chance.random() < tasks / events + 0.05 or events - position < tasks - len(made)
        ):
            made.append(next(task_ids))
            states[made[-1]] = (1, False)
            yield event(
                user, position, made[-1], 1, "task.created", recorded_at=recorded, data=_title(chance, len(made))
            )
            continue
        task = made[-chance.randint(1, min(50, len(made)))]
        version, completed = states[task]
        kind = chance.choice(("edited", "reopened" if completed else "completed"))
        data = "{}" if kind != "edited" else _json({"title": f"{chance.choice(_VERBS)} the {chance.choice(_WORDS)}"})
        states[task] = (version + 1, completed if kind == "edited" else not completed)
        yield event(user, position, task, version + 1, f"task.{kind}", recorded_at=recorded, data=data)


def ids() -> Iterator[int]:
    """Return the ids of tasks, for all users of an export."""
    return count(1)


def _title(chance: random.Random, number: int) -> str:
    return _json({"description": None, "title": f"{chance.choice(_VERBS)} the {chance.choice(_WORDS)} ({number})"})


def _json(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), sort_keys=True)
