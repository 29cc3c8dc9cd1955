"""Tasklog's client: `Tasklog` and `AsyncTasklog` make the calls of its REST API."""

from __future__ import annotations

from tasklog_client.client import AsyncTasklog, Tasklog
from tasklog_client.problem import ProblemError
from tasklog_client.types import (
    Changes,
    Command,
    CommandAnswer,
    CommandResult,
    DeletedTask,
    Fields,
    History,
    HistoryEvent,
    Stats,
    Task,
    TaskDeleted,
    Undone,
)

__all__ = [
    "AsyncTasklog",
    "Changes",
    "Command",
    "CommandAnswer",
    "CommandResult",
    "DeletedTask",
    "Fields",
    "History",
    "HistoryEvent",
    "ProblemError",
    "Stats",
    "Task",
    "TaskDeleted",
    "Tasklog",
    "Undone",
]
