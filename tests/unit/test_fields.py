"""A task's fields are listed once, in domain/fields.py: this checks every other place that names them."""

from __future__ import annotations

from dataclasses import fields
from datetime import UTC, datetime
from typing import get_type_hints

import orjson
import pytest

from command_api.schemas import CreateTaskBody, EditTaskBody
from domain.fields import FIELDS, Changes, Fields, Unset
from domain.task import Task
from edge.openapi import FILE
from edge.openapi import Task as TaskObject
from read_model.body import task_body
from read_model.rows import COLUMNS, TASK_COLUMNS
from read_model.tables import tasks

START = datetime(2026, 2, 7, tzinfo=UTC)
STATE = (False, None, START, START, 3, 5)
"""Values besides the fields: completed, completed at, created at, updated at, first position, version."""


def test_changes_are_of_the_same_fields_with_the_same_types() -> None:
    whole, changed = get_type_hints(Fields), get_type_hints(Changes)
    assert [field.name for field in fields(Changes)] == list(FIELDS)
    assert {name: kind | Unset for name, kind in whole.items()} == changed


def test_a_tasks_state_holds_every_field_behind_its_id_in_the_same_order() -> None:
    assert Task._fields[: len(FIELDS) + 1] == ("id", *FIELDS)


def test_the_row_begins_with_the_user_and_the_tasks_own_values() -> None:
    assert tuple(COLUMNS)[: len(TASK_COLUMNS)] == TASK_COLUMNS == ("user_id", *Task._fields)


def test_the_columns_and_their_types_are_those_of_the_table() -> None:
    declared = {column.name: str(column.type).lower().split()[0] for column in tasks.columns}
    assert {name: {"timestamptz": "timestamp"}.get(kind, kind) for name, kind in COLUMNS.items()} == declared


@pytest.mark.parametrize("field", FIELDS)
def test_an_answer_shows_the_field(field: str) -> None:
    task = Task._make((7, *(f"the {name}" for name in FIELDS), *STATE))
    assert orjson.loads(task_body("carol", task))[field] == f"the {field}"


@pytest.mark.parametrize("field", FIELDS)
def test_the_bodies_of_writes_take_the_field(field: str) -> None:
    assert field in CreateTaskBody.model_fields
    assert field in EditTaskBody.model_fields


@pytest.mark.parametrize("field", FIELDS)
def test_the_document_describes_the_field(field: str) -> None:
    assert field in TaskObject.model_fields
    schemas = orjson.loads(FILE.read_bytes())["components"]["schemas"]
    assert field in schemas["Task"]["required"]
    assert field in schemas["FieldChange"]["properties"]["field"]["enum"]
