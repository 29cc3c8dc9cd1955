"""Authorization, checked first in every task route: the token is valid, and the path belongs to its user."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict, cast

from edge.problem_kinds import Kind
from edge.problems import ProblemError, invalid
from edge.requests import header_values, record_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from edge.rate_limit import RateLimiter
    from tokens.verifier import TokenVerifier

_BIGINT_DIGITS: Final = 19
_BIGINT: Final = 2**63
_SHOWN_CHARACTERS: Final = 40


class EdgeState(TypedDict):
    """State that the lifespan of each service opens for the edge."""

    verifier: TokenVerifier
    limiter: RateLimiter | None


async def authenticated_user(request: Request) -> str:
    """Return the id of the token's user, whatever the path is.

    Raises:
        tokens.verifier.Unauthorized: the token is missing or not valid (401).
        tokens.verifier.KeysUnavailable: the keys that tokens are checked with cannot be fetched now (503).
    """
    state = cast("EdgeState", request.scope["state"])
    grant = await state["verifier"].grant(header_values(request, b"authorization"))
    record = record_of(request)
    record.user_id, record.valid_until = grant.user_id, grant.valid_until
    return grant.user_id


async def authorized_user(request: Request) -> str:
    """Return the id of the token's user, after checking that the path is of the same user.

    Raises:
        tokens.verifier.Unauthorized: the token is missing or not valid (401).
        tokens.verifier.KeysUnavailable: the keys that tokens are checked with cannot be fetched now (503).
        ProblemError: the path is another user's (403), or the user has made too many requests (429).
    """
    user_id = await authenticated_user(request)
    if (limiter := cast("EdgeState", request.scope["state"])["limiter"]) is not None:
        limiter.count(user_id)
    path_user_id: str = request.path_params["user_id"]
    if path_user_id != user_id:
        record = record_of(request)
        record.refused, record.path_user_id = "foreign path", ascii(path_user_id[:255])[1:-1]
        raise ProblemError(Kind.FOREIGN_PATH, "Access denied: Cannot access other user's resources")
    return user_id


def path_task_id(request: Request) -> int:
    """Return the task id in the path, a number that the database can hold.

    Raises:
        ProblemError: it is not a number (422), or it is out of the range of task ids (404).
    """
    text: str = request.path_params["task_id"]
    if not (text.isascii() and text.isdigit()):
        raise invalid("task_id", "must be a number")
    if len(text) > _BIGINT_DIGITS or not 0 < int(text) < _BIGINT:
        raise task_not_found(request)
    return int(text)


def task_not_found(request: Request) -> ProblemError:
    """Return the 404 for the task in the path; its `detail` cuts a long id after 40 characters."""
    text: str = request.path_params["task_id"]
    shown = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
    return ProblemError(Kind.TASK_NOT_FOUND, f"Task {shown} not found")
