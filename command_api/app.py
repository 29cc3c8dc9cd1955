"""The command API's app: what it opens, and its routes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from command_api.group_commit import command_queues
from command_api.refusals import REFUSALS
from command_api.routes import CommandState, router
from command_api.undo import NoPositionError
from command_api.undo_routes import router as undo_router
from domain.undo import CannotUndoError
from edge.problem_kinds import Kind
from edge.problems import problem
from edge.rate_limit import rate_limiter
from edge.service import service
from runtime.database import open_database
from runtime.wakeup import open_wake
from tokens.verifier import token_verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import FastAPI
    from starlette.requests import Request
    from starlette.responses import Response

    from edge.errors import Handler, Handlers
    from runtime.settings import Settings


def create_app(settings: Settings) -> FastAPI:
    """Return the app of the write endpoints; nothing is opened before its lifespan begins."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[CommandState]:
        async with (
            token_verifier(settings) as verifier,
            rate_limiter(settings) as limiter,
            open_database(settings, "writer") as database,
            open_wake(settings) as wake,
            command_queues(database, wake) as queues,
        ):
            yield {"verifier": verifier, "limiter": limiter, "queues": queues, "database": database}

    return service(settings, [*router.routes, *undo_router.routes], lifespan, _HANDLERS)


def _answering(kind: Kind, detail: str) -> Handler:
    async def answer(_request: Request, _error: Exception) -> Response:
        return problem(kind, detail)

    return answer


async def _cannot_undo(_request: Request, error: CannotUndoError) -> Response:
    return problem(Kind.CANNOT_UNDO, error.reason, positions=error.positions)


_HANDLERS: Final[Handlers] = {
    CannotUndoError: _cannot_undo,
    NoPositionError: _answering(Kind.POSITION_NOT_FOUND, "The history has no such position"),
    **{error: _answering(kind, detail) for error, (kind, detail) in REFUSALS.items()},
}
