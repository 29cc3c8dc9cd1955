"""The OpenAPI document of the whole service, and what both halves of it share.

`openapi.json` beside this file is written by `./run openapi` from both services' routes; each serves it as it is, and
reads from it which methods a path has, its own and the other's.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from typing_extensions import TypeAliasType

from edge.problem_kinds import Kind
from edge.problems import MEDIA_TYPE, FieldError, problem_members

FILE: Final = Path(__file__).with_name("openapi.json")
_SCHEMAS: Final = "#/components/schemas/{model}"

TASK_EXAMPLE: Final[dict[str, Any]] = {
    "id": 1,
    "user_id": "user_abc123",
    "title": "Buy groceries",
    "description": "Milk, eggs, bread",
    "completed": False,
    "created_at": "2026-02-07T12:00:00.123456Z",
    "updated_at": "2026-02-07T12:00:00.123456Z",
    "priority": "high",
    "due_date": "2026-02-14",
    "tags": ["home", "food"],
    "category": "Errands",
    "completed_at": None,
    "is_completed": False,
    "status": "pending",
}

_EXAMPLES: Final = {
    Kind.CONTRADICTORY_REQUEST: "The cursor belongs to another list",
    Kind.EXPIRED_TOKEN: "Token has expired",
    Kind.FOREIGN_PATH: "Access denied: Cannot access other user's resources",
    Kind.TASK_NOT_FOUND: "Task 7 not found",
    Kind.METHOD_NOT_ALLOWED: "This method is not allowed at this path",
    Kind.CONTENDED_TASK: "The task is being changed by many at once, try again",
    Kind.TOKEN_UNKNOWN: "This token is not known any more: forget what you hold, and ask without a token",
    Kind.TASK_CHANGED: "The task was changed since: it is not at the version that If-Match names",
    Kind.BODY_TOO_LARGE: "The body is larger than 1 MiB",
    Kind.MOVED: "The tasks of this user are in another place",
    Kind.UNSUPPORTED_BODY: "The body must be JSON, sent as application/json",
    Kind.INVALID_REQUEST: "title: must be 1 to 200 characters",
    Kind.TOO_MANY_REQUESTS: "Too many requests, try again later",
    Kind.INTERNAL_ERROR: "Internal server error",
    Kind.UNAVAILABLE: "The service is not available at the moment, try again",
}
"""A problem of each status that an operation may answer with."""
_NAMES: Final = {413: "Content Too Large", 422: "Unprocessable Content"}  # Python has older names than RFC 9110
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait", "required": True, "schema": {"type": "integer", "minimum": 0}}
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {
        "WWW-Authenticate": {
            "description": "The scheme that is asked for and, of a token that is refused, why (RFC 6750)",
            "required": True,
            "schema": {"type": "string", "pattern": "^Bearer"},
        }
    },
    421: {
        "Tasklog-Cell": {"description": "The cell where the user's tasks are", "schema": {"type": "string"}},
    },
    405: {"Allow": {"description": "The methods of the path", "required": True, "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


TaskStatus = TypeAliasType("TaskStatus", Literal["pending", "completed"])
"""A type with its own name, so that the document lists its words once."""


class Task(BaseModel):
    """A task. The seven fields are always there; more may join them."""

    model_config = ConfigDict(json_schema_extra={"example": TASK_EXAMPLE})

    id: int = Field(description="Unique over all users, below 2^53", ge=1, lt=2**53)
    user_id: str
    title: str = Field(min_length=1, max_length=200)
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime
    priority: str = Field(description="As it was sent; medium where none was given", min_length=1, max_length=50)
    due_date: str | None = Field(description="A date, a time, or a time in UTC with a Z: in the form in which it came")
    tags: list[str] = Field(description="Without repeats", max_length=50)
    category: str | None
    completed_at: datetime | None = Field(description="null while it is pending")
    is_completed: bool = Field(description="The same as completed")
    status: TaskStatus = Field(description="The same as completed, in a word")


class FieldProblem(BaseModel):
    """What is wrong with one field; it never repeats what was sent."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457): `detail` is one sentence that can be shown as it is."""

    type: str = Field(
        description="The kind of problem: the path of a page that explains it",
        json_schema_extra={"enum": [k.type for k in Kind]},
    )
    title: str
    status: int
    detail: str
    positions: list[int] = Field(
        default=[], description="Of /problems/cannot-undo: the positions of the changes that stand in the way"
    )
    errors: list[FieldProblem] = Field(
        default=[], description="Of a 422: the fields that are wrong; absent if it is about no field"
    )


