"""The read API's app: what it opens, and its routes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from asyncpg import ProgramLimitExceededError

from console.routes import console_routes
from edge.authorization import EdgeState
from edge.entrance import entrance
from edge.holds import open_holds
from edge.problem_kinds import Kind
from edge.problems import problem
from edge.rate_limit import rate_limiter
from edge.service import service
from event_log.followers import Followers
from read_api.cell_routes import router as cell_router
from read_api.change_reader import ChangeReader
from read_api.change_routes import ChangeState
from read_api.change_routes import router as change_router
from read_api.event_routes import router as event_router
from read_api.explain_routes import router as explain_router
from read_api.listeners import open_listeners
from read_api.opened import open_reader
from read_api.routes import ReadState, router
from read_api.trash_routes import router as trash_router
from read_model.bookmark import UnknownBookmarkError
from tokens.verifier import token_verifier

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

    from edge.errors import Handlers
    from edge.service import Service
    from runtime.settings import Settings


def create_app(settings: Settings, followers: Followers | None = None) -> Service:
    """Return the app of the read endpoints; nothing is opened before its lifespan begins.

    Its listeners are among `followers`: those of the process's appends.
    """

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        async with (
            token_verifier(settings) as verifier,
            rate_limiter(settings) as limiter,
            open_reader(settings) as (database, reader),
            open_listeners(settings, database, followers or Followers()) as listeners,
        ):
            with open_holds(settings.max_streams) as holds:
                edge: EdgeState = {"verifier": verifier, "limiter": limiter}
                reads: ReadState = {**edge, "reader": reader}
                changes: ChangeState = {
                    **edge,
                    "changes": ChangeReader(reader),
                    "listeners": listeners,
                    "holds": holds,
                }
                yield {**reads, **changes}

    routers = (router, change_router, trash_router, event_router, explain_router, cell_router)
    routes = [route for one in routers for route in one.routes]
    return service(settings, [*routes, *console_routes(settings), *entrance(settings)], lifespan, _HANDLERS)


async def _too_long(_request: Request, _error: Exception) -> Response:
    detail = "The answer is too long for the database: ask for a page, with a smaller limit"
    return problem(Kind.ANSWER_TOO_LONG, detail)


async def _unknown_token(_request: Request, _error: Exception) -> Response:
    detail = "This token is not known any more: forget what you hold, and ask without a token"
    return problem(Kind.TOKEN_UNKNOWN, detail)


_HANDLERS: Final[Handlers] = {ProgramLimitExceededError: _too_long, UnknownBookmarkError: _unknown_token}
