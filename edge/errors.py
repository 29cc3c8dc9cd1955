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
from edge.problems import ProblemError, problem
from edge.requests import record_of
from event_log.codec import UnreadableEventError
from runtime.database import UnavailableError
from tokens.verifier import KeysUnavailable, Unauthorized

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Any

    from starlette.requests import Request
    from structlog.typing import FilteringBoundLogger

    Handler = Callable[[Request, Any], Coroutine[Any, Any, Response]]
    Handlers = Mapping[int | type[Exception], Handler]

_CLIENT_GONE: Final = 499
_NOT_FOUND: Final = 404
_NOT_ALLOWED: Final = 405

log: FilteringBoundLogger = structlog.get_logger()


async def _problem(_request: Request, error: ProblemError) -> Response:
    return problem(error.status, error.detail, errors=error.errors, headers=error.headers)


async def _unauthorized(request: Request, error: Unauthorized) -> Response:
    record_of(request).refused = error.reason
    return problem(401, error.detail, headers={"WWW-Authenticate": "Bearer"})


async def _unavailable(_request: Request, _error: Exception) -> Response:
    return problem(503, "The service is not available at the moment, try again", headers={"Retry-After": "1"})


async def _keys_unavailable(_request: Request, error: KeysUnavailable) -> Response:
    """Answer 503, because the token may be good: a 401 would log the person out."""
    detail = "The keys of the auth server cannot be asked for at the moment, try again"
    return problem(503, detail, headers={"Retry-After": str(error.retry_after)})


async def _unreadable(request: Request, error: HistoryError | UnreadableEventError) -> Response:
    """Answer 503 for this user: the ledger has an event that this version cannot read. Other users are served."""
    record = record_of(request)
    log.error("a stream cannot be read", request_id=record.request_id, user_id=record.user_id, reason=str(error))
    return problem(503, "An event of this user cannot be read by this version", headers={"Retry-After": "60"})


async def _task_not_found(request: Request, _error: TaskNotFoundError) -> Response:
    error = task_not_found(request)
    return problem(error.status, error.detail)


async def _from_router(request: Request, error: HTTPException) -> Response:
    """Answer a 404 or 405 of the router; the path decides which, because a service only knows its own methods."""
    if error.status_code not in (_NOT_FOUND, _NOT_ALLOWED):
        return problem(error.status_code, error.detail, headers=error.headers)
    allowed = allowed_methods(request.scope["path"])
    if allowed is None and error.status_code == _NOT_ALLOWED:
        allowed = "GET, HEAD"  # only the documentation's pages are left
    if allowed is None:
        return problem(_NOT_FOUND, "There is nothing at this path")
    return problem(_NOT_ALLOWED, "This method is not allowed at this path", headers={"Allow": allowed})


async def _client_gone(_request: Request, _error: ClientDisconnect) -> Response:
    """Return a status for the log; nobody reads the answer."""
    return Response(status_code=_CLIENT_GONE)


async def _internal(request: Request, error: Exception) -> Response:
    log.error("internal error", request_id=record_of(request).request_id, exc_info=error)
    return problem(500, "Internal server error")


HANDLERS: Final[Handlers] = {
    ProblemError: _problem,
    Unauthorized: _unauthorized,
    KeysUnavailable: _keys_unavailable,
    UnavailableError: _unavailable,
    HistoryError: _unreadable,
    UnreadableEventError: _unreadable,
    TaskNotFoundError: _task_not_found,
    HTTPException: _from_router,
    ClientDisconnect: _client_gone,
    Exception: _internal,
}