class _WithoutDefaults(GenerateJsonSchema):
    """Schemas without defaults: generated clients send them, and take a member that has one for always there."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Describe what is inside."""
        return self.generate_inner(schema["schema"])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route, for FastAPI's `responses`.

    405, 500 and 503 are always possible, and 421 wherever a token is asked for.
    """
    always = (405, 500, 503, 421) if HTTPStatus.UNAUTHORIZED in statuses else (405, 500, 503)
    return {
        status: {"$ref": f"#/components/responses/Problem{status}", "description": _name(status)}
        for status in sorted({*statuses, *always})
    }


def task_route(*, parameters: tuple[str, ...], **more: Any) -> dict[str, Any]:
    """Return FastAPI's `openapi_extra` for a task route: the token, the named parameters, and `more`."""
    references = [{"$ref": f"#/components/parameters/{name}"} for name in parameters]
    return {"security": [{"bearer": []}], "parameters": references, **more}


def reference(model: type[BaseModel]) -> dict[str, Any]:
    """Return the reference to a model among the components, whose names clients see."""
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


def components(*bodies: type[BaseModel]) -> dict[str, Any]:
    """Return the components that the routes of both services refer to; `bodies` are the models of requests."""
    models: list[Any] = [(model, "validation") for model in (Problem, *bodies)]
    _, schemas = models_json_schema(models, ref_template=_SCHEMAS, schema_generator=_WithoutDefaults)
    return {
        "securitySchemes": {
            "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Better Auth's token"}
        },
        "parameters": {
            "user_id": _parameter("user_id", "The token's user", {"type": "string", "minLength": 1, "maxLength": 255}),
            "task_id": _parameter("task_id", "The task", {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}),
            "position": _parameter(
                "position", "A position in the user's history", {"type": "integer", "minimum": 1, "maximum": 10**18 - 1}
            ),
            "if_match": _header(
                "If-Match", "Carry out the request only if the task has this ETag; otherwise answer 412", '"3"'
            ),
            "idempotency_key": _header(
                "Idempotency-Key",
                "A name for this request, kept for 24 hours: the same request gets the same answer, another one a 422",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
        },
        "schemas": schemas["$defs"],
        "responses": {f"Problem{kind.status}": _problem(kind, detail) for kind, detail in _EXAMPLES.items()},
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


def _name(status: int) -> str:
    return _NAMES.get(status) or HTTPStatus(status).phrase


def _problem(kind: Kind, detail: str) -> dict[str, Any]:
    errors = [FieldError("title", "must be 1 to 200 characters")] if kind is Kind.INVALID_REQUEST else []
    example = problem_members(kind, detail, errors)
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": _name(kind.status),
        "headers": {**_HEADERS.get(kind.status, {}), "X-Request-ID": {"schema": {"type": "string"}}},
        "content": {MEDIA_TYPE: {"schema": schema, "example": example}},
    }


@cache
def document() -> bytes:
    """Return the committed document, JSON."""
    return FILE.read_bytes()


def allowed_methods(path: str) -> str | None:
    """Return the `Allow` header of a path, over both services, or None if the path does not exist."""
    for pattern, allowed in _paths():
        if pattern.fullmatch(path):
            return allowed
    return None


@cache
def _paths() -> list[tuple[re.Pattern[str], str]]:
    paths: dict[str, dict[str, Any]] = orjson.loads(document())["paths"]
    return [(re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), _allow(operations)) for path, operations in paths.items()]


def _allow(operations: dict[str, Any]) -> str:
    methods = {name.upper() for name in operations}
    return ", ".join(sorted(methods | ({"HEAD"} if "GET" in methods else set())))
