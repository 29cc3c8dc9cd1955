"""The replica of `clients/typescript` in a Node of its own, driven from a test."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests import npm
from tests.servers import token

DRIVER = Path(__file__).with_name("driver.mjs")
SECONDS = 60.0


class ProblemSeenError(Exception):
    """The replica's promise was rejected with a problem of this status."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(status, message)
        self.status = status


class DrivenReplica:
    """Calls methods of the replica; a command's future ends when the service has carried it out."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._waiting: dict[int, Future[Any]] = {}
        threading.Thread(target=self._read, daemon=True).start()

    def begin(self, call: str, *args: object) -> Future[Any]:
        n = len(self._waiting) + 1
        future: Future[Any] = Future()
        self._waiting[n] = future
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"n": n, "call": call, "args": args}) + "\n")
        self._process.stdin.flush()
        return future

    def call(self, call: str, *args: object) -> Any:
        return self.begin(call, *args).result(SECONDS)

    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.call("tasks")
        return found

    def titles(self) -> list[str]:
        return [task["title"] for task in self.tasks()]

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            future = self._waiting[answer["n"]]
            if "problem" in answer:
                future.set_exception(ProblemSeenError(answer["problem"]["status"], answer["problem"]["message"]))
            else:
                future.set_result(answer["result"])


@contextmanager
def driven_replica(url: str, user: str, *tokens: str) -> Iterator[DrivenReplica]:
    """Open a user's replica in Node, and end it after the block; of `tokens`, the next follows one that is refused."""
    node = npm.node("replica in Node")
    command = [node, str(DRIVER), url, user, *(tokens or [token(user)])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield DrivenReplica(process)
        finally:
            process.kill()
