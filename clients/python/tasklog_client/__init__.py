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
    Explained,
    Fields,
    History,
    HistoryEvent,
    Stats,
    StoredEvent,
    StoredEvents,
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
    "Explained",
    "Fields",
    "History",
    "HistoryEvent",
    "ProblemError",
    "Stats",
    "StoredEvent",
    "StoredEvents",
    "Task",
    "TaskDeleted",
    "Tasklog",
    "Undone",
]
