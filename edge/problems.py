"""The one shape of every error answer: RFC 9457, with `detail` always one sentence."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"

_RENAMED: Final = {413: "Content Too Large", 422: "Unprocessable Content"}  # Python has older names than RFC 9110


class FieldError(NamedTuple):
    """What is wrong with one field of the request; never what was sent."""

    field: str
    message: str


class ProblemError(Exception):
    """An error that is answered with a problem."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def invalid(field: str, message: str) -> ProblemError:
    """Return a 422 about one field."""
    return ProblemError(422, f"{field}: {message}", errors=[FieldError(field, message)])


def title(status: int) -> str:
    """Return the name of a status."""
    return _RENAMED.get(status) or HTTPStatus(status).phrase


def problem(
    status: int,
    detail: str,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the answer `{type, title, status, detail, errors?}`; clients show `detail` as it is.

    It has no member named `message`, because clients take that for success, and it is never cached.
    """
    members: dict[str, object] = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": detail,
    }
    if errors:
        members["errors"] = [error._asdict() for error in errors]
    return Response(
        orjson.dumps(members),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store", **(headers or {})},
    )
