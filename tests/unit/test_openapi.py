from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from typing import Any

import orjson

from edge.openapi import FILE
from tasklog.cli.openapi import generate

DOCUMENT: dict[str, Any] = orjson.loads(FILE.read_bytes())


def test_the_committed_document_is_the_generated_one() -> None:
    assert FILE.read_bytes() == generate(), "run ./run openapi"


def test_every_operation_is_described_with_its_errors() -> None:
    for path, operations in orjson.loads(FILE.read_bytes())["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert {"405", "500", "503"} <= operation["responses"].keys()
            if path.startswith("/api/"):
                assert operation["security"] == [{"bearer": []}]
                assert {"401", "403", "422"} <= operation["responses"].keys()


def test_every_reference_leads_somewhere() -> None:
    document = orjson.loads(FILE.read_bytes())
    text = FILE.read_text()
    for reference in {part.split('"')[0] for part in text.split('"$ref": "#/')[1:]}:
        target = document
        for key in reference.split("/"):
            target = target[key]


def test_a_title_that_the_document_allows_is_one_that_is_taken() -> None:
    """For each character alone, and before and after another one. Seen to fail with JavaScript's own white space."""
    create = schemas()["CreateTaskBody"]["properties"]
    title = re.compile(create["title"]["pattern"], re.ASCII)
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [c for c in characters if not title.search(c)] == [c for c in characters if c.isspace() or c == "\0"]
    assert [c for c in characters if not title.search(f" {c}x")] == ["\0"]
    assert [c for c in characters if not title.search(f"x{c} ")] == ["\0"]
    (description,) = (kind["pattern"] for kind in create["description"]["anyOf"] if "pattern" in kind)
    assert [c for c in characters if not re.search(description, f"x{c}x")] == ["\0"]


def schemas() -> dict[str, Any]:
    found: dict[str, Any] = DOCUMENT["components"]["schemas"]
    return found


def operations() -> list[dict[str, Any]]:
    return [operation for path in DOCUMENT["paths"].values() for operation in path.values()]


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the document."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from parts(inner)


def test_no_member_has_a_default_as_absent_means_keep_in_a_request_and_left_out_in_an_answer() -> None:
    """A generated client sends the default of a request, and treats a member with a default as always present."""
    members = [
        (name, of, part) for name, schema in schemas().items() for of, part in schema.get("properties", {}).items()
    ]
    assert len(members) > 20
    assert [(name, of) for name, of, part in members if "default" in part] == []
    assert "errors" not in schemas()["Problem"]["required"]


def test_every_success_has_a_schema_with_a_name_and_every_object_says_its_members() -> None:
    for operation in operations():
        for status, answer in operation["responses"].items():
            if status.startswith("2"):
                if [*answer["content"]] == ["text/event-stream"]:
                    continue  # a generator would take an event's schema for that of the whole stream
                schema = answer["content"]["application/json"]["schema"]
                assert "$ref" in schema or "$ref" in schema["items"], operation["operationId"]
    assert [part for part in parts(DOCUMENT) if part.get("type") == "object" and not part.get("properties")] == []


def test_every_request_body_is_a_component_with_a_name_of_its_own() -> None:
    bodies = [operation["requestBody"] for operation in operations() if "requestBody" in operation]
    text = json.dumps([body["content"]["application/json"]["schema"] for body in bodies])
    names = re.findall(r"#/components/schemas/(\w+)", text)
    assert sorted(names) == [
        "CommandsBody",
        "CompletionBody",
        "CreateTaskBody",
        "EditTaskBody",
        "EditTaskBody",
        "UndoBody",
    ]
    assert "properties" not in text
    assert all(schemas()[name]["title"] == name for name in names)


def test_no_set_of_values_is_written_down_twice() -> None:
    """A generator makes a type of each set, and two equal types would have different names. Event types are one set."""
    sets = [tuple(part["enum"]) for part in parts(DOCUMENT) if isinstance(part.get("enum"), list)]
    assert len(sets) == len(set(sets))
    event_types = schemas()["EventType"]["enum"]
    assert {"task.created", "task.deleted", "stream.erased"} <= set(event_types)
    assert schemas()["HistoryEvent"]["properties"]["type"]["$ref"] == "#/components/schemas/EventType"
