"""Several workers of a service under their supervisor, and clients that notice whether one is missing."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.machine import children_of, command_of, free_port
from tests.servers import SECRET, Database, Servers, eventually, token

RESTARTED = "All workers were restarted."


@dataclass(kw_only=True)
class Supervised:
    """A supervisor and its workers."""

    process: subprocess.Popen[bytes]
    database: Database
    port: int
    log: Path
    env: dict[str, str]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def workers(self) -> list[int]:
        """Return the process ids of the workers."""
        return [child for child in children_of(self.process.pid) if "-m tasklog" in command_of(child)]

    def logged(self) -> str:
        """Return the whole lines of the log; the last one may still be incomplete."""
        text = self.log.read_text()
        return text[: text.rfind("\n") + 1]

    def lines(self) -> list[dict[str, object]]:
        """Return the log lines of the workers."""
        return [json.loads(line) for line in self.logged().splitlines() if line.startswith("{")]

    def wait_for(self, sentence: str, times: int = 1) -> None:
        """Return once the supervisor has said something as often as this."""
        eventually(lambda: self.logged().count(sentence) >= times, 60)


@contextmanager
def supervised(servers: Servers, directory: Path, command: str, **env: str) -> Iterator[Supervised]:
    """Start a service whose settings ask for workers, on a database and a Redis of its own."""
    with ExitStack() as stack:
        database = stack.enter_context(servers.cloned())
        redis_url = stack.enter_context(servers.emptied_redis())
        port, log = free_port(), directory / "workers.log"
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        own = {"BETTER_AUTH_SECRET": SECRET, "REDIS_URL": redis_url, "API_PORT": str(port)}
        settings = {**inherited, **own, **database.service_urls, **env}
        output = stack.enter_context(log.open("wb"))
        process = subprocess.Popen(
            [sys.executable, "-m", "tasklog", command], env=settings, stdout=output, stderr=output
        )
        stack.callback(process.wait)
        stack.callback(process.kill)
        found = Supervised(process=process, database=database, port=port, log=log, env=settings)
        eventually(lambda: has_started(found), 60)
        yield found


def has_started(running: Supervised) -> bool:
    assert running.process.poll() is None, running.logged()
    return re.search(r"workers? of \S+ run", running.logged()) is not None


@dataclass(kw_only=True)
class Clients:
    """What clients saw: how many answers of which status, and what went wrong with a connection."""

    answers: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def work(self, url: str, user: str, ending: threading.Event, *, keeps: bool) -> None:
        """Write and read until `ending`, over one connection or over a new one each time."""
        headers = {"Authorization": f"Bearer {token(user)}"}
        with ExitStack() as stack:
            client: httpx.Client | None = None
            while not ending.is_set():
                if client is None or not keeps:
                    client = stack.enter_context(httpx.Client(base_url=url, headers=headers, timeout=20))
                for method, body in (("POST", {"title": "A title"}), ("GET", None)):
                    try:
                        answer = client.request(method, f"/api/{user}/tasks?limit=1", json=body)
                        self.answers[answer.status_code] += 1
                    except httpx.TransportError as error:
                        self.errors[type(error).__name__] += 1
                if not keeps:
                    client.close()


@contextmanager
def clients_of(url: str, users: int) -> Iterator[Clients]:
    """Let users work, each twice: over one connection, and over a new one for each two requests."""
    ending, seen = threading.Event(), Clients()
    threads = [
        threading.Thread(target=seen.work, args=(url, f"user-{n // 2}", ending), kwargs={"keeps": n % 2 == 0})
        for n in range(2 * users)
    ]
    for thread in threads:
        thread.start()
    try:
        eventually(lambda: seen.answers.total() > 4 * users)
        yield seen
    finally:
        ending.set()
        for thread in threads:
            thread.join()
