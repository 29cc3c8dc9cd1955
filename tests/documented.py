"""Checks every answer in the tests against the OpenAPI document: its status, type, body and headers."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

import httpx
import jsonschema_rs
import orjson

from edge.openapi import FILE

UNSAID = {
    *("cache-control", "connection", "content-encoding", "content-length", "content-type", "date", "vary"),
    *("referrer-policy", "x-content-type-options", "x-frame-options", "x-request-id", "transfer-encoding"),
    *("accept-encoding", "server", "x-accel-buffering"),
}
"""Headers that HTTP defines, or that every answer has; no operation describes them."""


class Answer(NamedTuple):
    """What the document says about one status of an operation."""

    headers: dict[str, Any]
    content: dict[str, Any]


def check_answer(response: httpx.Response) -> None:
    """Fail unless the document promises this answer to this request. The documentation's own pages are exempt."""
    response.read()
    method, path = response.request.method, response.request.url.raw_path.decode().partition("?")[0]
    operation = _operation("GET" if method == "HEAD" else method, path)
    where = f"{method} {path}: {response.status_code} {response.text[:300]}"
    if operation is None:
        if response.status_code >= 400:
            _fits("Problem", response, where)
        return
    answers = _answers()[operation]
    assert response.status_code in answers, f"{where}: not documented"
    answer = answers[response.status_code]
    _check_headers(answer, response, where)
    if method == "HEAD" or not answer.content:
        assert not response.content, f"{where}: a body where the document has none"
        return
    media_type = response.headers["content-type"].partition(";")[0]
    assert media_type in answer.content, f"{where}: {media_type} is not documented"
    error = _first_error(answer.content[media_type]["schema"], response.content)
    assert error is None, f"{where}: {error}"


def _check_headers(answer: Answer, response: httpx.Response, where: str) -> None:
    described = {name.lower(): header for name, header in answer.headers.items()}
    given = {name for name in response.headers if not name.startswith("access-control-")}
    assert given - UNSAID <= described.keys(), f"{where}: {given - UNSAID - described.keys()} not documented"
    for name, header in described.items():
        assert name in given or not header.get("required"), f"{where}: {name} is missing"
        if name in given:
            text = response.headers[name]
            value = int(text) if header["schema"].get("type") == "integer" else text
            assert jsonschema_rs.is_valid(header["schema"], value), f"{where}: {name}: {text}"


def _fits(schema: str, response: httpx.Response, where: str) -> None:
    assert response.headers["content-type"] == "application/problem+json", where
    if response.request.method != "HEAD":
        error = _first_error({"$ref": f"#/components/schemas/{schema}"}, response.content)
        assert error is None, f"{where}: {error}"


def _first_error(schema: dict[str, Any], body: bytes) -> str | None:
    validator = _validator(orjson.dumps(schema))
    return next((error.message for error in validator.iter_errors(orjson.loads(body))), None)


@cache
def _validator(schema: bytes) -> jsonschema_rs.Draft202012Validator:
    whole = orjson.loads(schema) | {"components": _document()["components"]}
    return jsonschema_rs.Draft202012Validator(whole, validate_formats=True)


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(FILE.read_bytes())
    return document


@cache
def _answers() -> dict[tuple[str, str], dict[int, Answer]]:
    """Return the answers of each operation, by status."""
    shared = _document()["components"]["responses"]

    def answer(given: dict[str, Any]) -> Answer:
        described = shared[given["$ref"].rpartition("/")[2]] if "$ref" in given else given
        return Answer(described.get("headers", {}), described.get("content", {}))

    return {
        (method.upper(), path): {int(status): answer(given) for status, given in operation["responses"].items()}
        for path, operations in _document()["paths"].items()
        for method, operation in operations.items()
    }


def _operation(method: str, path: str) -> tuple[str, str] | None:
    """Return the document's operation for a request, or None if it has none."""
    tidy = path.rstrip("/") or "/"
    for name, template in _answers():
        pattern = re.sub(r"\{\w+\}", "[^/]+", template)
        if name == method and re.fullmatch(pattern, tidy):
            return name, template
    return None
