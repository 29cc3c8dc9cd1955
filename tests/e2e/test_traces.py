"""Traces: a collector sees each step of a write, from the request to the projection, across processes.

Seen to fail: see each test's docstring.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from secrets import token_hex

import pytest

from tests.collector import Collector, Seen, collecting
from tests.e2e.shell import Shell
from tests.servers import RunningService, Servers, eventually, running_service, token

ROUTE = "/api/{user_id}/tasks"
CREATED = f"POST {ROUTE}"
TRACEPARENT = (
    "SELECT metadata->>'traceparent' AS traceparent, metadata::text AS text FROM tasklog.events WHERE user_id = $1"
)
UNPROJECTED = "SELECT FROM tasklog.streams WHERE unprojected_since IS NOT NULL"
LOST = "takes no traces"
PATIENCE = 3.3
"""How long `./run` waits for a service to end, in seconds."""


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def traced(
    servers: Servers, collector: Collector, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    with started(servers, tmp_path_factory.mktemp("traced"), **collector.env) as service:
        yield service


@contextmanager
def started(servers: Servers, directory: Path, **env: str) -> Iterator[RunningService]:
    """Start gateway and projector on a database and a Redis of their own."""
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, directory / "service.log", **env) as service,
    ):
        yield service


def post(service: RunningService, user: str, title: str = "A secret title", **headers: str) -> str:
    """Create a task; return the id of the request."""
    answer = service.client(user).post(f"/api/{user}/tasks", json={"title": title}, headers=headers)
    assert answer.status_code == 201
    return answer.headers["X-Request-ID"]


def trace_of(collector: Collector, request_id: str) -> str:
    """Return the trace of a request, once its span has arrived."""

    def found() -> str | None:
        return next((s.trace for s in [*collector.spans] if s.attributes.get("tasklog.request_id") == request_id), None)

    return eventually(found) or ""


def whole(collector: Collector, trace: str) -> dict[str, Seen]:
    """Return the spans of a write by name, once all of them have arrived."""
    names = (CREATED, "queue", "append", "project")

    def found() -> dict[str, Seen]:
        spans = {name: span for name in names if (span := collector.one(trace, name)) is not None}
        return spans if len(spans) == len(names) else {}

    return eventually(found)


def test_a_write_is_one_trace_from_its_request_to_its_projection(
    traced: RunningService, collector: Collector, user: str
) -> None:
    """Seen to fail: with the request's span named in the event's metadata, and with no parent for `project`."""
    caller, span = token_hex(16), token_hex(8)
    post(traced, user, traceparent=f"00-{caller}-{span}-01")
    spans = whole(collector, caller)
    request, queue, append, project = (spans[name] for name in (CREATED, "queue", "append", "project"))
    assert (request.parent, queue.parent, append.parent, project.parent) == (span, request.id, request.id, append.id)
    assert (request.kind, project.kind) == ("SPAN_KIND_SERVER", "SPAN_KIND_CONSUMER")
    assert [request.service, append.service, project.service] == [*["tasklog-gateway"] * 2, "tasklog-projector"]
    assert request.began <= queue.began <= queue.ended <= append.ended <= request.ended
    assert append.began <= project.ended
    assert request.attributes["http.route"] == ROUTE
    assert request.attributes["http.response.status_code"] == 201
    ((named, _),) = traced.database.execute(TRACEPARENT, user)
    assert named.split("-")[1:3] == [caller, append.id]


def test_a_batch_and_the_requests_of_its_commands_are_linked(
    traced: RunningService, collector: Collector, user: str
) -> None:
    """Seen to fail: without links of the batch."""
    users = [f"{user}-{n}" for n in range(12)]
    with ThreadPoolExecutor(len(users)) as pool:
        requests = [*pool.map(lambda name: post(traced, name), users)]
    for request_id in requests:
        spans = whole(collector, trace_of(collector, request_id))
        for name, member, linked in (
            ("append a batch", spans["append"], spans[CREATED]),
            ("project a batch", spans["project"], spans["append"]),
        ):
            batch = eventually(lambda n=name, m=member: batch_of(collector, n, m))  # type: ignore[misc]
            assert batch is not None
            assert linked.id in batch.links
            assert batch.trace != member.trace


def batch_of(collector: Collector, name: str, member: Seen) -> Seen | None:
    return next((span for span in [*collector.spans] if span.name == name and span.id in member.links), None)


@pytest.mark.parametrize("header", [None, "00-nonsense", f"00-{'0' * 32}-{'0' * 16}-01"])
def test_a_request_without_a_valid_traceparent_begins_a_trace(
    traced: RunningService, collector: Collector, user: str, header: str | None
) -> None:
    request_id = post(traced, user, **({} if header is None else {"traceparent": header}))
    spans = whole(collector, trace_of(collector, request_id))
    assert spans[CREATED].parent == ""


def test_a_trace_that_its_caller_does_not_record_leaves_nothing_in_the_ledger(
    traced: RunningService, collector: Collector, user: str
) -> None:
    """Seen to fail: with every traceparent taken over into the metadata."""
    caller = token_hex(16)
    post(traced, user, traceparent=f"00-{caller}-{token_hex(8)}-00")
    ((named, text),) = traced.database.execute(TRACEPARENT, user)
    assert named is None
    assert "traceparent" not in text
    whole(collector, trace_of(collector, post(traced, user)))  # what came after has arrived
    assert collector.of(caller) == {}


def test_a_refused_request_is_traced_without_steps(traced: RunningService, collector: Collector, user: str) -> None:
    caller = token_hex(16)
    headers = {"traceparent": f"00-{caller}-{token_hex(8)}-01"}
    assert traced.client(user).post("/api/somebody/tasks", json={"title": "x"}, headers=headers).status_code == 403
    request = eventually(lambda: collector.one(caller, CREATED))
    assert request is not None
    assert not request.failed
    assert [*collector.of(caller)] == [CREATED]


def test_no_span_holds_a_token_a_user_or_what_a_user_wrote(
    traced: RunningService, collector: Collector, user: str
) -> None:
    """Seen to fail: with the request's path as an attribute."""
    named = f"{user}-secret-name"
    trace = trace_of(collector, post(traced, named, "A secret title"))
    whole(collector, trace)
    client = traced.client(named)
    client.get(f"/api/{named}/tasks", params={"search": "secret"})
    last = client.get("/nothing/secret")
    trace_of(collector, last.headers["X-Request-ID"])
    sent = b"".join(collector.bodies)
    assert b"secret" not in sent
    assert named.encode() not in sent
    assert token(named).split(".")[0].encode() not in sent
    assert b"Bearer" not in sent


