"""The cache of the command side is limited in number and in time.

Seen to fail: with the timer not set again after states were dropped, and without `popitem` at the limit.
"""

from __future__ import annotations

from functools import partial

from command_api.known_states import KnownStates
from domain.task import NoTask
from event_log.read import Known
from tests.servers import eventually_async


async def test_a_state_is_forgotten_after_its_time_though_nobody_asks() -> None:
    known = KnownStates(seconds=0.05)
    for task in (1, 2):
        known.keep(("alice", task), Known(NoTask(version=1), None))
        assert known.get(("alice", task)) is not None
        await eventually_async(partial(_is_forgotten, known, task))


def _is_forgotten(known: KnownStates, task: int) -> bool:
    return known.get(("alice", task)) is None


async def test_the_state_kept_longest_ago_makes_room() -> None:
    known = KnownStates(limit=2)
    for task in (1, 2, 1, 3):
        known.keep(("alice", task), Known(NoTask(version=task), None))
    assert [task for task in (1, 2, 3) if known.get(("alice", task))] == [1, 3]
