"""How the errors of commands are told to clients."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asyncpg.exceptions import SequenceGeneratorLimitExceededError

from command_api.group_commit import ConflictError, InFlightError
from command_api.idempotency import KeyReusedError
from command_api.plan import StaleError
from edge.problem_kinds import Kind

REFUSALS: Final[Mapping[type[Exception], tuple[Kind, str]]] = {
    ConflictError: (Kind.CONTENDED_TASK, "The task is being changed by many at once, try again"),
    InFlightError: (Kind.REQUEST_IN_PROGRESS, "A request with this Idempotency-Key is being carried out"),
    StaleError: (Kind.TASK_CHANGED, "The task was changed since: it is not at the version that If-Match names"),
    SequenceGeneratorLimitExceededError: (Kind.TASK_IDS_USED_UP, "There are no task ids left to create a task with"),
    KeyReusedError: (Kind.KEY_REUSED, "This Idempotency-Key was used for another request before"),
}
"""The kind and the sentence for each error that only a write can have."""
