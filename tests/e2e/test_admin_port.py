"""The admin port: figures for Prometheus, and whether a process is ready. None of it is on the public port.

Seen to fail: see each test's docstring.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.admin import LATE, OPEN, Watched, exported, held, samples, unreachable, value, watched
from tests.servers import RunningService, Servers, eventually
from tests.streams import opened

DOCUMENT = Path(__file__).parents[2] / "docs" / "operate" / "metrics.md"
CHECKPOINT = "SELECT FROM tasklog.checkpoints WHERE user_id = $1 AND position = 1"
TASKS = "/api/{user_id}/tasks"
NEWER = "COMMENT ON SEQUENCE tasklog.task_ids IS 'tasklog 0123456789ab at 9999 for 9999'"
COMMENT = "SELECT obj_description('tasklog.task_ids'::regclass, 'pg_class')"


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(servers, tmp_path_factory.mktemp("watched")) as found:
        yield found


def post(running: Watched, user: str, titles: int = 1) -> httpx.Client:
    """Create tasks of a user, one after the other; return the user's client."""
    client = running.service.client(user)
    for n in range(titles):
        assert client.post(f"/api/{user}/tasks", json={"title": f"A secret title {n}"}).status_code == 201
    return client


@pytest.mark.parametrize("path", ["/metrics", "/ready", "/live"])
def test_nothing_of_it_is_on_the_public_port(running: Watched, path: str) -> None:
    assert httpx.get(running.service.url + path).status_code == 404
    assert httpx.get(running.gateway + path).status_code == 200


def test_without_a_setting_there_is_no_admin_port(shared_service: RunningService) -> None:
    assert OPEN not in shared_service.logged()


def test_requests_are_counted_by_method_route_and_status(running: Watched, user: str) -> None:
    def counted(method: str, route: str, status: int) -> float:
        labels = {"method": method, "route": route, "status": str(status)}
        return value(running.gateway, "tasklog_http_requests_total", **labels) or 0

    kinds = [("POST", TASKS, 201), ("GET", f"{TASKS}/{{task_id}}", 404), ("other", "none", 404), ("GET", "none", 404)]
    before = [counted(*kind) for kind in kinds]
    client = post(running, user, 3)
    client.get(f"/api/{user}/tasks/987654321")
    client.request("PROPFIND", f"/{user}/nothing")
    client.get(f"/{user}/nothing")
    assert [counted(*kind) - was for kind, was in zip(kinds, before, strict=True)] == [3, 1, 1, 1]


def test_the_series_of_every_route_are_there_before_its_first_request(running: Watched) -> None:
    """Prometheus sees no increase in a series that begins with a burst. No test here sends a DELETE."""
    found = samples(running.gateway)
    route = {"method": "DELETE", "route": f"{TASKS}/{{task_id}}"}
    assert found["tasklog_http_request_duration_seconds_bucket", frozenset({**route, "le": "1.0"}.items())] == 0
    for status in ("500", "503"):
        assert found["tasklog_http_requests_total", frozenset({**route, "status": status}.items())] == 0


def test_durations_are_a_histogram_of_all_requests_of_a_route(running: Watched, user: str) -> None:
    post(running, user)
    found = samples(running.gateway)
    labels = {"method": "POST", "route": TASKS}
    durations = "tasklog_http_request_duration_seconds"
    bounds = ("0.001", "30.0", "+Inf")
    buckets = [found[f"{durations}_bucket", frozenset({**labels, "le": bound}.items())] for bound in bounds]
    posts = sum(
        number
        for (name, of), number in found.items()
        if name == "tasklog_http_requests_total" and dict(of).items() >= labels.items()
    )
    assert buckets == sorted(buckets)
    assert buckets[-1] == found[f"{durations}_count", frozenset(labels.items())] == posts
    assert 0 < found[f"{durations}_sum", frozenset(labels.items())] < 30 * posts


def test_no_label_has_what_a_client_chose_and_no_answer_what_a_user_wrote(running: Watched, user: str) -> None:
    """Seen to fail: with the request's path as the route."""
    client = post(running, user)
    for path in ("tasks/12345", f"nothing-{user}", f"tasks?search={user}"):
        client.get(f"/api/{user}/{path}")
    eventually(lambda: value(running.projector, "tasklog_projection_lag_events") == 0)
    for url in (running.gateway, running.projector):
        text = httpx.get(f"{url}/metrics").text
        assert user not in text
        assert "secret" not in text
        assert not re.search(r'"[^"]*12345', text)


def test_commands_are_counted_in_batches_and_events_when_they_are_projected(running: Watched, user: str) -> None:
    def done() -> float:
        """Return how many commands were carried out: a batch also counts those that have to be tried again."""
        found = samples(running.gateway)
        refused = [number for (name, _), number in found.items() if name == "tasklog_appends_refused_total"]
        return found.get(("tasklog_command_batch_size_sum", frozenset()), 0) - sum(refused)

    events = "tasklog_projection_batch_events_sum"
    eventually(lambda: not running.execute("SELECT FROM tasklog.streams WHERE unprojected_since IS NOT NULL"))
    written, projected = done(), value(running.projector, events) or 0
    post(running, user, 5)
    assert done() - written == 5
    assert eventually(lambda: (value(running.projector, events) or 0) - projected == 5)


