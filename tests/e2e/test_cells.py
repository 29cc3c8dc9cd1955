"""Two cells behind Debian's Caddy with docs/operate/cells.Caddyfile: people move, and their clients notice nothing."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import httpx
import orjson
import pytest

from edge.openapi import FILE
from edge.problem_kinds import Kind
from tests.cells import SECOND_IDS, moved, two_ledgers
from tests.e2e.all_in_one import RUN
from tests.e2e.test_gateway import running_caddy
from tests.machine import free_port
from tests.servers import RunningService, Servers, client_of, eventually, running_service
from tests.streams import opened

TITLE = {"title": "Milk"}


@dataclass(frozen=True, kw_only=True)
class Cells:
    """Both cells, the gateway before them, and the folder of its files."""

    a: RunningService
    b: RunningService
    url: str
    folder: Path
    admin: str

    def move(self, user: str, source: str = "a", target: str = "b") -> None:
        """Move a user between the cells."""
        moved(user, getattr(self, source).database, getattr(self, target).database, target)

    def reload(self) -> None:
        """Let the gateway read its files again."""
        caddy = shutil.which("caddy") or "caddy"
        command = [caddy, "reload", "--config", "Caddyfile", "--address", self.admin]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def cells(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cells]:
    """Both cells, and the example's gateway; its rule sends the users of these tests to cell a."""
    folder = tmp_path_factory.mktemp("cells")
    with ExitStack() as stack:
        services = [
            stack.enter_context(
                running_service(database, stack.enter_context(servers.emptied_redis()), folder / f"{name}.log")
            )
            for name, database in zip("ab", stack.enter_context(two_ledgers(servers)), strict=True)
        ]
        a, b = (service.url.removeprefix("http://") for service in services)
        port, admin = free_port(), f"localhost:{free_port()}"
        text = (RUN.parent / "docs/operate/cells.Caddyfile").read_text()
        replaced = {"\n:8000 {": f"\n:{port} {{", "localhost:2019": admin, "~^[a-mA-M] a": "~^[a-u] a"}
        replaced |= {"a_read_api:8000": a, "a_command_api:8000": a, "b_read_api:8000": b, "b_command_api:8000": b}
        url = stack.enter_context(running_caddy(text, replaced, port, folder))
        yield Cells(a=services[0], b=services[1], url=url, folder=folder, admin=admin)


def titles(client: httpx.Client, user: str) -> set[str]:
    return {task["title"] for task in client.get(f"/api/{user}/tasks").json()}


def operations() -> list[tuple[str, str]]:
    paths: dict[str, dict[str, Any]] = orjson.loads(FILE.read_bytes())["paths"]
    return [(method.upper(), path) for path, methods in paths.items() for method in methods if path.startswith("/api/")]


@pytest.fixture(scope="module")
def mover(cells: Cells) -> tuple[str, int]:
    """Return a user who has moved from a to b, and the id of a task of theirs."""
    client = client_of(cells.a.url, "mover")
    task: int = client.post("/api/mover/tasks", json=TITLE).json()["id"]
    eventually(lambda: cells.a.database.execute("SELECT FROM tasklog.tasks WHERE user_id = 'mover'"))
    client.close()
    cells.move("mover")
    return "mover", task


@pytest.mark.parametrize(("method", "path"), operations(), ids=[" ".join(one) for one in operations()])
def test_the_old_cell_answers_421_on_every_route(cells: Cells, mover: tuple[str, int], method: str, path: str) -> None:
    """Bodies are valid. Seen to fail for an undo, which found old events, and answered 409."""
    user, task = mover
    where = path.format(user_id=user, task_id=task, position=1)
    body: Any = {"title": "Bread"} if method in {"POST", "PUT", "PATCH"} else None
    if path.endswith("/commands"):
        body = {"commands": [{"id": "x", "type": "task.complete", "task": task}]}
    elif path.endswith("/undo"):
        body = {"position": 1}
    elif path.endswith("/complete"):
        body = {}
    with client_of(cells.a.url, user) as client:
        answer = client.request(method, where, json=body)
    assert answer.status_code == 421
    assert answer.headers["tasklog-cell"] == "b"
    assert answer.json()["type"] == Kind.MOVED.type


