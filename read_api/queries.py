"""The read side's queries: the projection, combined with the events that are not projected yet.

Each is one statement, so it sees one snapshot: an answer holds every acknowledged write, projected or not.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any, Final, NamedTuple, TypeAlias

import orjson
from asyncpg import ProgramLimitExceededError as TooLongError

from domain.evolve import HistoryError, evolve
from domain.task import NoTask, Task, TaskState
from event_log.append import Fetching
from event_log.codec import UnreadableEventError
from event_log.elsewhere import ArrivingError, ElsewhereError, check_here
from event_log.read import recorded
from read_api.cursor import Cursor, Status, filters_digest
from read_model.body import task_body
from read_model.filters import NO_FILTERS, Filters
from read_model.formats import ROW_FORMAT
from read_model.rows import task_of
from read_model.sorts import SORTS, Place, Sort

LISTS: Final = f"""
    -- One row for each requested list, of at most $7 bytes; the functions see this statement's snapshot. Without a
    -- stream, the user may be elsewhere: see event_log/moves.sql.
    SELECT list.*, CASE WHEN list.head = 0 THEN tasklog.elsewhere(asked.user_id) END AS elsewhere
    FROM unnest($1::text[], $2::boolean[], $3::text[], $4::text[], $5::bigint[], $6::integer[])
        WITH ORDINALITY AS asked (user_id, completed, sort, after_key, after_id, page_size, n)
    CROSS JOIN LATERAL tasklog.short_list(
        asked.user_id, asked.completed, asked.sort, asked.after_key, asked.after_id, asked.page_size, $7,
        '{ROW_FORMAT}') AS list
    ORDER BY asked.n
"""
FINDS: Final = f"""
    -- The same for lists that no index has in order; the patterns of $2 and $3 have U+001F between them.
    SELECT list.*, CASE WHEN list.head = 0 THEN tasklog.elsewhere(asked.user_id) END AS elsewhere
    FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bigint[],
                $6::boolean[], $7::text[], $8::text[], $9::bigint[], $10::integer[])
        WITH ORDINALITY AS asked (user_id, lines, words, due_after, due_before,
                                  completed, sort, after_key, after_id, page_size, n)
    CROSS JOIN LATERAL tasklog.find_tasks(
        asked.user_id, asked.completed, string_to_array(asked.lines, chr(31)), string_to_array(asked.words, chr(31)),
        asked.due_after, asked.due_before, asked.sort, asked.after_key, asked.after_id, asked.page_size, $11,
        '{ROW_FORMAT}') AS list
    ORDER BY asked.n
"""
_GET: Final = """
    -- One row for each pair of user $1 and task $2, of at most $3 bytes; the functions see this statement's snapshot.
    SELECT task.*, CASE WHEN task.version IS NULL AND task.tail IS NULL AND NOT task.is_long
                        THEN tasklog.elsewhere(($1::text[])[task.n]) END AS elsewhere
    FROM {task} AS task
