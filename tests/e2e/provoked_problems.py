"""A way to provoke each kind of problem over HTTP, beside a service with low limits."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import httpx
import orjson

from edge.problem_kinds import Kind
from tests.integration.test_http_limits import received
from tests.ledger import connections
from tests.servers import RunningService, Servers, eventually, run_async, token
from tests.signing import good
from tests.streams import opened

HOLD: Final = "SELECT FROM tasklog.streams WHERE user_id = $1 FOR UPDATE"
TITLE: Final = {"title": "Milk"}
AUTH_SERVER: Final = "http://127.0.0.1:1"
"""Nobody listens there."""


class Caller:
    """A user of a service, and the service's own database."""

    def __init__(self, service: RunningService, user: str) -> None:
        self.service, self.user = service, user
        self.http = service.client(user)
        self.base = f"/api/{user}"

    def call(self, method: str, path: str = "/tasks", **how: Any) -> httpx.Response:
        """Make a call below the user's resources."""
        return self.http.request(method, self.base + path, **how)

    def created(self, **how: Any) -> str:
        """Create a task, and return its path below the user's resources."""
        return "/tasks/" + str(self.call("POST", json=TITLE, **how).json()["id"])

    def commands(self, *commands: dict[str, Any]) -> list[dict[str, Any]]:
        """Carry commands out, and return their results."""
        results: list[dict[str, Any]] = self.call("POST", "/commands", json={"commands": commands}).json()["results"]
        return results

    @contextmanager
    def replaced(self, function: str, arguments: str, body: str) -> Iterator[None]:
        """Replace the body of a function of the database for the block."""
        database = self.service.database
        ((before,),) = database.execute(f"SELECT pg_get_functiondef('tasklog.{function}({arguments})'::regprocedure)")
        database.execute(before.partition("AS $function$")[0] + f"AS $function$ BEGIN {body} END $function$")
        try:
            yield
        finally:
            database.execute(before)


def contradictory_request(caller: Caller) -> Any:
    return caller.call("GET", params={"completed": "true", "status": "pending"})


def refused_preflight(caller: Caller) -> Any:
    headers = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    return caller.call("OPTIONS", headers=headers)


def with_token(value: str | None) -> Callable[[Caller], Any]:
    def call(caller: Caller) -> Any:
        headers = {} if value is None else {"Authorization": f"Bearer {value}"}
        return httpx.get(caller.service.url + caller.base + "/tasks", headers=headers)

    return call


def expired_token(caller: Caller) -> Any:
    return with_token(token(caller.user, exp=int(time.time()) - 3600))(caller)


def contended_task(caller: Caller) -> Any:
    """Every append is refused, as if another process had always been faster."""
    conflict = """RETURN QUERY
        SELECT DISTINCT c, 'conflict', NULL::bigint, NULL::bigint, NULL::timestamptz, NULL::bytea
        FROM unnest(commands) AS c;"""
    arguments = (
        "integer[],text[],bigint[],integer[],uuid[],uuid[],text[],smallint[],text[],text[],text[],bytea[],boolean"
    )
    with caller.replaced("append_commands", arguments, conflict):
        return caller.call("POST", json=TITLE)


def request_in_progress(caller: Caller) -> Any:
    """The user's stream is locked, so the first of two requests waits."""
    caller.created()

    async def both() -> httpx.Response:
        async with connections(caller.service.database.owner, 1) as (owner,), owner.transaction():
            await owner.execute(HOLD, caller.user)
            asked = [pool.submit(caller.call, "POST", json=TITLE, headers={"Idempotency-Key": "k"}) for _ in range(2)]
            eventually(lambda: any(one.done() for one in asked))
            return next(one.result() for one in asked if one.done())

    with ThreadPoolExecutor(2) as pool:
        return run_async(both())


def too_many_requests(caller: Caller) -> Any:
    return eventually(lambda: answer if (answer := caller.call("GET", "/stats")).is_error else None)


def too_many_streams(caller: Caller) -> Any:
    """Of two streams that there may be, a user may have one."""
    with opened(caller.service.url, caller.user) as stream:
        stream.next()
        return caller.call("GET", "/changes/stream")


def overloaded(caller: Caller) -> Any:
    """There may be two streams."""
    with ExitStack() as stack:
        users = (caller.user, f"{caller.user}-2")
        streams = [stack.enter_context(opened(caller.service.url, user)) for user in users]
        assert [stream.next().data["tasks"] for stream in streams] == [[], []]
        third = Caller(caller.service, f"{caller.user}-3")
        return third.call("GET", "/changes/stream")


def raising(condition: str) -> Callable[[Caller], Any]:
    def call(caller: Caller) -> Any:
        with caller.replaced("trash", "text,bigint,integer", f"RAISE {condition};"):
            return caller.call("GET", "/trash")

    return call


def unavailable(caller: Caller) -> Any:
    """The database takes no connections for a moment."""
    database = caller.service.database
    allow = f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS "
    servers = Servers(postgres_url=database.owner.replace(database.name, "postgres"), redis_url="")
    servers.execute(allow + "false")
    try:
        servers.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database.name}'")
        return caller.call("GET", "/stats")
    finally:
        servers.execute(allow + "true")


def auth_server_unavailable(caller: Caller) -> Any:
    draft = good("EdDSA", now=int(time.time())).claims_with(sub=caller.user, iss=AUTH_SERVER, aud=AUTH_SERVER)
    return with_token(draft.signed().decode())(caller)


