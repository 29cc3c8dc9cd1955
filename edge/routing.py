"""Routes that Starlette runs, with what the OpenAPI document says of them.

FastAPI describes them, where `./run openapi` writes the document. A service does not import it: docs/decisions/0007
says how much memory that saves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.routing import Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edge.face import Endpoint


class ReadyRoute(Route):
    """A route whose endpoint takes the request and returns the response.

    `described` are further arguments of FastAPI's `APIRoute`: `summary`, `responses`, `tags` and so on.
    """

    def __init__(self, path: str, endpoint: Endpoint, *, methods: Sequence[str], **described: Any) -> None:
        """Answer these methods of a path."""
        super().__init__(path, endpoint, methods=methods)
        self.described: dict[str, Any] = {**described, "methods": methods}


class Router:
    """Collects the routes of a module, by decorators of their endpoints, with what is `described` of each."""

    def __init__(self, *, tags: Sequence[str]) -> None:
        """Give all routes the tags."""
        self.routes: list[ReadyRoute] = []
        self._tags = tags

    def get(self, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
        """Return the decorator of what answers GET."""
        return self._route("GET", path, **described)

    def post(self, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
        """Return the decorator of what answers POST."""
        return self._route("POST", path, **described)

    def put(self, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
        """Return the decorator of what answers PUT."""
        return self._route("PUT", path, **described)

    def patch(self, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
        """Return the decorator of what answers PATCH."""
        return self._route("PATCH", path, **described)

    def delete(self, path: str, **described: Any) -> Callable[[Endpoint], Endpoint]:
        """Return the decorator of what answers DELETE."""
        return self._route("DELETE", path, **described)

    def _route(
        self, method: str, path: str, *, tags: Sequence[str] = (), **described: Any
    ) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            self.routes.append(ReadyRoute(path, endpoint, methods=[method], tags=[*self._tags, *tags], **described))
            return endpoint

        return add
