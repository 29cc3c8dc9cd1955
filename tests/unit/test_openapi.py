from __future__ import annotations

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
