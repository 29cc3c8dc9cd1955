"""Ctrl-C while a command starts: it ends, without a traceback."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
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


PIP = """
import signal, sys

if "install" in sys.argv:
    print("begun", flush=True)
    signal.pause()
"""
"""A pip that never ends to install."""


def test_ctrl_c_while_packages_are_installed_is_no_traceback(tmp_path: Path) -> None:
    """Seen to fail with pip's own handler, which it has only once it is imported."""
    home, pip = tmp_path / "home", tmp_path / "path" / "pip"
    (home / "requirements").mkdir(parents=True)
    pip.mkdir(parents=True)
    (pip / "__init__.py").write_text("")
    (pip / "__main__.py").write_text(PIP)
    shutil.copy(RUN, home)
    shutil.copy(RUN.parent / "requirements" / "uv.lock", home / "requirements")
    (home / "requirements" / "embedded.lock").write_text("")
    with subprocess.Popen(
        [home / RUN.name],
        env={**os.environ, "PYTHONPATH": str(pip.parent)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            assert process.stdout is not None
            told = "".join(itertools.takewhile(lambda line: line != "begun\n", process.stdout))
            os.killpg(process.pid, signal.SIGINT)
            told += process.communicate(timeout=START_SECONDS)[0]
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    assert told == "Installing what requirements/embedded.lock names into .venv ...\n"
