"""The commands that each run one service, as children of `./run` or in containers."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated, NamedTuple, NoReturn

import typer

from runtime.settings import SettingsError, load_settings
from tasklog.cli.conventions import Panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager

    from starlette.types import ASGIApp

    from runtime.settings import Settings

app = typer.Typer()


Inherited = Annotated[int | None, typer.Option(hidden=True, help="The file descriptor of a socket, inherited.")]
Number = Annotated[int | None, typer.Option(hidden=True, help="The number of this worker, if there are several.")]


class Place(NamedTuple):
    """What a worker has of its supervisor: its sockets, and its number if there are several."""

    listener: socket.socket | None
    admin: socket.socket | None
    ready: socket.socket | None
    worker: int | None


@app.command(rich_help_panel=Panel.APART)
def command_api(
    fd: Inherited = None, admin_fd: Inherited = None, ready_fd: Inherited = None, worker: Number = None
) -> None:
    """Run only the API that takes writes."""
    with _service("command-api", _place(fd, admin_fd, ready_fd, worker)) as (settings, place):
        from command_api.app import create_app
        from tasklog.admin.opened import COMMAND_API
        from tasklog.serving.server import opened

        _serve(settings, COMMAND_API, lambda: opened(create_app(settings)), place)


@app.command(rich_help_panel=Panel.APART)
def read_api(
    fd: Inherited = None, admin_fd: Inherited = None, ready_fd: Inherited = None, worker: Number = None
) -> None:
    """Run only the API that answers reads."""
    with _service("read-api", _place(fd, admin_fd, ready_fd, worker)) as (settings, place):
        from read_api.app import create_app
        from tasklog.admin.opened import READ_API
        from tasklog.serving.server import opened

        _serve(settings, READ_API, lambda: opened(create_app(settings)), place)


@app.command(rich_help_panel=Panel.APART)
def projector(admin_fd: Inherited = None, ready_fd: Inherited = None, worker: Number = None) -> None:
    """Run only the projector, which turns events into tasks."""
    with _service("projector", _place(None, admin_fd, ready_fd, worker)) as (settings, place):
        from audit.jobs import JOBS
        from projector.worker import main
        from runtime.tracing import traced
        from tasklog.admin.opened import PROJECTOR, beside_projector

        with traced(PROJECTOR):
            main(settings, JOBS, lambda: _say_ready(place), partial(beside_projector, settings, worker, place.admin))


@app.command(hidden=True)
def gateway(
    fd: Inherited = None, admin_fd: Inherited = None, ready_fd: Inherited = None, worker: Number = None
) -> None:
    """Run both APIs in one process."""
    with _service("gateway", _place(fd, admin_fd, ready_fd, worker)) as (settings, place):
        from tasklog.admin.opened import GATEWAY
        from tasklog.serving.gateway import open_gateway

        _serve(settings, GATEWAY, lambda: open_gateway(settings), place)


def _place(fd: int | None, admin_fd: int | None, ready_fd: int | None, worker: int | None) -> Place:
    listener, admin, ready = (None if n is None else socket.socket(fileno=n) for n in (fd, admin_fd, ready_fd))
    return Place(listener, admin, ready, worker)


@contextmanager
def _service(command: str, place: Place) -> Iterator[tuple[Settings, Place]]:
    """Set up a service process, or run its workers and end; a start error gets its own exit code."""
    _leave_when_told()
    from runtime.lean_imports import import_lean
    from tasklog.supervision.service import START_ERROR

    try:
        settings = load_settings()
        count = settings.projector_workers if command == "projector" else settings.api_workers
        if count is not None and place.ready is None and place.listener is None:
            _supervise(command, count, settings)
        import_lean()
        from runtime import logs

        logs.configure(settings.log_level, settings.log_format, place.worker)
        yield settings, place
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(START_ERROR) from None


def _supervise(command: str, count: int, settings: Settings) -> NoReturn:
    from tasklog.supervision.workers import supervise

    # What `auto` means is settled here, for all of them.
    own = {"PROJECTOR_WORKERS" if command == "projector" else "API_WORKERS": str(count)}
    supervise(command, count, settings, {**os.environ, **own})
    sys.exit(0)


def _leave_when_told() -> None:
    """Exit with code 0 at the first signal, until the service handles signals: there is nothing to clean up yet."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # started with nohup
            signal.signal(number, lambda *_: os._exit(0))


def _say_ready(place: Place) -> None:
    """Tell the supervisor that this worker is ready."""
    if place.ready is not None:
        with suppress(OSError):
            place.ready.send(b".")


def _serve(
    settings: Settings, service: str, open_app: Callable[[], AbstractAsyncContextManager[ASGIApp]], place: Place
) -> None:
    from runtime.tracing import traced
    from tasklog.admin.opened import beside_api
    from tasklog.serving import server
    from tasklog.serving.listener import listen

    listener = place.listener or listen(settings.api_host, settings.api_port)
    with traced(service):
        server.serve(
            lambda: beside_api(settings, service, open_app(), place.worker, place.admin),
            listener,
            lambda: _say_ready(place),
        )
