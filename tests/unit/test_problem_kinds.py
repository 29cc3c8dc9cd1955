"""The table of problem kinds holds together: it is what clients, pages, the document and the gateway know."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import orjson

from edge.openapi import FILE
from edge.problem_kinds import Kind

DOCUMENT: dict[str, Any] = orjson.loads(FILE.read_bytes())
CADDYFILE = Path(__file__).parents[2] / "Caddyfile"


def test_each_kind_is_explained_in_three_sentences() -> None:
    for kind in Kind:
        assert [re.fullmatch(r"[A-Z`].*\.", sentence) and sentence.count(". ") for sentence in kind.explanation] == [
            0
        ] * 3
        assert not kind.title.endswith(".")
        assert 400 <= kind.status < 600


def test_types_and_titles_are_unique_and_types_are_those_of_the_document() -> None:
    types = [kind.type for kind in Kind]
    assert len(set(types)) == len(types) == len({kind.title for kind in Kind})
    assert DOCUMENT["components"]["schemas"]["Problem"]["properties"]["type"]["enum"] == types


def test_the_gateways_own_problems_are_of_these_kinds() -> None:
    found = re.findall(r'"type":"([^"]*)","title":"([^"]*)","status":(\d+)', CADDYFILE.read_text())
    assert len(found) == 2
    assert {(kind.type, kind.title, str(kind.status)) for kind in Kind} >= set(found)


def test_every_error_that_an_operation_describes_shows_a_problem_of_its_status() -> None:
    for name, response in DOCUMENT["components"]["responses"].items():
        example = response["content"]["application/problem+json"]["example"]
        (kind,) = (kind for kind in Kind if kind.type == example["type"])
        assert (name, example["status"], example["title"]) == (f"Problem{kind.status}", kind.status, kind.title)