"""
_ONE: Final = f"SELECT asked.n, one.* FROM tasklog.short_task(asked.user_id, asked.id, $3, '{ROW_FORMAT}') AS one"
_EACH: Final = f"unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS asked (user_id, id, n) CROSS JOIN LATERAL ({_ONE})"
GET: Final = _GET.format(task=_EACH)
GET_MANY: Final = _GET.format(task=f"tasklog.short_tasks($1, $2, $3, '{ROW_FORMAT}')")
_MANY: Final = 12
"""From this number of tasks on, the second statement costs less: half for 40 tasks, but twice as much for one."""
LIST_BYTES: Final = 1024 * 1024
TASK_BYTES: Final = 16 * 1024
"""A longer list or task, in bytes, is not read together with others, see read_api/long_lists.py."""
HEADS: Final = "SELECT user_id, head, mark FROM tasklog.heads($1)"

_WANTED: Final[Mapping[Status, bool | None]] = {"all": None, "pending": False, "completed": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskQuery:
    """Which of a user's tasks, in which order, at which position or time; `limit` and `after` select a page.

    `sort` is one of SORTS.
    """

    status: Status = "all"
    filters: Filters = NO_FILTERS
    sort: str = "created"
    limit: int | None = None
    after: Cursor | None = None
    as_of: int | datetime | None = None

    def __hash__(self) -> int:
        """Return the hash of all fields, in one step: it is taken several times for each list."""
        its = self.filters
        filters = its.lines, its.words, its.due_after, its.due_before
        return hash((self.status, self.sort, self.limit, self.after, self.as_of, filters))

    @property
    def order(self) -> Sort:
        """Return the sort."""
        return SORTS[self.sort]

    @property
    def is_indexed(self) -> bool:
        """Return whether an index has the list in order."""
        return self.order.index is not None and self.filters == NO_FILTERS

    def has_but_for_words(self, task: Task) -> bool:
        """Return whether the task has the requested status, and what the filters ask for but for words."""
        wanted = _WANTED[self.status]
        return (wanted is None or task.completed is wanted) and self.filters.has_but_for_words(task)

    def has(self, task: Task) -> bool:
        """Return whether the list has the task, which must have all its texts."""
        return self.has_but_for_words(task) and self.filters.has_words(task)

    def is_reached(self, place: Place) -> bool:
        """Return whether a place comes after the one at which the page begins."""
        return self.after is None or self.order.is_behind(place, self.after.place)

    def cursor(self, place: Place, as_of: int | None = None) -> Cursor:
        """Return the cursor of a page that ends with the task at `place`."""
        key, task_id = place
        its = filters_digest(self.filters)
        return Cursor(sort=self.sort, status=self.status, filters=its, key=key, id=task_id, as_of=as_of)


PLAIN: Final = TaskQuery()
"""The query of a list without any parameter."""


class Long(Enum):
    """The value of an answer that is too long to be read together with others."""

    LONG = "long"


ListError: TypeAlias = HistoryError | UnreadableEventError | TooLongError | ElsewhereError | ArrivingError
"""Why a list cannot be read."""
TaskError: TypeAlias = HistoryError | UnreadableEventError | ElsewhereError | ArrivingError
"""Why a task cannot be read."""


class Head(NamedTuple):
    """The position of a user's last event and the revision there: together they identify one history and its rows.

    The revision is the event's hash prefix and, after a repair of the user's rows, the time of the last one.
    """

    position: int = 0
    revision: str = ""

    def __str__(self) -> str:
        """Return the head as part of an ETag."""
        return f"{self.position}-{self.revision}"


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskPage:
    """A JSON array of tasks as of `head` (a past list has no hash prefix); `total` and `next` are only set for a page.

    A long list comes in `parts`, without a body.
    """

    head: Head
    body: bytes = b""
    parts: AsyncIterator[bytes] | None = None
    total: int | None = None
    next: Cursor | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TaskBody:
    """A task's JSON and its version."""

    body: bytes
    version: int


_Entry: TypeAlias = tuple[Place, str]
"""A task's place in a list, and its JSON."""


async def lists(database: Fetching, asked: Sequence[tuple[str, TaskQuery]]) -> list[TaskPage | Long | ListError]:
    """Return, for each (user id, query), the user's tasks as they are after every acknowledged command.

    The queries are all of those that are indexed, or none is. An error is the value for a list with an unprojected
    event that is impossible or unreadable, or of a user who is not here; LONG is the value for a list that must be read
    separately.

    Raises:
        UnavailableError: the database cannot answer.
    """
    is_indexed = asked[0][1].is_indexed
    statement, place, page = (LISTS, place_of, _page) if is_indexed else (FINDS, found_place_of, _found_page)
    arguments = zip(*(place(user_id, query) for user_id, query in asked), strict=True)
    try:
        rows = await database.fetch(statement, *map(list, arguments), LIST_BYTES)
    except TooLongError as error:
        return [error] if len(asked) == 1 else [page for one in asked for page in await lists(database, [one])]
    pages: list[TaskPage | Long | ListError] = []
    for row, (user_id, query) in zip(rows, asked, strict=True):
        try:
            check_here(row["elsewhere"])
            pages.append(Long.LONG if row["is_long"] else page(row, user_id, query))
        except (HistoryError, UnreadableEventError, ElsewhereError, ArrivingError) as error:
            pages.append(error)
    return pages


def place_of(user_id: str, query: TaskQuery) -> tuple[object, ...]:
    """Return the arguments of the database's list functions for a user and a query."""
    key, task_id = (None, None) if query.after is None else (str(query.after.key), query.after.id)
    return user_id, _WANTED[query.status], query.sort, key, task_id, query.limit


