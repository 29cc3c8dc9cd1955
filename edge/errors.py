"""Turns errors into problems; errors that only one API raises are added by its `app.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from domain.decide import TaskNotFoundError
from domain.evolve import HistoryError
from edge.authorization import task_not_found
from edge.openapi import allowed_methods
from edge.problem_kinds import Kind
from edge.problems import ProblemError, problem
from edge.requests import record_of
from event_log.codec import UnreadableEventError
from event_log.elsewhere import ArrivingError, ElsewhereError
from runtime.database import UnavailableError
from tokens.verifier import KeysUnavailable, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from starlette.requests import Request
    from structlog.typing import FilteringBoundLogger

    Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
    Handlers = Mapping[int | type[Exception], Handler]

UNAVAILABLE: Final = "The service is not available at the moment, try again"
CELL: Final = "Tasklog-Cell"
"""The header that names the cell where a user's tasks are."""
UNREADABLE: Final = "An event of this user cannot be read by this version"
_CLIENT_GONE: Final = 499
_NOT_ALLOWED: Final = 405
_TOKEN_KINDS: Final = {"missing": Kind.NO_TOKEN, "scheme": Kind.NO_TOKEN, "expired": Kind.EXPIRED_TOKEN}
"""Kinds by the reasons of `Unauthorized`; all other reasons are INVALID_TOKEN."""

log: FilteringBoundLogger = structlog.get_logger()


async def _problem(_request: Request, error: ProblemError) -> Response:
    return problem(error.kind, error.detail, errors=error.errors, headers=error.headers)


async def _unauthorized(request: Request, error: Unauthorized) -> Response:
    """Answer 401; `WWW-Authenticate` says what is wrong with a token (RFC 6750), or only asks for one."""
    record_of(request).refused = error.reason
    kind = _TOKEN_KINDS.get(error.reason, Kind.INVALID_TOKEN)
    what = "" if kind is Kind.NO_TOKEN else f' error="invalid_token", error_description="{error.detail}"'
    return problem(kind, error.detail, headers={"WWW-Authenticate": f"Bearer{what}"})


async def _unavailable(_request: Request, _error: Exception) -> Response:
    return problem(Kind.UNAVAILABLE, UNAVAILABLE, headers={"Retry-After": "1"})


async def _keys_unavailable(_request: Request, error: KeysUnavailable) -> Response:
    """Answer 503, because the token may be good: a 401 would log the person out."""
    detail = "The keys of the auth server cannot be asked for at the moment, try again"
    return problem(Kind.AUTH_SERVER_UNAVAILABLE, detail, headers={"Retry-After": str(error.retry_after)})


async def _unreadable(request: Request, error: HistoryError | UnreadableEventError) -> Response:
    """Answer 503 for this user: the ledger has an event that this version cannot read. Other users are served."""
    record = record_of(request)
    log.error("a stream cannot be read", request_id=record.request_id, user_id=record.user_id, reason=str(error))
    return problem(Kind.UNREADABLE_EVENT, UNREADABLE, headers={"Retry-After": "60"})


async def _elsewhere(_request: Request, error: ElsewhereError) -> Response:
    """Answer 421 (RFC 9110, 15.5.20): a gateway may send the request to another cell. Nothing was carried out."""
    headers = {} if error.cell is None else {CELL: error.cell}
    return problem(Kind.MOVED, "The tasks of this user are in another place", headers=headers)


async def _arriving(_request: Request, _error: ArrivingError) -> Response:
    detail = "The tasks of this user are arriving here, try again in a moment"
    return problem(Kind.ARRIVING, detail, headers={"Retry-After": "1"})


async def _task_not_found(request: Request, _error: TaskNotFoundError) -> Response:
    error = task_not_found(request)
    return problem(error.kind, error.detail)


async def _from_router(request: Request, error: HTTPException) -> Response:
    """Answer a 404 or 405 of the router; the path decides which, because a service only knows its own methods."""
    allowed = allowed_methods(request.scope["path"])
    if allowed is None and error.status_code == _NOT_ALLOWED:
        allowed = "GET, HEAD"  # only the documentation's pages are left
    if allowed is None:
        return problem(Kind.PATH_NOT_FOUND, "There is nothing at this path")
    return problem(Kind.METHOD_NOT_ALLOWED, "This method is not allowed at this path", headers={"Allow": allowed})


async def _client_gone(_request: Request, _error: ClientDisconnect) -> Response:
    """Return a status for the log; nobody reads the answer."""
    return Response(status_code=_CLIENT_GONE)


async def _internal(request: Request, error: Exception) -> Response:
    log.error("internal error", request_id=record_of(request).request_id, exc_info=error)
    return problem(Kind.INTERNAL_ERROR, "Internal server error")


HANDLERS: Final[Handlers] = {
    ProblemError: _problem,
    Unauthorized: _unauthorized,
    KeysUnavailable: _keys_unavailable,
    UnavailableError: _unavailable,
    HistoryError: _unreadable,
    UnreadableEventError: _unreadable,
    ElsewhereError: _elsewhere,
    ArrivingError: _arriving,
    TaskNotFoundError: _task_not_found,
    HTTPException: _from_router,
    ClientDisconnect: _client_gone,
    Exception: _internal,
}
