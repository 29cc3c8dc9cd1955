"""What a check found, and how it reports progress."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, TypeAlias

from event_log.chain import Fault

Anchors: TypeAlias = Mapping[str, Mapping[int, str]]
"""For each user, the anchored hash at each anchored position."""

Progress: TypeAlias = Callable[[int], None]
"""A callback that gets how many more events are done."""


_SHOWN_FAULTS: Final = 20


@dataclass(kw_only=True, slots=True)
class Report:
    """What was checked, and the first fault of each user.

    `anchors` is the number of anchors that apply, or None if none were given; `behind` is the number of events that are
    not projected yet, and so not in any task. `other_formats` is the number of users whose rows are in another
    version's format: nobody reads these rows, and only their ids and versions were compared.
    """

    streams: int = 0
    events: int = 0
    tasks: int = 0
    behind: int = 0
    other_formats: int = 0
    anchors: int | None = None
    faults: list[Fault] = field(default_factory=list)

    def summary(self) -> Mapping[str, Any]:
        """Return the result of a job: the figures, and the first faults."""
        return {
            "streams": self.streams,
            "events": self.events,
            "tasks": self.tasks,
            "behind": self.behind,
            "other_formats": self.other_formats,
            "anchors": self.anchors,
            "fault_count": len(self.faults),
            "faults": [asdict(fault) for fault in self.faults[:_SHOWN_FAULTS]],
        }


def gone(anchors: Anchors, seen: set[str]) -> list[Fault]:
    """Return a fault for each anchored stream that was not seen."""
    reason = "the stream is gone, but it was anchored"
    return [Fault(user_id=user, position=1, reason=reason) for user in sorted(anchors.keys() - seen)]
