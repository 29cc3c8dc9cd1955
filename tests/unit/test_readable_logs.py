"""Logs are JSON for machines, and readable lines without tracebacks for people on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys

import pytest

PROGRAM = """
import logging, structlog
from runtime import logs
logs.configure("info", {format!r})
structlog.get_logger().info("request", path="/api/\\x1b[2J\\nforged", status=200)
logging.getLogger("library").warning("a %s", "message\\x1b[2J\\nforged")
try:
    raise ValueError("what a user wrote")
except ValueError:
    structlog.get_logger().exception("internal error")
"""


def printed(form: str, *, on_a_terminal: bool) -> str:
    ours, theirs = pty.openpty()
    try:
        program = [sys.executable, "-c", PROGRAM.format(format=form)]
        done = subprocess.run(program, stdout=theirs if on_a_terminal else subprocess.PIPE, check=True)
        return os.read(ours, 65536).decode() if on_a_terminal else done.stdout.decode()
    finally:
        os.close(ours)
        os.close(theirs)


@pytest.mark.parametrize(("form", "on_a_terminal"), [("auto", True), ("text", False)])
def test_people_read_a_line_for_each_event_without_a_traceback(form: str, on_a_terminal: bool) -> None:
    output = re.sub(r"\x1b\[[0-9;]*m", "", printed(form, on_a_terminal=on_a_terminal))  # colours
    lines = output.replace("\r\n", "\n").splitlines()
    assert len(lines) == 3
    assert "request" in lines[0]
    assert "status=200" in lines[0]
    assert "message" in lines[1]
    assert "internal error" in lines[2]
    assert "ValueError" in lines[2]
    assert "Traceback" not in output
    assert "\x1b" not in output
    assert "what a user wrote" not in output


@pytest.mark.parametrize(("form", "on_a_terminal"), [("auto", False), ("json", True)])
def test_machines_read_json(form: str, on_a_terminal: bool) -> None:
    lines = [json.loads(line) for line in printed(form, on_a_terminal=on_a_terminal).splitlines()]
    assert [line["event"] for line in lines][::2] == ["request", "internal error"]
    assert lines[0]["path"] == "/api/\x1b[2J\nforged"
    assert lines[2]["traceback"][0] == "builtins.ValueError"
