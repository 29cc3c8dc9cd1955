"""A tuned backend on FastAPI: raw SQL through asyncpg, which prepares statements; answers rendered by orjson."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import asyncpg
import jwt
import orjson
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import BaseModel, Field

_SECRET: Final = os.environ["BETTER_AUTH_SECRET"]
_MOST_TOKENS: Final = 10_000

_TASK: Final = "id, user_id, title, description, completed, created_at, updated_at"
_CREATE: Final = f"INSERT INTO tasks (user_id, title, description) VALUES ($1, $2, $3) RETURNING {_TASK}"
_LIST: Final = f"SELECT {_TASK} FROM tasks WHERE user_id = $1 ORDER BY created_at DESC, id DESC"
_GET: Final = f"SELECT {_TASK} FROM tasks WHERE id = $2 AND user_id = $1"
_UPDATE: Final = f"""
    UPDATE tasks SET title = coalesce($3, title), description = CASE WHEN $4 THEN $5 ELSE description END,
        completed = coalesce($6, completed), updated_at = now()
    WHERE id = $2 AND user_id = $1 RETURNING {_TASK}
"""
_TOGGLE: Final = f"""
    UPDATE tasks SET completed = NOT completed, updated_at = now() WHERE id = $2 AND user_id = $1 RETURNING {_TASK}
"""


class NewTask(BaseModel):
    """The body of POST."""

    title: str = Field(min_length=1, max_length=200)
    description: str | None = None


class TaskChange(BaseModel):
    """The body of PUT: what is left out stays as it is."""

    title: str | None = Field(default=None, min_length=1, max_length=200)
    description: str | None = None
    completed: bool | None = None


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=10, max_size=10) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=_lifespan, openapi_url=None)
_subjects: dict[str, tuple[str, float]] = {}
"""Whom a verified token names, and until when it is good."""


def _authorize(request: Request, user_id: str) -> None:
    header = request.headers.get("authorization", "")
    subject, expires = _subjects.get(header) or _verify(header)
    if expires < time.time():
        subject, _ = _verify(header)
    if subject != user_id:
        raise HTTPException(403, "Access denied")


def _verify(header: str) -> tuple[str, float]:
    try:
        token = header.removeprefix("Bearer ")
        claims = jwt.decode(token, _SECRET, algorithms=["HS256"], options={"require": ["exp", "sub"]})
    except jwt.InvalidTokenError as error:
        raise HTTPException(401, "Invalid token") from error
    if len(_subjects) >= _MOST_TOKENS:
        _subjects.clear()
    _subjects[header] = claims["sub"], claims["exp"]
    return _subjects[header]


async def _one(request: Request, statement: str, *values: object, status: int = 200) -> Response:
    row = await request.app.state.pool.fetchrow(statement, *values)
    if row is None:
        raise HTTPException(404, "Task not found")
    return Response(orjson.dumps(dict(row)), status, media_type="application/json")


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether it answers."""
    return {"status": "healthy"}


@app.get("/api/{user_id}/tasks")
async def list_tasks(user_id: str, request: Request) -> Response:
    """The user's tasks, the newest first."""
    _authorize(request, user_id)
    rows = await request.app.state.pool.fetch(_LIST, user_id)
    return Response(orjson.dumps([dict(row) for row in rows]), media_type="application/json")


@app.post("/api/{user_id}/tasks")
async def create_task(user_id: str, body: NewTask, request: Request) -> Response:
    """A new task."""
    _authorize(request, user_id)
    return await _one(request, _CREATE, user_id, body.title, body.description, status=201)


@app.get("/api/{user_id}/tasks/{task_id}")
async def get_task(user_id: str, task_id: int, request: Request) -> Response:
    """One task."""
    _authorize(request, user_id)
    return await _one(request, _GET, user_id, task_id)


@app.put("/api/{user_id}/tasks/{task_id}")
async def update_task(user_id: str, task_id: int, body: TaskChange, request: Request) -> Response:
    """The given fields change."""
    _authorize(request, user_id)
    given = "description" in body.model_fields_set
    return await _one(request, _UPDATE, user_id, task_id, body.title, given, body.description, body.completed)


@app.patch("/api/{user_id}/tasks/{task_id}/complete")
async def toggle_task(user_id: str, task_id: int, request: Request) -> Response:
    """Completed or not, turned over in one statement, so that none is lost."""
    _authorize(request, user_id)
    return await _one(request, _TOGGLE, user_id, task_id)
