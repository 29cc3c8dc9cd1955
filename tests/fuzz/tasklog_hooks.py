"""What schemathesis cannot know: whose tasks they are, and what depends on the state and not on the schema."""

from __future__ import annotations

import uuid
from typing import Any

import schemathesis
from hypothesis import strategies as st

from read_api.cursor import Cursor, encode

USER = "fuzz-user"
CURSORS = st.integers(1, 2**63 - 1).map(lambda n: encode(Cursor(sort="created", status="all", key=n, id=n)))

schemathesis.openapi.format("task-cursor", CURSORS)


@schemathesis.hook
def before_call(_context: Any, case: schemathesis.Case, _kwargs: dict[str, Any]) -> None:
    """The token's own user, but where a path is to be too long; a key of its own for each request."""
    path = case.path_parameters
    if path and len(str(path.get("user_id", ""))) <= 255:
        path["user_id"] = USER
    if case.headers and "Idempotency-Key" in case.headers and _is_positive(case):
        case.headers["Idempotency-Key"] = str(uuid.uuid4())
    if case.query and _is_positive(case):
        for name in ("cursor", "as_of"):  # a cursor of another list is a 400, a time to come a 422
            case.query.pop(name, None)


def _is_positive(case: schemathesis.Case) -> bool:
    return case.meta is None or case.meta.generation.mode is schemathesis.GenerationMode.POSITIVE
