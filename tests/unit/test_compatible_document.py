"""The OpenAPI document breaks no client of the last release: requests and answers that it relies on are kept.

Requests may only become wider, answers only narrower or get more members. After a release, its document is added to
tests/data, and the previous one may be removed.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

from edge.openapi import FILE

Json = dict[str, Any]
RELEASED: Json = orjson.loads((Path(__file__).parents[1] / "data" / "openapi-1.0.0.json").read_bytes())
NOW: Json = orjson.loads(FILE.read_bytes())
TIGHTENING = {"minLength", "minimum", "maxLength", "maximum", "pattern", "enum", "const", "format"}


EXPECTED = {
    f"get /api/{{user_id}}/{path} 200 events item changes item {new}"
    for path in ("history", "tasks/{task_id}/history")
    for new in ("field may have another value now", "from may be a array now", "to may be a array now")
}
"""A history tells of each field that a task has, so also of those that have joined: tags are an array."""


def resolved(document: Json, value: Json) -> Json:
    while "$ref" in value:
        target: Any = document
        for key in value["$ref"].removeprefix("#/").split("/"):
            target = target[key]
        value = target
    return value


def kinds(document: Json, schema: Json) -> list[Json]:
    """Return the alternatives of a schema."""
    schema = resolved(document, schema)
    alternatives: list[Json] = schema.get("anyOf") or schema.get("oneOf") or []
    return [kind for one in alternatives for kind in kinds(document, one)] or [schema]


def breaks(old: Json, new: Json) -> Iterator[str]:
    """Yield what a client of the document `old` can no longer rely on in `new`."""
    for path, operations in old["paths"].items():
        for method, before in operations.items():
            where, after = f"{method} {path}", new["paths"].get(path, {}).get(method)
            if after is None:
                yield f"{where} is gone"
                continue
            yield from parameters_break(old, new, before, after, where)
            yield from bodies_break(old, new, before, after, where)
            yield from answers_break(old, new, before["responses"], after["responses"], where)


def parameters_break(old: Json, new: Json, before: Json, after: Json, where: str) -> Iterator[str]:
    def parameters(document: Json, operation: Json) -> dict[str, Json]:
        found = [resolved(document, parameter) for parameter in operation.get("parameters", [])]
        return {parameter["name"]: parameter for parameter in found}

    known = parameters(old, before)
    for name, parameter in parameters(new, after).items():
        if name in known:
            yield from request_breaks(old, new, known[name]["schema"], parameter["schema"], f"{where} {name}")
        if parameter.get("required") and not known.get(name, {}).get("required"):
            yield f"{where} {name} is required now"
    yield from (f"{where} {name} is gone" for name in known.keys() - parameters(new, after).keys())


def bodies_break(old: Json, new: Json, before: Json, after: Json, where: str) -> Iterator[str]:
    known, body = before.get("requestBody"), after.get("requestBody")
    if body and body.get("required") and not (known and known.get("required")):
        yield f"{where} a body is required now"
    if known and body:
        for kind, content in known["content"].items():
            given = body["content"][kind]["schema"]
            yield from request_breaks(old, new, content["schema"], given, f"{where} body")


def request_breaks(old: Json, new: Json, before: Json, after: Json, where: str) -> Iterator[str]:
    """Yield what could be sent before, and would be refused now."""
    for kind in kinds(old, before):
        same = [other for other in kinds(new, after) if other.get("type") == kind.get("type")]
        if not same:
            yield f"{where} takes no {kind.get('type')} any more"
            continue
        (other, *_) = same
        changed = {key for key in TIGHTENING & other.keys() if other[key] != kind.get(key)}
        if "enum" in changed and "enum" in kind and set(kind["enum"]) <= set(other["enum"]):
            changed.remove("enum")
        yield from (f"{where} has another {key}" for key in sorted(changed))
        added = set(other.get("required", ())) - set(kind.get("required", ()))
        yield from (f"{where} {name} is required now" for name in sorted(added))
        for name, member in kind.get("properties", {}).items():
            if name not in other["properties"]:
                yield f"{where} {name} is gone"
                continue
            yield from request_breaks(old, new, member, other["properties"][name], f"{where} {name}")


def answers_break(old: Json, new: Json, before: Json, after: Json, where: str) -> Iterator[str]:
    for status, answer in before.items():
        if status not in after:
            yield f"{where} {status} is gone"
            continue
        known, given = resolved(old, answer), resolved(new, after[status])
        gone = known.get("headers", {}).keys() - given.get("headers", {}).keys()
        yield from (f"{where} {status} header {name} is gone" for name in sorted(gone))
        for kind, content in known.get("content", {}).items():
            if kind not in given.get("content", {}):
                yield f"{where} {status} {kind} is gone"
                continue
            schema = given["content"][kind]["schema"]
            yield from answer_breaks(old, new, content["schema"], schema, f"{where} {status}")


def answer_breaks(old: Json, new: Json, before: Json, after: Json, where: str) -> Iterator[str]:
    """Yield what an answer guaranteed before, and does not guarantee now."""
    known = kinds(old, before)
    for kind in kinds(new, after):
        same = next((other for other in known if other.get("type") == kind.get("type")), None)
        if same is None:
            yield f"{where} may be a {kind.get('type')} now"
            continue
        if "enum" in same and not set(kind.get("enum", [None])) <= set(same["enum"]):
            yield f"{where} may have another value now"
        less = set(same.get("required", ())) - set(kind.get("required", ()))
        yield from (f"{where} {name} may be left out now" for name in sorted(less))
        for name, member in same.get("properties", {}).items():
            if name not in kind.get("properties", {}):
                yield f"{where} {name} is gone"
                continue
            yield from answer_breaks(old, new, member, kind["properties"][name], f"{where} {name}")
        if "items" in same:
            yield from answer_breaks(old, new, same["items"], kind["items"], f"{where} item")


def test_a_client_of_the_last_release_can_rely_on_all_that_it_could() -> None:
    assert set(breaks(RELEASED, NOW)) == EXPECTED


def forget_a_path(document: Json) -> None:
    del document["paths"]["/health"]


def forget_a_member(document: Json) -> None:
    del document["components"]["schemas"]["Task"]["properties"]["completed"]


def let_a_member_be_null(document: Json) -> None:
    task = document["components"]["schemas"]["Task"]["properties"]
    task["title"] = {"anyOf": [task["title"], {"type": "null"}]}


def leave_a_member_out(document: Json) -> None:
    document["components"]["schemas"]["Problem"]["required"].remove("detail")


def take_shorter_titles(document: Json) -> None:
    document["components"]["schemas"]["CreateTaskBody"]["properties"]["title"]["maxLength"] = 100


def ask_for_a_description(document: Json) -> None:
    document["components"]["schemas"]["CreateTaskBody"]["required"].append("description")


def forget_a_status(document: Json) -> None:
    del document["paths"]["/api/{user_id}/tasks"]["post"]["responses"]["409"]


def forget_a_sort(document: Json) -> None:
    sort = next(
        one for one in document["paths"]["/api/{user_id}/tasks"]["get"]["parameters"] if one.get("name") == "sort"
    )
    sort["schema"]["enum"] = ["created"]


def forget_a_header(document: Json) -> None:
    del document["paths"]["/api/{user_id}/tasks"]["post"]["responses"]["201"]["headers"]["Location"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (forget_a_path, "get /health is gone"),
        (forget_a_member, "completed is gone"),
        (let_a_member_be_null, "title may be a null now"),
        (leave_a_member_out, "detail may be left out now"),
        (take_shorter_titles, "title has another maxLength"),
        (ask_for_a_description, "body description is required now"),
        (forget_a_status, "post /api/{user_id}/tasks 409 is gone"),
        (forget_a_sort, "sort has another enum"),
        (forget_a_header, "201 header Location is gone"),
    ],
)
def test_what_would_break_a_client_is_found(change: Any, said: str) -> None:
    changed = deepcopy(NOW)
    change(changed)
    found = set(breaks(RELEASED, changed)) - EXPECTED
    assert found
    assert all(said in one for one in found), found
