"""The body of many commands at once. Each command is read apart, so that one's faults are not another's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, TypeAlias

from pydantic import ConfigDict, Field, PlainValidator, StringConstraints, ValidationError, WithJsonSchema
from pydantic_core import PydanticCustomError, to_json
from starlette.requests import Request

from command_api.schemas import CreateTaskBody, EditTaskBody
from domain.commands import CompleteTask, DeleteTask, ReopenTask, RestoreTask, TaskCommand, ToggleTask
from edge.bodies import JsonBody, invalid_body, json_body
from edge.problems import ProblemError, invalid

MOST_COMMANDS: Final = 100
"""The most commands in one request."""

_NAME: Final = r"^[\x21\x23-\x5b\x5d-\x7e]{1,255}$"
_CHANGES: Final[dict[str, TaskCommand]] = {
    "task.complete": CompleteTask(),
    "task.reopen": ReopenTask(),
    "task.toggle": ToggleTask(),
    "task.delete": DeleteTask(),
    "task.restore": RestoreTask(),
}
"""The commands without data. A further one of them is added here and in the type of `ChangeTaskCommand`."""

Name = Annotated[str, StringConstraints(pattern=_NAME)]
"""An id or a ref of the client."""


def _task(value: object) -> int | str:
    if isinstance(value, str) or (isinstance(value, int) and not isinstance(value, bool)):
        return value
    raise PydanticCustomError("task_reference", "must be an id or a ref")


def _nothing(value: object) -> None:
    if value is not None:
        raise PydanticCustomError("left_out", "must be left out")


TaskReference = Annotated[
    int | str,
    PlainValidator(_task),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "string", "pattern": _NAME}]}),
]
Nothing = Annotated[None, PlainValidator(_nothing), WithJsonSchema({"type": "null"})]


class _Command(JsonBody):
    """What all commands have."""

    id: Name = Field(description="The client's own name for this command, as an Idempotency-Key")
    if_match: int | None = Field(default=None, description="The version that the task must have")


class CreateTaskCommand(_Command):
    """Create a task; later commands of the same call may call it by its `ref`."""

    type: Literal["task.create"]
    ref: Name | None = None
    task: Nothing = None
    data: CreateTaskBody

    def command(self) -> TaskCommand:
        """Return the command."""
        return self.data.command()


class EditTaskCommand(_Command):
    """Edit a task, as PUT does."""

    type: Literal["task.edit"]
    task: TaskReference = Field(description="The task's id, or the ref of an earlier command")
    data: EditTaskBody

    def command(self) -> TaskCommand:
        """Return the command."""
        return self.data.command()


class ChangeTaskCommand(_Command):
    """Complete, reopen, toggle, delete or restore a task."""

    type: Literal["task.complete", "task.reopen", "task.toggle", "task.delete", "task.restore"]
    task: TaskReference = Field(description="The task's id, or the ref of an earlier command")

    def command(self) -> TaskCommand:
        """Return the command."""
        return _CHANGES[self.type]


AnyCommand: TypeAlias = CreateTaskCommand | EditTaskCommand | ChangeTaskCommand
_MODELS: Final[dict[str, type[AnyCommand]]] = {
    "task.create": CreateTaskCommand,
    "task.edit": EditTaskCommand,
    **dict.fromkeys(_CHANGES, ChangeTaskCommand),
}


class CommandsBody(JsonBody):
    """Commands of one user, which are carried out in order; each one fails alone."""

    model_config = ConfigDict(
        json_schema_extra={
            "example": {
                "commands": [
                    {"id": "c-1", "type": "task.create", "ref": "new", "data": {"title": "Buy groceries"}},
                    {"id": "c-2", "type": "task.complete", "task": "new"},
                ]
            }
        }
    )

    commands: list[Annotated[AnyCommand, Field(discriminator="type")]] = Field(min_length=1, max_length=MOST_COMMANDS)


class _Unread(JsonBody):
    """A command of which only the id is known."""

    model_config = ConfigDict(extra="allow")

    id: Name


class UnreadCommands(JsonBody):
    """The same commands as in `CommandsBody`, before each is read."""

    commands: list[_Unread] = Field(min_length=1, max_length=MOST_COMMANDS)


class Asked(NamedTuple):
    """A command as it was read, or why it cannot be read; `ref` is the name that it gives to a new task."""

    id: str
    ref: str | None
    read: AnyCommand | ProblemError


async def commands_of(request: Request) -> list[Asked]:
    """Return the commands of a request, which are read together if all of them are valid, or else one by one.

    Raises:
        ProblemError: the body is not JSON, or not that of commands at all; two commands have the same id.
    """
    try:
        body = await json_body(request, CommandsBody)
    except ProblemError:
        return read_commands(await json_body(request, UnreadCommands))
    _check_ids(body.commands)
    return [
        Asked(id=one.id, ref=one.ref if isinstance(one, CreateTaskCommand) else None, read=one) for one in body.commands
    ]


def read_commands(body: UnreadCommands) -> list[Asked]:
    """Read each command.

    Raises:
        ProblemError: 422, two of them have the same id.
    """
    _check_ids(body.commands)
    return [_asked(unread.id, unread.model_extra or {}) for unread in body.commands]


def _check_ids(commands: Sequence[_Unread | AnyCommand]) -> None:
    seen: set[str] = set()
    for n, command in enumerate(commands):
        if command.id in seen:
            raise invalid(f"commands.{n}.id", "is the id of an earlier command")
        seen.add(command.id)


def _asked(command_id: str, members: dict[str, Any]) -> Asked:
    kind, ref = members.get("type"), members.get("ref")
    named = ref if kind == "task.create" and isinstance(ref, str) else None
    return Asked(id=command_id, ref=named, read=_read(kind, {**members, "id": command_id}))


def _read(kind: object, members: dict[str, Any]) -> AnyCommand | ProblemError:
    model = _MODELS.get(kind) if isinstance(kind, str) else None
    if model is None:
        return invalid("type", f"must be one of {', '.join(_MODELS)}")
    try:
        return model.model_validate_json(to_json(members))  # as a body, so that the same is valid as in POST and PUT
    except ValidationError as error:
        return invalid_body(error)
