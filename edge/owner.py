"""Who asks, and whether the path is theirs: checked first in every task route."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypedDict, cast

from edge.problems import ProblemError, invalid
from edge.requests import record_of

if TYPE_CHECKING:
    from starlette.requests import Request

    from edge.rate_limit import RateLimiter
    from tokens.verifier import TokenVerifier

_BIGINT_DIGITS: Final = 19
_BIGINT: Final = 2**63
_ECHO: Final = 40


class EdgeState(TypedDict):
    """What the lifespan of each service opens for the edge."""

    verifier: TokenVerifier
    limiter: RateLimiter | None


async def owner(request: Request) -> str:
    """The id of the user whose token it is and whose path it is.

    Raises:
        tokens.verifier.Unauthorized: there is no good token (401).
        tokens.verifier.KeysUnavailable: it cannot be told now (503).
        ProblemError: the path is another user's (403), or the user has made too many requests (429).
    """
    state = cast("EdgeState", request.scope["state"])
    given = [value for name, value in request.scope["headers"] if name == b"authorization"]
    user_id = await state["verifier"].user_id(given)
    record = record_of(request)
    record.user_id = user_id
    if (limiter := state["limiter"]) is not None:
        limiter.count(user_id)
    path_user_id: str = request.path_params["user_id"]
    if path_user_id != user_id:
        record.refused, record.path_user_id = "foreign path", ascii(path_user_id[:255])[1:-1]
        raise ProblemError(403, "Access denied: Cannot access other user's resources")
    return user_id


def path_task_id(request: Request) -> int:
    """The task id of the path, a number that the database can hold.

    Raises:
        ProblemError: it is not a number (422), or one that no task has (404).
    """
    text: str = request.path_params["task_id"]
    if not (text.isascii() and text.isdigit()):
        raise invalid("task_id", "must be a number")
    if len(text) > _BIGINT_DIGITS or not 0 < int(text) < _BIGINT:
        raise task_not_found(request)
    return int(text)


def task_not_found(request: Request) -> ProblemError:
    """The 404 about the path's task; an endless id is cut."""
    text: str = request.path_params["task_id"]
    shown = text if len(text) <= _ECHO else text[:_ECHO] + "…"
    return ProblemError(404, f"Task {shown} not found")
