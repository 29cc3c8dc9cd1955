"""Ctrl-C while a command starts: it ends, without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.e2e.all_in_one import RUN, START_SECONDS

TELLING = """
import os, runpy, signal

def tell(number, handler, plain=signal.signal):
    signal.signal = plain
    before = plain(number, handler)
    os.write(1, b"begun\\n")
    return before

signal.signal = tell
runpy.run_module("tasklog", run_name="__main__", alter_sys=True)
"""
"""`python -m tasklog` that reports when it has done its first step: deciding what Ctrl-C does."""

INTERRUPTED = """
import os, runpy, signal, typer.main

def interrupted(app, whole=typer.main.get_command):
    os.kill(os.getpid(), signal.SIGINT)
    return whole(app)

typer.main.get_command = interrupted
runpy.run_module("tasklog", run_name="__main__", alter_sys=True)
"""
"""`python -m tasklog` that gets Ctrl-C before it has its commands."""


def test_ctrl_c_at_any_time_of_a_start_is_no_traceback(tmp_path: Path) -> None:
    """From the moment when our code decides: before that, Python itself handles Ctrl-C."""
    env = {**os.environ, "DATA_DIR": str(tmp_path / "data"), "API_PORT": "0"}
    for tenths in range(7):
        with subprocess.Popen(
            [sys.executable, "-c", TELLING, "serve" if tenths % 2 else "status"],
            env=env,
            cwd=RUN.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "begun\n"
                time.sleep(tenths / 10)
                process.send_signal(signal.SIGINT)
                printed, _ = process.communicate(timeout=START_SECONDS)
            finally:
                process.kill()
        assert "Traceback" not in printed


def test_ctrl_c_while_the_commands_are_put_together_is_no_traceback(tmp_path: Path) -> None:
    """Seen to fail with Python's own handler restored as soon as the commands are imported."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, "status"],
        env={**os.environ, "DATA_DIR": str(tmp_path / "data")},
        cwd=RUN.parent,
        capture_output=True,
        text=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
