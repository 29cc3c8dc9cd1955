"""The history over HTTP: its query parameters, parsed and documented, and the shape of the answer."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from pydantic import Field as Described
from typing_extensions import TypeAliasType

from event_log.codec import EVENT_TYPES
from read_api.history import HISTORY_FIELDS, HistoryQuery
from read_api.schemas import BIGINT_DIGITS, LIMIT, number, one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

_LIMIT: Final = 100
LAST_POSITION: Final = 10**BIGINT_DIGITS - 1
"""No position is larger."""

_TYPES: Final[dict[str, Any]] = {"title": "EventType", "enum": list(EVENT_TYPES)}
EventType = TypeAliasType("EventType", Annotated[str, Described(json_schema_extra=_TYPES)])
"""The wire name of an event; a type with its own name, so that the document refers to it everywhere."""

AFTER: Final[dict[str, Any]] = {
    "name": "after",
    "in": "query",
    "description": "The page begins after this position",
    "schema": {"type": "integer", "minimum": 0, "maximum": LAST_POSITION, "default": 0},
}
HISTORY_PARAMETERS: Final[tuple[dict[str, Any], ...]] = (
    AFTER,
    {
        "name": "limit",
        "in": "query",
        "description": "The most events of a page; a page of long texts has fewer",
        "schema": {"type": "integer", "minimum": 1, "maximum": LIMIT, "default": _LIMIT},
    },
    {
        "name": "type",
        "in": "query",
        "description": "Only events of this type; a page may then have fewer than `limit`, although more follow",
        "schema": {"$ref": "#/components/schemas/EventType"},
    },
)


class FieldChange(BaseModel):
    """A field that the event set, and its value before and after."""

    field: str = Described(json_schema_extra={"enum": list(HISTORY_FIELDS)})
    before: str | bool | list[str] | None = Described(alias="from")
    to: str | bool | list[str] | None


class HistoryEvent(BaseModel):
    """An event as it is stored, and what it changed.

    `hash` is sha256 (hex) over ten lines joined by line feeds: the previous hash (64 zeros for the first event),
    user_id, position, task_id (empty if null), version, event_id, type, schema_version, recorded_at, content_digest.
    The content_digest is sha256 over `metadata`, a line feed and `data`; it is all that is left of them after an
    erasure.
    """

    position: int = Described(description="The number of the event in the user's history: 1, 2, 3 … without a gap")
    task_id: int | None = Described(description="Null for an event of the whole stream")
    version: int = Described(description="The number of the event among those of its task: 1, 2, 3 … without a gap")
    event_id: UUID
    type: EventType = Described(description="The types of this version; a later version may have more")
    schema_version: int
    recorded_at: datetime
    actor: str | None = Described(description="Who did it; null once erased")
    request_id: str | None = Described(description="The id of the request that did it; null once erased")
    changes: list[FieldChange] = Described(description="Empty if this version cannot read the event")
    erased: bool
    data: str | None = Described(description="The stored JSON text, as it was hashed; null once erased")
    metadata: str | None = Described(description="The stored JSON text, as it was hashed; null once erased")
    undoes: int | None = Described(description="The position of what an undo took back; else null")
    content_digest: str
    hash: str


class Head(BaseModel):
    """The last position of a history and its hash. Keep both to prove later that no earlier event was changed."""

    position: int
    hash: str


class History(BaseModel):
    """A page of a history, oldest first."""

    model_config = ConfigDict(title="History")

    user_id: str
    head: Head
    events: list[HistoryEvent]
    next: int | None = Described(description="The `after` of the next page; null on the last page")


def history_query(parameters: Mapping[str, str], task_id: int | None = None) -> HistoryQuery:
    """Return the history query of some parameters; unknown parameters are ignored.

    Raises:
        ProblemError: a value is not valid (422).
    """
    event_type = parameters.get("type")
    return HistoryQuery(
        task_id=task_id,
        after=number("after", parameters.get("after", "0"), 0, LAST_POSITION),
        limit=number("limit", parameters.get("limit", str(_LIMIT)), 1, LIMIT),
        type=None if event_type is None else one_of("type", event_type, EVENT_TYPES),
    )
