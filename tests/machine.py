"""What tests ask of this machine: free ports, other processes, and programs that it may not have."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path
from typing import NoReturn

import pytest

_ports = count(os.getpid())
_reserved: list[socket.socket] = []


def processes_of(directory: str) -> dict[int, str]:
    """Return the command lines of all other processes that mention a directory or work in it. Linux only."""
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            environment = (process / "environ").read_bytes().decode(errors="replace")
            where = str((process / "cwd").readlink())
        except OSError:
            continue
        if directory in command + environment + where and process.name != str(os.getpid()):
            found[int(process.name)] = command
    return found


def command_of(process: int) -> str:
    """Return the command line of a process; empty if there is none. Linux only."""
    with suppress(OSError):
        return Path(f"/proc/{process}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def handles(process: int, number: int) -> bool:
    """Return whether a process handles or ignores a signal. Python comes to that 100 ms after its start. Linux only."""
    status = Path(f"/proc/{process}/status").read_text()
    masks = (int(status.partition(f"{name}:\t")[2].split()[0], 16) for name in ("SigCgt", "SigIgn"))
    return any(mask >> (number - 1) & 1 for mask in masks)


def children_of(parent: int) -> list[int]:
    """Return the process ids of a process's children. Linux only."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            of = (process / "stat").read_text().rpartition(")")[2].split()[1]
        except OSError:
            continue
        if int(of) == parent:
            found.append(int(process.name))
    return found


def free_port() -> int:
    """Return a free port, below the range from which the kernel assigns ports.

    No other process of these tests gets it until this one ends: the UDP port of the same number is its reservation.
    """
    while True:
        port = 20_000 + next(_ports) % 10_000
        with suppress(OSError), ExitStack() as stack:
            reserved = stack.enter_context(socket.socket(type=socket.SOCK_DGRAM))
            reserved.bind(("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()
            stack.pop_all()
            _reserved.append(reserved)
            return port


def free_ports(number: int) -> int:
    """Return the first of some free ports in a row; see `free_port`."""
    ports = [free_port() for _ in range(number)]
    while ports[-1] - ports[-number] != number - 1:
        ports.append(free_port())
    return ports[-number]


def go_without(what: str, reason: str) -> NoReturn:
    """Skip a test that this machine cannot run; fail if `CI` is set, where everything must be installed."""
    if os.environ.get("CI"):
        pytest.fail(f"no {what}: {reason}")
    pytest.skip(f"no {what}: {reason}")
