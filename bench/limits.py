"""The limits to compare figures with: uvicorn with an app that does nothing, and FastAPI without work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

if TYPE_CHECKING:
    from starlette.types import Receive, Scope, Send

_TASK: Final = (
    b'{"id":1,"user_id":"user","title":"A title of an ordinary length","description":null,"completed":false,'
    b'"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-01T00:00:00Z"}'
)


async def raw(scope: Scope, _receive: Receive, send: Send) -> None:
    """Answer any request with a task."""
    if scope["type"] == "http":
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(_TASK)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": _TASK})


framework = FastAPI(openapi_url=None)


@framework.get("/api/{user_id}/tasks/{task_id}")
async def read(request: Request, user_id: str, task_id: int) -> Response:
    """Answer with a task; the path is parsed, nothing else is done."""
    del request, user_id, task_id
    return Response(_TASK, media_type="application/json")
