"""Explain over HTTP: its path, its headers, and the shape of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, WithJsonSchema
from starlette.requests import Request
from starlette.responses import Response

from domain.fields import Fields
from domain.task import Task
from edge.authorization import authorized_user
from edge.etags import not_modified
from edge.openapi import problems
from edge.problem_kinds import Kind
from edge.problems import ProblemError, invalid
from edge.routing import Router
from read_api.compression import LONG_ANSWER, json_answer
from read_api.etags import entity_tag
from read_api.explain import COMMAND_TYPES, explain
from read_api.history_schemas import HistoryEvent
from read_api.routes import ALWAYS, CACHING, read_answer, read_route, reader_of, rows_of
from read_api.schemas import BIGINT_DIGITS
from read_api.time_travel import FutureError, moment
from read_model.formats import ROW_FORMAT
from read_model.rows import COLUMNS

_SHOWN_CHARACTERS: Final = 40
_KINDS: Final[Mapping[str, Any]] = {
    "text": str,
    "boolean": bool,
    "timestamptz": datetime,
    **dict.fromkeys(("smallint", "integer", "bigint"), int),
}
"""The types in JSON for the SQL types of columns."""
_HEADERS: Final[dict[str, Any]] = {
    "ETag": {"description": "Changes only by an erasure, a restore or an upgrade", **ALWAYS},
    **LONG_ANSWER,
}

router = Router(tags=["history"])


def _object(members: Mapping[str, Any], *, all_there: bool) -> dict[str, Any]:
    """Return the schema of an object, or null; `members` are types by name, so that no field is listed here again."""
    properties = {name: TypeAdapter(kind).json_schema() for name, kind in members.items()}
    required = {"required": list(members)} if all_there else {}
    return {"anyOf": [{"type": "object", "properties": properties, **required}, {"type": "null"}]}


_SETS: Final = _object({**get_type_hints(Fields), "completed": bool}, all_there=False)
_TASK: Final = _object(get_type_hints(Task), all_there=True)
_ROW: Final = _object({name: _KINDS[kind] | None for name, kind in COLUMNS.items()}, all_there=True)

Sets = Annotated[dict[str, Any] | None, WithJsonSchema(_SETS)]
TaskFields = Annotated[dict[str, Any] | None, WithJsonSchema(_TASK)]
Row = Annotated[dict[str, Any] | None, WithJsonSchema(_ROW)]


class ExplainedCommand(BaseModel):
    """The plainest command that is decided to these events.

    The ledger keeps what was decided, not the words of the request: a toggle is a completion or a reopening here, and
    an edit has only what it changed.
    """

    type: str = Field(json_schema_extra={"enum": list(COMMAND_TYPES.values())})
    task_id: int
    version: int = Field(description="The version of the task that it was decided on; 0 for a new task")
    data: Sets = Field(description="What it sets; null for a command that only has a name, and once erased")
    undoes: int | None = Field(description="The position of what it takes back, for an undo; else null")
    positions: list[int] = Field(description="The positions of the events that it led to: one or two")


class ExplainedState(BaseModel):
    """A task's state: none before its first event, then a task, or a deleted one with what it was."""

    kind: Literal["none", "task", "deleted"]
    version: int
    deleted_at: datetime | None
    task: TaskFields


class Explained(BaseModel):
    """A position, step by step. All but `user_id` and `event` are null for an erasure of the whole stream."""

    model_config = ConfigDict(title="Explained")

    user_id: str
    event: HistoryEvent
    command: ExplainedCommand | None = Field(description="Also null for a task that was adopted by an operator")
    state_before: ExplainedState | None = Field(description="Its task's events before this one, folded")
    state_after: ExplainedState | None = Field(description="The state before, and this event")
    row_before: Row = Field(description="The row of the table `tasks`, null where there is none; columns come and go")
    row_after: Row = Field(description="The row that the event leads to")


@router.get(
    "/api/{user_id}/events/{position}/explain",
    summary="Explain a position",
    responses={
        **read_answer(Explained, "What happened at the position", _HEADERS),
        **problems(401, 403, 404, 422, 429),
    },
    openapi_extra=read_route("user_id", "position"),
)
async def read_explanation(request: Request) -> Response:
    """The event at a position, the command that led to it, and its task's state and row before it and after it."""
    user_id = await authorized_user(request)
    position = _path_position(request)
    try:
        then = await moment(rows_of(request, user_id), user_id, position)
    except FutureError:
        raise _not_found(request) from None
    headers = {"ETag": entity_tag(then, ("explain", ROW_FORMAT)), "Cache-Control": CACHING}
    if (unchanged := not_modified(request, headers)) is not None:
        return unchanged
    explained = await explain(reader_of(request).turns.of(user_id), user_id, position)
    if explained is None:
        raise _not_found(request)
    return await json_answer(request, explained, headers)


def _path_position(request: Request) -> int:
    """Return the position in the path.

    Raises:
        ProblemError: it is not a number (422), or no history can have it (404).
    """
    text: str = request.path_params["position"]
    if not (text.isascii() and text.isdigit()):
        raise invalid("position", "must be a number")
    if len(text) > BIGINT_DIGITS or int(text) == 0:
        raise _not_found(request)
    return int(text)


def _not_found(request: Request) -> ProblemError:
    text: str = request.path_params["position"]
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return ProblemError(Kind.POSITION_NOT_FOUND, f"The history has no position {shown}")
