"""Logs that cannot be written: requests are still answered, and lost lines are counted and reported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.servers import Database, RunningService, client_of, eventually, running_service

LIMITED = """
import os, resource, sys
from runtime.log_sink import Sink
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
sink = Sink(file, lambda lines: b"lost %d" % lines)
resource.setrlimit(resource.RLIMIT_FSIZE, (10, resource.RLIM_INFINITY))
for line in (b"first", b"second, cut", b"third", b"fourth"):
    sink.write(line + b"\\n")
    sink.flush()
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
for line in (b"fifth", b"sixth"):
    sink.write(line + b"\\n")
    sink.flush()
"""


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "log")
    return tmp_path / "log"


def start_reading(fifo: Path) -> int:
    return os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)


def read(reader: int) -> Iterator[dict[str, object]]:
    """Yield every complete line that has arrived."""
    data = b""
    try:
        while more := os.read(reader, 65536):
            data += more
    except BlockingIOError:
        pass
    yield from (json.loads(line) for line in data.split(b"\n") if line.startswith(b"{") and line.endswith(b"}"))


def answered(service: RunningService, requests: int) -> list[int]:
    """Return the statuses of requests on one connection, which a failing service would cut."""
    with client_of(service.url, "ann", idle_seconds=5) as client:  # a busy machine may need more than 1 s for the next
        answers = [client.get("/api/ann/tasks") for _ in range(requests)]
        connections = {answer.extensions["network_stream"].get_extra_info("client_addr") for answer in answers}
    assert len(connections) == 1
    return [answer.status_code for answer in answers]


def test_answers_go_on_while_the_log_is_closed_and_the_loss_is_told_once_it_is_open(
    database: Database, redis_url: str, fifo: Path
) -> None:
    reader = start_reading(fifo)
    with running_service(database, redis_url, fifo) as service:
        os.close(reader)
        assert answered(service, 50) == [200] * 50
        reader = start_reading(fifo)
        assert service.client().get("/health").status_code == 200
        lines = eventually(lambda: [line for line in read(reader) if "lines" in line])
        assert [line["event"] for line in lines] == ["log lines were lost"]
        assert lines[0]["level"] == "warning"
        # The health check of the start may be lost, too; the last request may be logged when the log is open again.
        assert lines[0]["lines"] in (49, 50, 51)
        assert service.projector.process is not None
        assert service.projector.process.poll() is None
    os.close(reader)


def test_answers_go_on_while_nobody_reads_the_log(database: Database, redis_url: str, fifo: Path) -> None:
    """The pipe is full after 64 KiB."""
    reader = start_reading(fifo)
    with running_service(database, redis_url, fifo) as service:
        assert answered(service, 600) == [200] * 600
    os.close(reader)


@pytest.mark.skipif(sys.platform != "linux", reason="has no /dev/full")
def test_answers_go_on_while_the_disk_of_the_log_is_full(database: Database, redis_url: str) -> None:
    with running_service(database, redis_url, Path("/dev/full")) as service:
        assert answered(service, 50) == [200] * 50


def test_a_line_that_was_cut_by_a_full_disk_is_ended_before_the_next(tmp_path: Path) -> None:
    log = tmp_path / "log"
    subprocess.run([sys.executable, "-c", LIMITED, log], check=True, cwd=Path(__file__).parents[2])
    assert log.read_text().split("\n") == ["first", "seco", "lost 3", "fifth", "sixth", ""]
