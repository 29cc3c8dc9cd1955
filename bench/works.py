"""The works that are measured over HTTP: users and their tasks, requests, and what must hold afterwards."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from typing import TYPE_CHECKING, Final, TypeAlias

from bench.wrk import Call

if TYPE_CHECKING:
    from bench.contenders import Tasks

Calls: TypeAlias = Callable[["Tasks"], list[Call]]

NEW: Final = '{"title":"A title of an ordinary length #########"}'
_ALL_FIELDS: Final = (
    '{"title":"A title of an ordinary length #########","priority":"high","due_date":"2026-12-24T09:30:00Z",'
    '"tags":["home","food"],"category":"Errands"}'
)
_EDIT: Final = '{"title":"Another title of some length #########","description":"and a description"}'


@dataclass(frozen=True, kw_only=True, slots=True)
class Work:
    """A row of the table. Each answer comes with about `changes` writes.

    `check` says what is checked: `created` or `changed` (so many are stored), `toggled` (none is lost), `mixed` (its
    new tasks are stored), `listed` (each list has all tasks), `unchanged` (each answer is a 304, only for Tasklog).
    """

    name: str
    title: str
    calls: Calls
    check: str = ""
    users: int = 200
    tasks: int = 20
    connections: int = 100
    changes: float = 0


def _post(tasks: Tasks) -> list[Call]:
    return [Call("POST", f"/api/{user}/tasks", user, NEW) for user in tasks]


def _post_fields(tasks: Tasks) -> list[Call]:
    return [Call("POST", f"/api/{user}/tasks", user, _ALL_FIELDS) for user in tasks]


def _each(tasks: Tasks, method: str, end: str = "", body: str = "") -> list[Call]:
    """Return a request for each task; the users take turns."""
    turns = zip(*([(user, task) for task in owned] for user, owned in tasks.items()), strict=True)
    return [Call(method, f"/api/{user}/tasks/{task}{end}", user, body) for turn in turns for user, task in turn]


def _put(tasks: Tasks) -> list[Call]:
    return _each(tasks, "PUT", body=_EDIT)


def _toggle(tasks: Tasks) -> list[Call]:
    return _each(tasks, "PATCH", "/complete")


def _get(tasks: Tasks) -> list[Call]:
    return _each(tasks, "GET")


def _list(tasks: Tasks) -> list[Call]:
    return [Call("GET", f"/api/{user}/tasks", user) for user in tasks]


def _mixed(tasks: Tasks) -> list[Call]:
    """Return 100 requests: 40 lists, 40 tasks, 8 edits, 8 toggles, 4 new tasks; in the same random order every time."""
    shares = ((_list, 40), (_get, 40), (_put, 8), (_toggle, 8), (_post, 4))
    calls = [call for kind, share in shares for call in islice(cycle(kind(tasks)), 50 * share)]
    random.Random(4).shuffle(calls)
    return calls


MIXED: Final = Work(name="mixed", title="100 users, 80 % reads", calls=_mixed, users=100, check="mixed")

WORKS: Final[Sequence[Work]] = (
    Work(name="post", title="POST, 200 users", calls=_post, check="created", tasks=0),
    Work(name="post-one", title="POST, one user", calls=_post, check="created", tasks=0, users=1),
    Work(name="post-fields", title="POST with all fields", calls=_post_fields, check="created", tasks=0),
    Work(name="put", title="PUT, 4,000 tasks", calls=_put, check="changed"),
    Work(name="patch", title="PATCH, 4,000 tasks", calls=_toggle, check="changed"),
    Work(
        name="toggle", title="toggles of one task", calls=_toggle, check="toggled",
        users=1, tasks=1, connections=20,
    ),
    Work(name="get", title="GET one task", calls=_get),
    Work(name="list-changing", title="list of 20, changing", calls=_list, check="listed", changes=1),
    Work(name="list", title="list of 20, unchanged", calls=_list, check="listed"),
    Work(name="list-304", title="list of 20, 304", calls=_list, check="unchanged"),
    Work(
        name="long-changing", title="list of 1,000, changing", calls=_list, check="listed",
        users=20, tasks=1000, connections=20, changes=1,
    ),
    Work(
        name="long", title="list of 1,000, unchanged", calls=_list, check="listed",
        users=20, tasks=1000, connections=20,
    ),
    MIXED,
)  # fmt: skip
