"""Each sort is defined in one place, from which the SQL functions are generated; the same holds for each field."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations.templates import statements
from read_model.sorts import SORTS, directed
from runtime.schema import FUNCTIONS
from tests.found import ORDERS


def test_the_plain_model_of_the_tests_knows_every_sort() -> None:
    assert {directed(sort, order).name for sort, order in ORDERS} == set(SORTS)


def test_what_is_said_of_each_sort_is_written_out_for_every_one(tmp_path: Path) -> None:
    file = tmp_path / "some.sql"
    file.write_text(
        "SELECT '{}' {sort.name};\n"
        "    -- EACH indexed\n"
        "    {indexed.name}: {indexed.order} | {indexed.behind};\n"
        "    -- END EACH\n"
        "END\n"
    )
    assert statements(file).splitlines() == [
        "SELECT '{}' {sort.name};",
        "    created: t.created_position DESC | t.created_position < coalesce(after_key::bigint, 9223372036854775807);",
        "    title: t.title_key, t.id | (t.title_key, t.id) > (coalesce(after_key::text, ''), coalesce(after_id, 0));",
        "    -created: t.created_position | t.created_position > coalesce(after_key::bigint, 0);",
        (
            "    -title: t.title_key DESC, t.id DESC | (t.title_key, t.id) < "
            "(coalesce(after_key::text, repeat(chr(1114111), 201)), coalesce(after_id, 9223372036854775807));"
        ),
        "END",
    ]


def test_what_is_said_of_each_field_is_written_out_for_every_one_and_the_completion(tmp_path: Path) -> None:
    file = tmp_path / "some.sql"
    file.write_text("-- EACH setter\n{setter.field} {setter.sets}\n-- END EACH\n")
    assert statements(file).splitlines() == [
        """title type = 'task.edited' AND data::text LIKE '%"title":%'""",
        """description type = 'task.edited' AND data::text LIKE '%"description":%'""",
        r"""due_date type = 'task.edited' AND data::text LIKE '%"due\_date":%'""",
        """priority type = 'task.edited' AND data::text LIKE '%"priority":%'""",
        """tags type = 'task.edited' AND data::text LIKE '%"tags":%'""",
        """category type = 'task.edited' AND data::text LIKE '%"category":%'""",
        "completed type IN ('task.completed', 'task.reopened')",
    ]


@pytest.mark.parametrize("file", FUNCTIONS, ids=lambda file: "/".join(file.parts[-2:]))
def test_nothing_is_left_to_be_written_out(file: Path) -> None:
    text = statements(file)
    assert not [word for word in ("EACH", "{sort", "{indexed", "{setter", "{PLAIN_FACETS}") if word in text]
