"""What schemathesis cannot know: whose tasks they are, which there are, and what depends on the state, not the schema.

`FUZZ_TASKS` are the ids of tasks that are there at the start; to the file `FUZZ_ANSWERS` each answer adds a line.
"""

from __future__ import annotations

import os
import uuid
from itertools import count
from pathlib import Path
from typing import Any, TypeAlias, cast

import schemathesis
from hypothesis import strategies as st
from schemathesis import GenerationMode

from read_api import trash
from read_api.cursor import Cursor, encode

Case: TypeAlias = "schemathesis.Case[Any]"

USER = "fuzz-user"
CURSORS = st.integers(1, 2**63 - 1).map(lambda n: encode(Cursor(sort="created", status="all", key=n, id=n)))
ANSWERS = Path(os.environ["FUZZ_ANSWERS"])

tags = {int(task): '"1"' for task in os.environ["FUZZ_TASKS"].split(",")}
"""The tasks that are there, and the entity tag of each."""
numbers = count()

schemathesis.openapi.format("task-cursor", CURSORS)
schemathesis.openapi.format("trash-cursor", st.integers(1, 2**63 - 1).map(trash.encode))
schemathesis.openapi.format(
    "due-date", st.dates().map(str) | st.datetimes().map(str) | st.datetimes().map(lambda at: f"{at.isoformat()}Z")
)


@schemathesis.hook
def before_call(_context: Any, case: Case, _kwargs: dict[str, Any]) -> None:
    """The token's own user, but where a path is to be too long; mostly a task that is there, and its entity tag."""
    path = case.path_parameters
    if path and len(str(path.get("user_id", ""))) <= 255:
        path["user_id"] = USER
    _name_commands(case)
    if not _is_positive(case):
        return
    number = next(numbers)
    if path and tags and "task_id" in path and path["task_id"] not in tags and number % 4:
        path["task_id"] = [*tags][number % len(tags)]
    if path and "position" in path and number % 4:
        path["position"] = number % len(os.environ["FUZZ_TASKS"].split(",")) + 1  # each task has had an event
    if case.operation.path.endswith("/undo") and number % 2:
        case.body = {}  # the newest change; most positions cannot be undone
    if case.headers and "If-Match" in case.headers and number % 5:
        tag = tags.get((path or {}).get("task_id", 0))
        if tag and number % 2:
            case.headers["If-Match"] = tag
        else:
            del case.headers["If-Match"]
    if case.headers and "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.query:
        _without_contradictions(case.query)


def _without_contradictions(query: Any) -> None:
    for name in ("cursor", "as_of", "since"):  # another list's cursor is a 400, a later time a 422, any token a 410
        query.pop(name, None)
    if "status" in query:  # the two may contradict each other: 400
        query.pop("completed", None)


def _name_commands(case: Case) -> None:
    """Give each of many commands an id of its own, as the same one twice is a 422.

    A command that does not fit the schema is refused alone, in a 200. So that the whole call is refused, one has no id.
    """
    if isinstance(case.body, dict) and isinstance(commands := case.body.get("commands"), list):
        named = [cast(dict[str, str], command) for command in commands if isinstance(command, dict)]
        for command in named:
            command["id"] = str(uuid.uuid4())
        if named and not _is_positive(case):
            del named[0]["id"]


@schemathesis.hook
def after_call(_context: Any, case: Case, response: schemathesis.Response) -> None:
    """Note what was answered, and learn which tasks there are."""
    with ANSWERS.open("a") as file:
        file.write(f"{response.status_code} {case.operation.label}\n")
    if response.status_code >= 300 or case.operation.path.endswith("/commands"):
        return
    task = (case.path_parameters or {}).get("task_id")
    if case.operation.method.upper() == "DELETE":
        tags.pop(cast(int, task), None)
    elif case.operation.method.upper() != "GET" and "etag" in response.headers:  # an undo has none
        tags[response.json()["id"]] = response.headers["etag"][0]


def _is_positive(case: Case) -> bool:
    return case.meta is None or case.meta.generation.mode is GenerationMode.POSITIVE
