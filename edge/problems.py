"""The one shape of every error answer: RFC 9457, with `detail` always one sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from starlette.responses import Response

from edge.problem_kinds import Kind

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"


class FieldError(NamedTuple):
    """What is wrong with one field of the request; never what was sent."""

    field: str
    message: str


class ProblemError(Exception):
    """An error that is answered with a problem."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind, detail)
        self.kind = kind
        self.detail = detail
        self.errors = errors
        self.headers = headers


def invalid(field: str, message: str) -> ProblemError:
    """Return a 422 about one field."""
    return ProblemError(Kind.INVALID_REQUEST, f"{field}: {message}", errors=[FieldError(field, message)])


def problem_members(kind: Kind, detail: str, errors: Sequence[FieldError] = ()) -> dict[str, object]:
    """Return the problem `{type, title, status, detail, errors?}`; clients show `detail` as it is.

    It has no member named `message`, because clients take that for success.
    """
    members: dict[str, object] = {"type": kind.type, "title": kind.title, "status": kind.status, "detail": detail}
    if errors:
        members["errors"] = [error._asdict() for error in errors]
    return members


def problem(
    kind: Kind,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
    **more: object,
) -> Response:
    """Return a problem, with `more` members that its kind has, as an answer, which is never cached."""
    return Response(
        orjson.dumps(problem_members(kind, detail, errors) | more),
        status_code=kind.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
