from __future__ import annotations

import re
import sys

import orjson

from edge.openapi import FILE
from tasklog.cli.openapi import generate


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
    """For each character alone, and before and behind another. Seen to fail with JavaScript's own white space."""
    (create,) = (
        operation["post"]["requestBody"]["content"]["application/json"]["schema"]["properties"]
        for path, operation in orjson.loads(FILE.read_bytes())["paths"].items()
        if "post" in operation
    )
    title = re.compile(create["title"]["pattern"], re.ASCII)
    characters = [chr(code) for code in range(sys.maxunicode + 1)]
    assert [c for c in characters if not title.search(c)] == [c for c in characters if c.isspace() or c == "\0"]
    assert [c for c in characters if not title.search(f" {c}x")] == ["\0"]
    assert [c for c in characters if not title.search(f"x{c} ")] == ["\0"]
    (description,) = (kind["pattern"] for kind in create["description"]["anyOf"] if "pattern" in kind)
    assert [c for c in characters if not re.search(description, f"x{c}x")] == ["\0"]
