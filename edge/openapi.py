"""The OpenAPI document of the whole service, and what both halves of it share.

`openapi.json` beside this file is written by `./run openapi` from both services' routes; each serves it as it is, and
reads from it which methods a path has, its own and the other's.
"""

from __future__ import annotations

import re
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema

from edge.problems import MEDIA_TYPE, title

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
}

_EXAMPLES: Final = {
    400: "The cursor belongs to another list",
    401: "Token has expired",
    403: "Access denied: Cannot access other user's resources",
    404: "Task 7 not found",
    405: "This method is not allowed at this path",
    409: "The task is being changed by many at once, try again",
    412: "The task was changed since: it is not at the version that If-Match names",
    413: "The body is larger than 1 MiB",
    415: "The body must be JSON, sent as application/json",
    422: "title: must be 1 to 200 characters",
    429: "Too many requests, try again later",
    500: "Internal server error",
    503: "The service is not available at the moment, try again",
}
_RETRY_AFTER: Final = {
    "Retry-After": {"description": "Seconds to wait", "required": True, "schema": {"type": "integer", "minimum": 0}}
}
_HEADERS: Final[dict[int, dict[str, Any]]] = {
    401: {
        "WWW-Authenticate": {
            "description": "The scheme that is asked for",
            "required": True,
            "schema": {"type": "string", "const": "Bearer"},
        }
    },
    405: {"Allow": {"description": "The methods of the path", "required": True, "schema": {"type": "string"}}},
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


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


class FieldProblem(BaseModel):
    """What is wrong with one field; never what was sent."""

    field: str
    message: str


class Problem(BaseModel):
    """An error (RFC 9457): `detail` is one sentence that can be shown as it is."""

    type: str = Field(examples=["about:blank"])
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] = Field(
        default=[], description="Of a 422: the fields that do not fit; left out where it is about none"
    )


class _WithoutDefaults(GenerateJsonSchema):
    """Schemas without defaults: generated clients send them, and take a member that has one for always there."""

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        """Describe what is inside."""
        return self.generate_inner(schema["schema"])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the error answers of a route, for FastAPI's `responses`; 405, 500 and 503 are always possible."""
    return {
        status: {"$ref": f"#/components/responses/Problem{status}", "description": title(status)}
        for status in sorted({*statuses, 405, 500, 503})
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
            "if_match": _header("If-Match", "Carry it out only if the task has this ETag; else 412", '"3"'),
            "idempotency_key": _header(
                "Idempotency-Key",
                "Carry it out once: for 24 hours the same request with this key has the same answer, another one 422",
                "8e03978e-40d5-43dd-bc93-6894a57f9324",
            ),
        },
        "schemas": schemas["$defs"],
        "responses": {f"Problem{status}": _problem(status) for status in _EXAMPLES},
    }


def _parameter(name: str, description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": schema}


def _header(name: str, description: str, example: str) -> dict[str, Any]:
    schema = {"type": "string"}
    return {"name": name, "in": "header", "description": description, "schema": schema, "example": example}


def _problem(status: int) -> dict[str, Any]:
    example: dict[str, Any] = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": _EXAMPLES[status],
    }
    if status == 422:  # noqa: PLR2004
        example["errors"] = [{"field": "title", "message": "must be 1 to 200 characters"}]
    schema = {"$ref": "#/components/schemas/Problem"}
    return {
        "description": title(status),
        "headers": {**_HEADERS.get(status, {}), "X-Request-ID": {"schema": {"type": "string"}}},
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
