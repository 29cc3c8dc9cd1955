"""What a batch has appended to streams that somebody in this process follows: they need not read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from command_api.idempotency import Done
from command_api.plan import CommandRequest, Decision, Outcome, Plan
from domain.task import DeletedTask, NoTask, Task
from event_log.append import Append, Appended, Refused
from event_log.followers import Advance
from event_log.receipt import Receipt


def look_at_head(user_id: str) -> Append:
    """Return an append of nothing, whose receipt is the head that the appends behind it find."""
    return Append(user_id=user_id, task_id=0, expected_version=0, events=(), actor=user_id, request_id="")


def advances(
    heads: Mapping[str, Appended | Refused],
    requests: Sequence[CommandRequest],
    plans: Sequence[Plan],
    results: Sequence[Appended | Refused],
    outcomes: Sequence[Outcome],
) -> list[Advance]:
    """Return how a batch moved the heads that were looked at; `results` are those of the plans' appends, in order."""
    states: dict[str, dict[int, Task | DeletedTask]] = {user_id: {} for user_id in heads}
    after: dict[str, Receipt] = {}
    appended = iter(results)
    for request, decided, outcome in zip(requests, plans, outcomes, strict=True):
        result = next(appended) if isinstance(decided, Decision) and decided.append else None
        its = states.get(request.user_id)
        if its is None or not isinstance(result, Appended) or not result.events or not isinstance(outcome, Done):
            continue
        state = outcome.state
        assert not isinstance(state, NoTask), "events lead to a task"
        its.pop(state.id, None)
        its[state.id] = state
        after[request.user_id] = result.receipt
    return [
        Advance(user_id, head.receipt, after[user_id], [*states[user_id].values()])
        for user_id, head in heads.items()
        if user_id in after and isinstance(head, Appended)
    ]
