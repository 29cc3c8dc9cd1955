from __future__ import annotations

import contextlib
from typing import Any

import httpx
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.responses import Response

from command_api.schemas import TOGGLE, CompletionBody, CreateTaskBody, EditTaskBody
from domain.commands import CompleteTask, CreateTask, EditTask, ReopenTask, ToggleTask
from edge.bodies import json_body
from tests.unit.http_face import face

TASKS = "/api/u/tasks"


async def create(request: Request) -> Response:
    body = await json_body(request, CreateTaskBody)
    return Response(body.title)


async def complete(request: Request) -> Response:
    body = await json_body(request, CompletionBody, absent=TOGGLE)
    return Response(type(body.command()).__name__)


async def post(content: bytes, content_type: str | None = "application/json") -> httpx.Response:
    headers = {} if content_type is None else {"Content-Type": content_type}
    async with face(create) as client:
        return await client.post(TASKS, content=content, headers=headers)


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        (b"", "The body is not valid JSON"),
        (b"title", "The body is not valid JSON"),
        (b'{"title":"a"', "The body is not valid JSON"),
        (b'{"title":"a"} x', "The body is not valid JSON"),
        (b'{"title":"\xff"}', "The body is not valid JSON"),
        (b'{"title":"\\ud800"}', "The body is not valid JSON"),
        (b"[" * 100_000, "The body is not valid JSON"),
        (b'{"title":"a","x":' + b"[" * 5000 + b"]" * 5000 + b"}", "The body is not valid JSON"),
        (b"null", "The body must be a JSON object"),
        (b"[]", "The body must be a JSON object"),
        (b'"title"', "The body must be a JSON object"),
        (b"{}", "title: is required"),
        (b'{"title":null}', "title: must be a string"),
        (b'{"title":7}', "title: must be a string"),
        (b'{"title":NaN}', "The body is not valid JSON"),
        (b'{"title":""}', "title: must be 1 to 200 characters"),
        (b'{"title":" \\t\\u3000"}', "title: must not be only white space"),
        (b'{"title":"a\\u0000b"}', "title: must not contain the NUL character"),
        (orjson.dumps({"title": "\N{PARTY POPPER}" * 201}), "title: must be 1 to 200 characters"),
        (b'{"title":"a","description":7}', "description: must be a string"),
        (b'{"title":"a","description":"\\u0000"}', "description: must not contain the NUL character"),
    ],
)
async def test_a_body_that_does_not_fit_is_a_422_in_one_sentence(body: bytes, detail: str) -> None:
    answer = await post(body)
    assert (answer.status_code, answer.json()["detail"]) == (422, detail)
    assert all(set(error) == {"field", "message"} for error in answer.json()["errors"])


async def test_the_input_is_not_echoed() -> None:
    answer = await post(b'{"title":7,"description":["sesame"],"sesame":1}')
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == ["title", "description"]
    assert "sesame" not in answer.text


@pytest.mark.parametrize("title", ["x", "\N{PARTY POPPER}" * 200, " padded ", "\u202etitle", "e\u0301"])
async def test_a_title_is_kept_as_sent(title: str) -> None:
    answer = await post(orjson.dumps({"title": title, "priority": "high", "due_date": None}))
    assert (answer.status_code, answer.text) == (200, title)


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "application/json",
        "application/json; charset=utf-8",
        'Application/JSON;charset="UTF-8"',
        "application/json; version=1",
        "application/merge-patch+json",
        "application/vnd.api+json ; charset=utf-8",
    ],
)
async def test_json_by_any_of_its_names_is_read(content_type: str | None) -> None:
    assert (await post(b'{"title":"a"}', content_type)).status_code == 200


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/json; charset=latin-1",
        "application/jsonp",
        "text/json+json",
        "json",
        "*/*",
    ],
)
async def test_any_other_content_type_is_415(content_type: str) -> None:
    answer = await post(b'{"title":"a"}', content_type)
    assert (answer.status_code, answer.json()["status"]) == (415, 415)


@pytest.mark.parametrize(
    ("body", "content_type", "command"),
    [
        (b"", None, "ToggleTask"),
        (b"", "application/json", "ToggleTask"),
        (b"null", "application/json", "ToggleTask"),
        (b"{}", "application/json", "ToggleTask"),
        (b'{"completed":null}', "application/json", "ToggleTask"),
        (b'{"completed":true}', "application/json", "CompleteTask"),
        (b'{"completed":false,"id":7}', "application/json", "ReopenTask"),
    ],
)
async def test_completion_toggles_or_sets(body: bytes, content_type: str | None, command: str) -> None:
    headers = {} if content_type is None else {"Content-Type": content_type}
    async with face(complete) as client:
        answer = await client.patch(TASKS, content=body, headers=headers)
    assert (answer.status_code, answer.text) == (200, command)


@pytest.mark.parametrize("body", [b'{"completed":"true"}', b'{"completed":1}', b"[]", b"true", b" "])
async def test_completion_of_another_type_is_422(body: bytes) -> None:
    async with face(complete) as client:
        assert (await client.patch(TASKS, content=body)).status_code == 422


@pytest.mark.parametrize(
    ("body", "command"),
    [
        ({}, EditTask()),
        ({"title": "a"}, EditTask(title="a")),
        ({"description": None}, EditTask(description=None)),
        ({"description": ""}, EditTask(description="")),
        ({"completed": True}, EditTask(completed=True)),
        ({"completed": None, "title": "a"}, EditTask(title="a")),
        ({"id": 1, "user_id": "u", "created_at": "x"}, EditTask()),
    ],
)
def test_an_edit_mentions_only_what_was_sent(body: dict[str, Any], command: EditTask) -> None:
    assert EditTaskBody.model_validate_json(orjson.dumps(body)).command() == command


def test_bodies_are_commands() -> None:
    assert CreateTaskBody(title="a").command() == CreateTask(title="a", description=None)
    assert TOGGLE.command() == ToggleTask()
    assert CompletionBody(completed=True).command() == CompleteTask()
    assert CompletionBody(completed=False).command() == ReopenTask()


@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_refused(body: bytes) -> None:
    with contextlib.suppress(ValueError):
        EditTaskBody.model_validate_json(body)
