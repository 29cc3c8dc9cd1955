"""The formats follow what this version writes: nobody has to remember to change them.

Seen to fail: with a row whose body is not among the samples, and with constant formats.
"""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from types import CodeType

import pytest

from domain.task import Task
from read_model import formats
from read_model.body import task_body
from read_model.rows import row_of


def another_body(user_id: str, task: Task) -> bytes:
    return f'{{"id": {task.id}}}'.encode()


def another_row(user_id: str, task: Task) -> tuple[object, ...]:
    return (user_id, *task)


def formats_now() -> tuple[str, str]:
    """Return the formats of bodies and of rows, as a process that starts now computes them."""
    spec = spec_from_file_location("fresh_formats", formats.__file__)
    assert spec is not None
    assert spec.loader is not None
    fresh = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh.BODY_FORMAT, fresh.ROW_FORMAT


@pytest.mark.parametrize(
    ("written_by", "changed", "which"),
    [
        pytest.param(task_body, another_body.__code__, [True, True], id="a body, which is also in the row"),
        pytest.param(row_of, another_row.__code__, [False, True], id="a row alone"),
    ],
)
def test_a_change_of_what_is_written_changes_the_formats(
    monkeypatch: pytest.MonkeyPatch, written_by: object, changed: CodeType, which: list[bool]
) -> None:
    before = formats_now()
    assert before == (formats.BODY_FORMAT, formats.ROW_FORMAT)
    monkeypatch.setattr(written_by, "__code__", changed)
    assert [one != other for one, other in zip(formats_now(), before, strict=True)] == which
