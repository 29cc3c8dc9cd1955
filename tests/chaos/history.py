"""The history: every request of every client, when it was sent, when it was answered, and how."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

import orjson

Kind = Literal["create", "edit", "set", "toggle", "delete", "restore", "list", "get"]

WRITES: Final[frozenset[str]] = frozenset({"create", "edit", "set", "toggle", "delete", "restore"})


@dataclass(kw_only=True, slots=True, eq=False)
class Operation:
    """One request. Its marker is its X-Request-ID, which the ledger stores with each event that it leads to.

    Times are seconds of one monotonic clock; `status` is None if no answer came: the client gave up, or was cut.
    """

    user: str
    kind: Kind
    marker: str
    task_id: int | None = None
    body: dict[str, Any] | None = None
    query: str = ""
    key: str | None = None
    if_match: int | None = None
    if_none_match: str | None = None
    invoked: float = 0.0
    returned: float = math.inf
    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    answer: bytes = b""
    gave_up: bool = False

    @property
    def is_write(self) -> bool:
        return self.kind in WRITES

    @property
    def is_acknowledged(self) -> bool:
        return self.status is not None and self.status < 400

    @property
    def is_refused(self) -> bool:
        """Whether the answer said that it did not happen."""
        return self.status is not None and 400 <= self.status < 500

    @property
    def is_unknown(self) -> bool:
        """Whether it may have happened, once, or not."""
        return not self.is_acknowledged and not self.is_refused

    @property
    def etag(self) -> str | None:
        return self.headers.get("etag")

    @property
    def number(self) -> int | None:
        """The number in the ETag: a list's position, or a task's version."""
        digits = (self.etag or "").removeprefix("W/").strip('"').partition("-")[0]
        return int(digits) if digits.isdigit() else None

    def json(self) -> Any:
        return orjson.loads(self.answer)

    def __str__(self) -> str:
        what = f"{self.kind} {self.task_id or ''}{self.query}".strip()
        return f"{self.marker} ({what}, {self.status}, {self.invoked:.3f} to {self.returned:.3f})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Counts:
    """How many requests there were, and how they ended."""

    requests: int
    acknowledged: int
    unknown: int
    refused: int


def count(history: Iterable[Operation]) -> Counts:
    ends = Counter(
        "acknowledged" if operation.is_acknowledged else "refused" if operation.is_refused else "unknown"
        for operation in history
    )
    return Counts(
        requests=ends.total(),
        acknowledged=ends["acknowledged"],
        unknown=ends["unknown"],
        refused=ends["refused"],
    )


def forgiven(history: Iterable[Operation], until: float) -> list[Operation]:
    """Return the history without the answers to requests sent before a moment: these may have happened or not."""
    return [replace(one, status=None, headers={}, answer=b"") if one.invoked < until else one for one in history]