def test_open_streams_are_counted_while_they_are_open(running: Watched, user: str) -> None:
    before = value(running.gateway, "tasklog_streams_open")
    assert before == 0
    with opened(running.service.url, user) as stream, opened(running.service.url, user) as other:
        stream.next(), other.next()
        assert value(running.gateway, "tasklog_streams_open") == 2
    assert eventually(lambda: value(running.gateway, "tasklog_streams_open") == 0)


def test_a_parked_user_is_counted_and_is_no_lag(running: Watched, user: str) -> None:
    """Seen to fail: with parked users in the lag."""
    running.park(user)
    try:
        assert eventually(lambda: value(running.projector, "tasklog_parked_users") == 1)
        assert value(running.projector, "tasklog_projection_lag_events") == 0
        assert running.ready(running.projector) == (200, "ready")
        assert (value(running.projector, "tasklog_parkings_total") or 0) >= 1
    finally:
        running.mend(user)
    assert eventually(lambda: value(running.projector, "tasklog_parked_users") == 0)


def test_a_projector_is_not_ready_while_an_event_waits_too_long(running: Watched, user: str) -> None:
    """The event's user is locked here, so that the projector skips them."""
    assert running.ready(running.projector) == (200, "ready")
    post(running, user)
    eventually(lambda: running.database.execute(CHECKPOINT, user))
    with held(running.database, f"{CHECKPOINT} FOR UPDATE", user):
        post(running, user)
        running.database.execute(LATE, user)
        detail = "An event has waited for more than 30 s for its projection."
        assert running.ready(running.projector) == (503, detail)
        assert eventually(lambda: (value(running.projector, "tasklog_projection_lag_seconds") or 0) > 30)
        assert running.ready(running.gateway) == (200, "ready")
    assert eventually(lambda: running.ready(running.projector) == (200, "ready"))


def test_the_task_ids_that_are_left_are_told_beside_those_of_the_whole_range(running: Watched, user: str) -> None:
    """Ids may be any number up to 2^53 - 1, of which the first ones are given."""
    post(running, user)
    ((given,),) = running.database.execute("SELECT last_value FROM tasklog.task_ids")
    all_ids = 2**53 - 1
    assert eventually(lambda: value(running.projector, "tasklog_task_ids_range") == all_ids)
    assert eventually(lambda: value(running.projector, "tasklog_task_ids_left") == all_ids - given)


def test_a_process_without_its_database_is_live_and_not_ready(servers: Servers, running: Watched) -> None:
    """Seen to fail: with the last answer of the database kept for ever."""
    with unreachable(servers, running.database):
        for url, role in ((running.gateway, "(reader|writer)"), (running.projector, "projector")):
            reason = re.compile(rf"The database of the {role} cannot be used: it does not answer \(\w+\)\.")
            assert eventually(partial(is_unready, running, url, reason))
            assert httpx.get(f"{url}/live").status_code == 200
        assert eventually(lambda: value(running.projector, "tasklog_database_up", role="projector") == 0)
        assert eventually(lambda: value(running.projector, "tasklog_projection_lag_events") is None)
    for url in (running.gateway, running.projector):
        assert eventually(partial(is_ready, running, url))
    assert (value(running.projector, "tasklog_database_unavailable_total", role="projector") or 0) >= 1


def test_a_process_under_a_schema_that_it_cannot_use_is_not_ready(running: Watched) -> None:
    ((right,),) = running.database.execute(COMMENT)
    running.database.execute(NEWER)
    try:
        status, detail = running.ready(running.projector)
        assert status == 503
        assert "has the schema of a newer version of Tasklog (revision 9999" in detail
    finally:
        running.database.execute(f"COMMENT ON SEQUENCE tasklog.task_ids IS '{right}'")
    assert running.ready(running.projector) == (200, "ready")


def test_silent_clients_keep_nobody_waiting(running: Watched, user: str) -> None:
    """Over the limit, connections are closed; the service itself notices nothing."""
    address = urlsplit(running.gateway)
    with ExitStack() as stack:
        silent = [
            stack.enter_context(closing(socket.create_connection((address.hostname or "", address.port or 0), 20)))
            for _ in range(40)
        ]
        post(running, user)
        refused = [connection for connection in silent[32:] if connection.recv(1) == b""]
        assert len(refused) == 8
    assert eventually(lambda: answers(running.gateway))


def is_ready(running: Watched, url: str) -> bool:
    return running.ready(url) == (200, "ready")


def is_unready(running: Watched, url: str, reason: re.Pattern[str]) -> bool:
    status, detail = running.ready(url)
    return status == 503 and reason.fullmatch(detail) is not None


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/live").status_code == 200
    except httpx.TransportError:
        return False


def test_unknown_paths_and_methods_are_refused(running: Watched) -> None:
    assert httpx.get(f"{running.gateway}/nothing").status_code == 404
    assert httpx.post(f"{running.gateway}/metrics").status_code == 405
    assert httpx.head(f"{running.gateway}/metrics").content == b""


def test_the_document_lists_exactly_the_metrics_that_there_are(running: Watched) -> None:
    listed = re.findall(r"^\| `((?:tasklog|process)_[a-z_]+)`", DOCUMENT.read_text(), re.MULTILINE)
    assert sorted(listed) == sorted(exported(running.gateway) | exported(running.projector))
