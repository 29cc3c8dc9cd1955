"""The task as a table, and as requests and answers show it."""

from datetime import UTC, datetime
from enum import StrEnum

from pydantic import BaseModel, ConfigDict
from pydantic import Field as BodyField
from sqlalchemy import DateTime
from sqlmodel import Field, SQLModel


def now() -> datetime:
    """Return the time, in UTC."""
    return datetime.now(UTC)


class Task(SQLModel, table=True):
    """A row of `tasks`."""

    __tablename__ = "tasks"

    id: int | None = Field(default=None, primary_key=True)
    user_id: str = Field(index=True)
    title: str = Field(max_length=200)
    description: str | None = None
    completed: bool = Field(default=False, index=True)
    created_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))
    updated_at: datetime = Field(default_factory=now, sa_type=DateTime(timezone=True))


class NewTask(BaseModel):
    """The body of POST."""

    title: str = BodyField(min_length=1, max_length=200)
    description: str | None = None


class TaskChange(BaseModel):
    """The body of PUT."""

    title: str | None = BodyField(default=None, min_length=1, max_length=200)
    description: str | None = None
    completed: bool | None = None


class TaskAnswer(BaseModel):
    """A task in an answer."""

    model_config = ConfigDict(from_attributes=True)

    id: int
    user_id: str
    title: str
    description: str | None
    completed: bool
    created_at: datetime
    updated_at: datetime


class Status(StrEnum):
    """Which tasks a list shows."""

    ALL = "all"
    PENDING = "pending"
    COMPLETED = "completed"


class Sort(StrEnum):
    """In which order."""

    CREATED = "created"
    TITLE = "title"