def unreadable_event(caller: Caller) -> Any:
    """The user's only event is of a type that no release knows, and is not projected."""
    caller.created()
    database, theirs = caller.service.database, f"WHERE user_id = '{caller.user}'"
    database.execute(f"UPDATE tasklog.events SET type = 'task.renamed' {theirs}")
    database.execute(f"DELETE FROM tasklog.tasks {theirs}")
    database.execute(f"DELETE FROM tasklog.checkpoints {theirs}")
    return caller.call("GET")


def cannot_undo(caller: Caller) -> Any:
    return caller.call("POST", "/undo")


def task_changed(caller: Caller) -> Any:
    return caller.call("DELETE", caller.created(), headers={"If-Match": '"7"'})


def key_reused(caller: Caller) -> Any:
    caller.created(headers={"Idempotency-Key": "k"})
    return caller.call("POST", json={"title": "Bread"}, headers={"Idempotency-Key": "k"})


def failed_reference(caller: Caller) -> Any:
    create = {"id": "a", "type": "task.create", "ref": "new", "data": {"title": ""}}
    _, followed = caller.commands(create, {"id": "b", "type": "task.complete", "task": "new"})
    return followed["status"], followed["problem"]


def elsewhere(statement: str) -> Callable[[Caller], Any]:
    """The user's stream is in another ledger, or arriving from one."""

    def call(caller: Caller) -> Any:
        digest = "decode(repeat('00', 32), 'hex')"
        caller.service.database.execute(statement.format(user=caller.user, hash=digest))
        return caller.call("POST", json=TITLE)

    return call


def task_ids_used_up(caller: Caller) -> Any:
    database = caller.service.database
    ((last,),) = database.execute("SELECT nextval('tasklog.task_ids')")
    database.execute(f"ALTER SEQUENCE tasklog.task_ids MAXVALUE {last}")
    try:
        return caller.call("POST", json=TITLE)
    finally:
        database.execute("ALTER SEQUENCE tasklog.task_ids NO MAXVALUE")


def calling(method: str, path: str = "/tasks", **how: Any) -> Callable[[Caller], Any]:
    return lambda caller: caller.call(method, path, **how)


def raw(*parts: bytes) -> Callable[[Caller], Any]:
    def send(caller: Caller) -> tuple[int, dict[str, Any]]:
        where = httpx.URL(caller.service.url)
        assert where.port is not None
        with socket.create_connection((where.host, where.port), timeout=20) as connection:
            for part in parts:
                connection.sendall(part)
            return read(received(connection))

    return send


def read(answer: bytes) -> tuple[int, dict[str, Any]]:
    """Return the status and the JSON of a raw answer."""
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), orjson.loads(body)


PROVOKED: Final[dict[Kind, Callable[[Caller], Any]]] = {
    Kind.MALFORMED_REQUEST: raw(b"no request\r\n\r\n"),
    Kind.CONTRADICTORY_REQUEST: contradictory_request,
    Kind.REFUSED_PREFLIGHT: refused_preflight,
    Kind.NO_TOKEN: with_token(None),
    Kind.INVALID_TOKEN: with_token("a.b.c"),
    Kind.EXPIRED_TOKEN: expired_token,
    Kind.FOREIGN_PATH: lambda caller: caller.http.get("/api/somebody-else/tasks"),
    Kind.TASK_NOT_FOUND: calling("GET", "/tasks/9007199254740991"),
    Kind.PATH_NOT_FOUND: calling("GET", "/nowhere"),
    Kind.POSITION_NOT_FOUND: calling("POST", "/undo", json={"position": 999}),
    Kind.METHOD_NOT_ALLOWED: calling("PUT"),
    Kind.CONTENDED_TASK: contended_task,
    Kind.REQUEST_IN_PROGRESS: request_in_progress,
    Kind.TOKEN_UNKNOWN: calling("GET", "/changes", params={"since": "unknown"}),
    Kind.CANNOT_UNDO: cannot_undo,
    Kind.TASK_CHANGED: task_changed,
    Kind.MOVED: elsewhere("INSERT INTO tasklog.departures VALUES ('{user}', 'b', 'another', 1, {hash}, now())"),
    Kind.ARRIVING: elsewhere("INSERT INTO tasklog.arrivals VALUES ('{user}', 1, {hash})"),
    Kind.TASK_IDS_USED_UP: task_ids_used_up,
    Kind.BODY_TOO_LARGE: calling("POST", content=b"x" * (1024 * 1024 + 1)),
    Kind.UNSUPPORTED_BODY: calling("POST", data=TITLE),
    Kind.INVALID_REQUEST: calling("POST", json={"title": ""}),
    Kind.KEY_REUSED: key_reused,
    Kind.ANSWER_TOO_LONG: raising("program_limit_exceeded"),
    Kind.FAILED_REFERENCE: failed_reference,
    Kind.TOO_MANY_REQUESTS: too_many_requests,
    Kind.TOO_MANY_STREAMS: too_many_streams,
    Kind.HEADER_TOO_LARGE: raw(b"GET / HTTP/1.1\r\nHost: tasklog\r\nX: " + b"a" * 200_000),
    Kind.INTERNAL_ERROR: raising("division_by_zero"),
    Kind.UNAVAILABLE: unavailable,
    Kind.OVERLOADED: overloaded,
    Kind.AUTH_SERVER_UNAVAILABLE: auth_server_unavailable,
    Kind.UNREADABLE_EVENT: unreadable_event,
}