@pytest.mark.parametrize(
    "query",
    ["tasks?limit=1", "tasks?search=milk", "tasks?as_of=1", "tasks?as_of=2026-01-01T00:00:00Z", "changes?since=x"],
)
def test_the_old_cell_answers_421_for_each_kind_of_list(cells: Cells, mover: tuple[str, int], query: str) -> None:
    with client_of(cells.a.url, mover[0]) as client:
        answer = client.get(f"/api/{mover[0]}/{query}")
    assert answer.status_code == (410 if "since=x" in query else 421)


def test_a_page_explains_421(cells: Cells) -> None:
    with client_of(cells.a.url) as client:
        assert Kind.MOVED.explanation[0] in client.get(Kind.MOVED.type).text.replace("&#x27;", "'")


def test_clients_notice_nothing_behind_the_gateway(cells: Cells, user: str) -> None:
    """Before and after the move, and when the gateway's file names the user. New tasks have ids of the new range."""
    with client_of(cells.url, user) as client:
        base = f"/api/{user}/tasks"
        first = client.post(base, json=TITLE)
        etag = first.headers["etag"]
        cells.move(user)
        second = client.post(base, json={"title": "Bread"})
        assert second.status_code == 201
        assert SECOND_IDS[0] <= second.json()["id"] <= SECOND_IDS[1]
        changed = client.put(f"{base}/{first.json()['id']}", json={"title": "Oat milk"}, headers={"If-Match": etag})
        assert changed.status_code == 200
        assert titles(client, user) == {"Oat milk", "Bread"}
        (cells.folder / "moved-1.map").write_text(f"{user} b\n")
        cells.reload()
        before = cells.a.log.read_text().count(f'"{user}"')
        assert titles(client, user) == {"Oat milk", "Bread"}
        assert client.delete(f"{base}/{second.json()['id']}").status_code == 200
        assert cells.a.log.read_text().count(f'"{user}"') == before
    for cell, other in ((cells.a, "b"), (cells.b, None)):
        with client_of(cell.url, user) as client:
            answer = client.get("/cell")
        assert answer.json() == {"cell": other}
        assert answer.headers.get("tasklog-cell") == other


def test_a_client_cannot_choose_its_cell(cells: Cells, user: str) -> None:
    """A request that names a cell goes where its user is."""
    with client_of(cells.url, user) as client:
        answer = client.post(f"/api/{user}/tasks", json=TITLE, headers={"Tasklog-Cell": "b"})
    assert answer.status_code == 201
    assert cells.b.database.execute("SELECT FROM tasklog.streams WHERE user_id = $1", user) == []


def test_a_stream_goes_on_in_the_new_cell_with_its_token(cells: Cells, user: str) -> None:
    """Its last token is known there, and what was written in between comes once."""
    with client_of(cells.url, user) as client:
        client.post(f"/api/{user}/tasks", json={"title": "before"})
        with opened(cells.url, user) as stream:
            last = stream.next()
            assert [task["title"] for task in last.data["tasks"]] == ["before"]
            cells.move(user)
            assert list(stream.events()) == []
        client.post(f"/api/{user}/tasks", json={"title": "after"})
        with opened(cells.url, user, last=last.id) as stream:
            assert [task["title"] for task in stream.next().data["tasks"]] == ["after"]


def test_clients_write_on_while_their_user_is_moved_to_and_fro(cells: Cells, user: str) -> None:
    """Each repeats its request under one Idempotency-Key until it is answered; each task is there once."""
    stop, wanted = Event(), list[set[str]]()

    def write(number: int) -> set[str]:
        done: set[str] = set()
        with client_of(cells.url, user) as client:
            while not stop.is_set():
                title = f"{number}-{len(done)}"
                key = {"Idempotency-Key": title}
                answer = client.post(f"/api/{user}/tasks", json={"title": title}, headers=key)
                assert answer.status_code in {201, 421, 503}, answer.text
                if answer.status_code == 201:
                    done.add(title)
        return done

    with ThreadPoolExecutor(3) as pool:
        writing = [pool.submit(write, number) for number in range(3)]
        eventually(lambda: cells.a.database.execute("SELECT FROM tasklog.streams WHERE user_id = $1", user))
        for source, target in ("ab", "ba", "ab"):
            cells.move(user, source, target)
        stop.set()
        wanted = [one.result() for one in writing]
    with client_of(cells.url, user) as client:
        listed = [task["title"] for task in client.get(f"/api/{user}/tasks").json()]
    assert sorted(listed) == sorted(set[str]().union(*wanted))
    assert len(listed) > 10
