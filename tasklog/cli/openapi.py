"""The OpenAPI document of both services together; committed as `edge/openapi.json`."""

from __future__ import annotations

from typing import Any, Final

import orjson

import command_api.app
import read_api.app
from command_api.many_answer import CommandsAnswer
from command_api.many_bodies import CommandsBody
from command_api.schemas import CompletionBody, CreateTaskBody, EditTaskBody, UndoBody
from edge.openapi import FILE, components
from runtime.settings import Settings

_MODELS: Final = (CreateTaskBody, EditTaskBody, CompletionBody, UndoBody, CommandsBody, CommandsAnswer)


def generate() -> bytes:
    """Return the document to commit: indented JSON, always the same for the same routes."""
    settings = Settings(_env_file=None)
    reads = read_api.app.create_app(settings).openapi()
    commands = command_api.app.create_app(settings).openapi()
    merged = _merged(_merged(reads, commands), {"components": components(*_MODELS)})
    return orjson.dumps(merged, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS | orjson.OPT_APPEND_NEWLINE)


def write() -> None:
    """Write the committed file."""
    FILE.write_bytes(generate())


def _merged(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """Return both merged, key by key, at every level; `right` wins."""
    merged = dict(left)
    for key, value in right.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