def found_place_of(user_id: str, query: TaskQuery) -> tuple[object, ...]:
    """Return the same with the filters behind the user, for the functions that know them."""
    filters = query.filters
    its = filters.line_patterns, filters.word_patterns, filters.due_after, filters.due_before
    return (user_id, *its, *place_of(user_id, query)[1:])


def _page(row: Mapping[str, Any], user_id: str, query: TaskQuery) -> TaskPage:
    if row["body"] is not None:
        return TaskPage(body=row["body"].encode(), head=_head(row))
    return _merged(row, user_id, query, [((key, task_id), body) for key, task_id, body in json_array(row["page"])])


def _found_page(row: Mapping[str, Any], user_id: str, query: TaskQuery) -> TaskPage:
    if row["body"] is not None:
        return TaskPage(body=row["body"].encode(), head=_head(row))
    places = zip(json_array(row["keys"]), row["ids"] or (), strict=True)
    return _merged(row, user_id, query, list(zip(places, row["bodies"] or (), strict=True)))


def _merged(row: Mapping[str, Any], user_id: str, query: TaskQuery, entries: list[_Entry]) -> TaskPage:
    """Return the page of the untouched tasks, which are in order, and of those that the tail touches."""
    changed = [task for task in changed_tasks(row) if query.has(task)]
    reached = [(place, task) for task in changed if query.is_reached(place := query.order.place(task))]
    if reached:
        entries += [(place, task_body(user_id, task).decode()) for place, task in reached]
        entries.sort(reverse=query.order.descending)
    page = entries[: query.limit]
    last = page[-1] if query.limit is not None and len(entries) > query.limit else None
    return TaskPage(
        body=b"[" + ",".join([body for _, body in page]).encode() + b"]",
        head=_head(row),
        total=None if query.limit is None else row["total"] + len(changed),
        next=None if last is None else query.cursor(last[0]),
    )


async def get_tasks(database: Fetching, keys: Sequence[tuple[str, int]]) -> list[TaskBody | Long | TaskError | None]:
    """Return, for each (user id, task id), the task as it is after every acknowledged command, or None.

    An error is the value of its task only, since the other tasks may be other users'. LONG is the value for a task that
    must be read separately.

    Raises:
        UnavailableError: the database cannot answer.
    """
    found: list[TaskBody | Long | TaskError | None] = [None] * len(keys)
    users, tasks = [user_id for user_id, _ in keys], [task_id for _, task_id in keys]
    for row in await database.fetch(GET if len(keys) < _MANY else GET_MANY, users, tasks, TASK_BYTES):
        n = row["n"] - 1
        if row["is_long"]:
            found[n] = Long.LONG
        if row["body"] is not None:
            found[n] = TaskBody(body=row["body"].encode(), version=row["version"])
        try:
            check_here(row["elsewhere"])
            for task in changed_tasks(row):
                found[n] = TaskBody(body=task_body(keys[n][0], task), version=task.version)
        except (HistoryError, UnreadableEventError, ElsewhereError, ArrivingError) as error:
            found[n] = error
    return found


async def heads(database: Fetching, users: Sequence[str]) -> list[Head]:
    """Return each user's head.

    Raises:
        UnavailableError: the database cannot answer.
    """
    found = {row["user_id"]: _head(row) for row in await database.fetch(HEADS, users)}
    return [found.get(user_id, Head()) for user_id in users]


def _head(row: Mapping[str, Any]) -> Head:
    return Head(row["head"], row["mark"] or "")


def changed_tasks(row: Mapping[str, Any]) -> Iterable[Task]:
    """Return the tasks that the tail touches, after the tail's events."""
    states: dict[int, TaskState] = {task["id"]: task_of(task) for task in json_array(row["touched"])}
    for event in filter(None, map(recorded, json_array(row["tail"]))):
        states[event.task_id] = evolve(states.get(event.task_id, NoTask()), event)
    return [state for state in states.values() if isinstance(state, Task)]


def json_array(text: str | None) -> list[Any]:
    """Return the JSON array of a column; an empty one for NULL."""
    return [] if text is None else list(orjson.loads(text))
