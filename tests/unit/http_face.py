"""A service of the edge with a test's own routes, called in process: everything except a socket and a database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal

import httpx
from starlette.applications import Starlette
from starlette.requests import Request

from edge.routing import ReadyRoute
from edge.service import service
from runtime.settings import Settings

ORIGIN = "https://app.example"
SECURITY_HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
}
"""The headers that every answer has."""


def face(
    endpoint: Callable[[Request], Any],
    *,
    path: str = "/api/{user_id}/tasks",
    origins: tuple[str, ...] = (ORIGIN,),
    environment: Literal["development", "production"] = "production",
) -> httpx.AsyncClient:
    """Return a client of a service whose only route is `endpoint`, for every method of tasks."""

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield

    settings = Settings(_env_file=None, cors_origins=origins, environment=environment)
    methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
    route = ReadyRoute(path, endpoint, methods=methods)
    app = service(settings, [route], lifespan)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tasklog")
