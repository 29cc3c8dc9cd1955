"""A test's `./run`: real processes, with their own DATA_DIR and port."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.machine import processes_of
from tests.servers import eventually

RUN = Path(__file__).parents[2] / "run"
START_SECONDS = 60
STOP_SECONDS = 5


@dataclass(kw_only=True)
class Run:
    """One `./run serve`, its settings, and what it printed."""

    process: subprocess.Popen[bytes]
    env: dict[str, str]
    output: Path

    def printed(self) -> str:
        return self.output.read_text()

    def wait_until_ready(self) -> str:
        """Return the address that it listens on."""

        def listening() -> str | None:
            assert self.process.poll() is None, self.printed()
            found = re.search(r"listens on (\S+)", self.printed())
            return found and found[1]

        return eventually(listening, START_SECONDS) or ""

    def token(self, user: str) -> str:
        answer = subprocess.run([RUN, "token", user], env=self.env, capture_output=True, text=True, check=True)
        return answer.stdout.strip()

    def processes(self) -> dict[int, str]:
        """Return the command lines of all living processes that were started with this DATA_DIR, or work in it."""
        return {number: command for number, command in processes_of(self.env["DATA_DIR"]).items() if command}

    def wait_for_end(self, seconds: float = START_SECONDS) -> int:
        return self.process.wait(seconds)

    def seconds_to_end(self, end: Callable[[], object]) -> float:
        """Let it end; return after how many seconds it has ended with code 0, and all its processes with it."""
        began = time.monotonic()
        end()
        assert self.wait_for_end() == 0, self.printed()
        eventually(lambda: self.processes() == {}, START_SECONDS)
        return time.monotonic() - began

    def process_of(self, command: str) -> int:
        """Return the only process with this text in its command line; just after a fork, there may be two."""

        def found() -> list[int]:
            numbers = [number for number, line in self.processes().items() if command in line]
            return numbers if len(numbers) == 1 else []

        return eventually(found, START_SECONDS)[0]


StartRun = Callable[..., Run]


@contextmanager
def started_runs(directory: Path) -> Iterator[StartRun]:
    """Yield a function that starts `./run` in one DATA_DIR, on a free port; end all of them afterwards."""
    runs: list[Run] = []

    def start(**settings: str) -> Run:
        env = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "COV_"))}
        env |= {"DATA_DIR": str(directory / "data"), "API_PORT": "0"} | settings
        output = directory / f"output-{len(runs)}"
        with output.open("wb") as file:
            process = subprocess.Popen([RUN], env=env, stdout=file, stderr=file, cwd="/", start_new_session=True)
        runs.append(Run(process=process, env=env, output=output))
        return runs[-1]

    try:
        yield start
    finally:
        for run in runs:
            run.process.kill()
            run.process.wait()


def create_task(run: Run, url: str, title: str) -> httpx.Response:
    headers = {"Authorization": f"Bearer {run.token('alice')}"}
    return httpx.post(f"{url}/api/alice/tasks", json={"title": title}, headers=headers, timeout=START_SECONDS)


def titles(run: Run, url: str) -> list[str]:
    headers = {"Authorization": f"Bearer {run.token('alice')}"}
    return [
        task["title"] for task in httpx.get(f"{url}/api/alice/tasks", headers=headers, timeout=START_SECONDS).json()
    ]


def only_sentence(run: Run) -> str:
    """Return what a `./run` that refused to start printed: one line, and nothing else."""
    assert run.process.wait(START_SECONDS) == 1, run.printed()
    lines = run.printed().splitlines()
    assert len(lines) == 1, run.printed()
    return lines[0]
