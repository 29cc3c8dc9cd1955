"""Checks of what is stored: dense positions, chains, legal histories, a projection that equals its replay."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC
from hashlib import sha256
from itertools import pairwise

from tests.chaos.checker import Violation
from tests.chaos.fold import Event, IllegalEventError, TaskObject, Tasks, apply
from tests.chaos.ledger import Stored
from tests.chaos.rows import decoded, row_of

_GENESIS = "0" * 64


def check_streams(stored: Stored) -> Iterator[Violation]:
    """Check that positions are dense, times never run back, every hash fits, and every event was possible."""
    for user, stream in stored.streams.items():
        positions = [event.position for event in stream]
        if positions != list(range(1, len(stream) + 1)):
            yield Violation("positions are dense", user, f"{positions[:10]} … {positions[-3:]}")
        if any(later.recorded_at < earlier.recorded_at for earlier, later in pairwise(stream)):
            yield Violation("recorded times never run back", user, "")
        digest = _GENESIS
        for event in stream:
            digest = _link(digest, event)
            if digest != event.hash:
                yield Violation("chains verify", user, f"position {event.position}")
                break
        if stored.heads.get(user) != (len(stream), digest):
            yield Violation("a head is its stream's end", user, f"{stored.heads.get(user)}, {len(stream)} events")
        if user not in stored.parked:
            yield from _check_legal(user, stream)


def _check_legal(user: str, stream: Sequence[Event]) -> Iterator[Violation]:
    tasks = Tasks()
    for event in stream:
        try:
            apply(tasks, event)
        except IllegalEventError as error:
            yield Violation("an event follows from what was", user, f"position {event.position}: {error}")
            return


def _link(before: str, event: Event) -> str:
    content = sha256(f"{event.metadata_text}\n{event.data_text}".encode()).hexdigest()
    at = event.recorded_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    lines = [before, event.user, event.position, event.task_id, event.version, event.event_id, event.type]
    return sha256("\n".join(map(str, [*lines, event.schema_version, at, content])).encode()).hexdigest()


def check_projection(stored: Stored) -> Iterator[Violation]:
    """Check that every checkpoint is at its head, and the rows are exactly the fold of the ledger."""
    expected: dict[tuple[str, int], TaskObject] = {}
    for user, stream in stored.streams.items():
        reached = stored.checkpoints.get(user, 0)
        if reached != len(stream) and user not in stored.parked:
            yield Violation("lag is 0", user, f"projected to {reached} of {len(stream)}")
        tasks = Tasks()
        for event in stream[:reached]:
            try:
                apply(tasks, event)
            except IllegalEventError:
                break  # check_streams reports it
        expected |= {(user, task_id): task for task_id, task in tasks.items()}
    for key in expected.keys() | stored.rows.keys():
        task, row = expected.get(key), stored.rows.get(key)
        if task is None or row is None or decoded(row) != row_of(task):
            yield Violation("the projection is its replay", key[0], f"task {key[1]}: {row}, folded {task}")