def test_the_log_line_of_a_request_names_its_trace(traced: RunningService, collector: Collector, user: str) -> None:
    caller = token_hex(16)
    post(traced, user, traceparent=f"00-{caller}-{token_hex(8)}-01")
    assert eventually(lambda: f'"trace_id":"{caller}"' in traced.logged())


def test_health_checks_are_not_traced(traced: RunningService, collector: Collector, user: str) -> None:
    traced.client().get("/health")
    whole(collector, trace_of(collector, post(traced, user)))
    assert "GET /health" not in {span.name for span in collector.spans}


def test_at_sigterm_the_last_spans_are_sent(servers: Servers, tmp_path: Path) -> None:
    """Seen to fail: without the flush at the end."""
    with collecting() as collector:
        env = {**collector.env, "OTEL_BSP_SCHEDULE_DELAY": "600000"}
        with started(servers, tmp_path, **env) as service:
            request_id = post(service, "alice")
            eventually(lambda: service.database.execute(UNPROJECTED) == [])
            assert collector.spans == []
            service.gateway.stop(timeout=30)
            service.projector.stop(timeout=30)
        whole(collector, trace_of(collector, request_id))


@pytest.mark.alone
def test_a_collector_that_is_away_or_hangs_costs_a_log_line(servers: Servers, tmp_path: Path) -> None:
    """Seen to fail: with a flush that waits for the collector."""
    with ExitStack() as stack:
        hanging = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        hanging.listen()
        env = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{hanging.getsockname()[1]}",
            "OTEL_EXPORTER_OTLP_TIMEOUT": "4",
            "OTEL_BSP_SCHEDULE_DELAY": "50",
        }
        service = stack.enter_context(started(servers, tmp_path, **env))
        for _ in range(3):
            post(service, "alice")
            eventually(lambda: service.logged().count(LOST) == 2)  # gateway and projector
        began = time.monotonic()
        assert service.gateway.process is not None
        service.gateway.ask_to_stop()
        assert service.gateway.process.wait(PATIENCE) == 0
        assert time.monotonic() - began < PATIENCE
        assert service.logged().count(LOST) == 2
        assert "Traceback" not in service.logged()


def test_without_the_variables_no_process_imports_anything_for_traces(servers: Servers, tmp_path: Path) -> None:
    """Python itself prints what is imported. Seen to fail: with the import at the head of runtime/tracing.py."""
    with started(servers, tmp_path, PYTHONPROFILEIMPORTTIME="1") as service:
        post(service, "alice")
        eventually(lambda: service.database.execute(UNPROJECTED) == [])
        imported = service.logged()
    modules = set(re.findall(r"^import time: .*\| +(\S+)$", imported, re.MULTILINE))
    assert modules >= {"tasklog.serving.server", "projector.worker", "runtime.tracing"}
    heavy = ("opentelemetry", "google.", "requests", "urllib3")
    assert [name for name in modules if name.startswith((*heavy, "runtime.sending_traces"))] == []


def test_events_with_a_trace_are_undone_verified_and_exported(
    traced: RunningService, user: str, tmp_path: Path
) -> None:
    """Seen to fail: with a traceparent behind `undoes` in the metadata, and with one refused in an export."""
    client = traced.client(user)
    post(traced, user)
    assert client.post(f"/api/{user}/undo").json()["undone"] == 1
    again = client.post(f"/api/{user}/undo", json={"position": 2})
    assert again.json()["undone"] == 2
    events = client.get(f"/api/{user}/history").json()["events"]
    assert [event["undoes"] for event in events] == [None, 1, 2]
    assert all("traceparent" in event["metadata"] for event in events)
    shell = Shell(directory=tmp_path, database=traced.database, redis_url=traced.gateway._env["REDIS_URL"])
    assert shell.run("verify", user).returncode == 0
    assert shell.run("export", "--out", tmp_path / "ledger.jsonl").returncode == 0
    checked = shell.run("verify", "--file", tmp_path / "ledger.jsonl")
    assert checked.returncode == 0, checked.stdout + checked.stderr
