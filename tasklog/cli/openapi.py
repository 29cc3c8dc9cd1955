"""The OpenAPI document of both services together; committed as `edge/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.responses import Response
from starlette.routing import BaseRoute

import command_api.app
import read_api.app
from command_api.many_answer import CommandsAnswer
from command_api.many_bodies import CommandsBody
from command_api.schemas import CompletionBody, CreateTaskBody, EditTaskBody, UndoBody
from edge.openapi import FILE, components
from edge.routing import ReadyRoute
from edge.service import NAME, Service
from runtime.settings import Settings
from runtime.version import VERSION

_MODELS: Final = (CreateTaskBody, EditTaskBody, CompletionBody, UndoBody, CommandsBody, CommandsAnswer)


def generate() -> bytes:
    """Return the document to commit: indented JSON, always the same for the same routes."""
    settings = Settings(_env_file=None)
    reads = _described(read_api.app.create_app(settings))
    commands = _described(command_api.app.create_app(settings))
    merged = _merged(_merged(reads, commands), {"components": components(*_MODELS)})
    return orjson.dumps(merged, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def write() -> None:
    """Write the committed file."""
    FILE.write_bytes(generate())


def _described(service: Service) -> dict[str, Any]:
    """Return the document of one service, by FastAPI."""
    routes: list[BaseRoute] = [_documented(route) for route in service.answering if isinstance(route, ReadyRoute)]
    app = FastAPI(title=NAME, version=VERSION, description="Tasks in which every change is an event.", routes=routes)
    return app.openapi()


def _documented(route: ReadyRoute) -> APIRoute:
    documented = APIRoute(route.path, route.endpoint, response_class=Response, **route.described)
    documented.operation_id = documented.name
    return documented


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Return both merged, key by key, at every level; `right` wins."""
    merged = dict(left)
    for key, value in right.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
