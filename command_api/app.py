"""The command API's app: what it opens, and its routes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from command_api.group_commit import NotHereError
from command_api.queues import command_queues
from command_api.refusals import REFUSALS
from command_api.routes import CommandState, router, state_of
from command_api.undo import NoPositionError
from command_api.undo_routes import router as undo_router
from domain.decide import TaskNotFoundError
from domain.undo import CannotUndoError
from edge.errors import HANDLERS
from edge.problem_kinds import Kind
from edge.problems import problem
from edge.rate_limit import rate_limiter
from edge.requests import record_of
from edge.service import service
from event_log.elsewhere import ArrivingError, ElsewhereError, check_whereabouts
from event_log.followers import Followers
from runtime.database import UnavailableError, open_database
from runtime.wakeup import open_wake
from tokens.verifier import token_verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from edge.errors import Handler, Handlers
    from edge.service import Service
    from runtime.settings import Settings


def create_app(settings: Settings, followers: Followers | None = None) -> Service:
    """Return the app of the write endpoints; nothing is opened before its lifespan begins.

    `followers` are told what the app appends.
    """
    told = followers or Followers()

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[CommandState]:
        async with (
            token_verifier(settings) as verifier,
            rate_limiter(settings) as limiter,
            open_database(settings, "writer") as database,
            open_wake(settings, told.sender) as wake,
            command_queues(database, wake, settings.api_workers or 1, told) as queues,
        ):
            yield {"verifier": verifier, "limiter": limiter, "queues": queues, "database": database}

    return service(settings, [*router.routes, *undo_router.routes], lifespan, _HANDLERS)


def _answering(kind: Kind, detail: str) -> Handler:
    headers = {"Retry-After": "60"} if kind.status == HTTPStatus.SERVICE_UNAVAILABLE else None

    async def answer(_request: Request, _error: Exception) -> Response:
        return problem(kind, detail, headers=headers)

    return answer


def _once_here(handler: Handler) -> Handler:
    """Return a handler for an error that a command also has when its user's stream is not here: look there first."""

    async def answer(request: Request, error: Exception) -> Response:
        user_id = record_of(request).user_id
        assert user_id is not None, "only commands of authorized users fail in this way"
        try:
            await check_whereabouts(state_of(request)["database"], user_id)
        except (ElsewhereError, ArrivingError, UnavailableError) as reason:
            return await HANDLERS[type(reason)](request, reason)
        return await handler(request, error)

    return answer


async def _cannot_undo(_request: Request, error: CannotUndoError) -> Response:
    return problem(Kind.CANNOT_UNDO, error.reason, positions=error.positions)


_HANDLERS: Final[Handlers] = {
    TaskNotFoundError: _once_here(HANDLERS[TaskNotFoundError]),
    CannotUndoError: _once_here(_cannot_undo),
    NoPositionError: _once_here(_answering(Kind.POSITION_NOT_FOUND, "The history has no such position")),
    NotHereError: _once_here(HANDLERS[UnavailableError]),
    **{error: _answering(kind, detail) for error, (kind, detail) in REFUSALS.items()},
}
