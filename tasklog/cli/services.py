"""The commands that each run one service, as children of `./run` or in containers."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import os
import signal
import socket
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from runtime.settings import SettingsError, load_settings
from tasklog.cli.conventions import Panel

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from runtime.settings import Settings

app = typer.Typer()


@app.command(rich_help_panel=Panel.APART)
def command_api() -> None:
    """Run only the API that takes writes."""
    with _service() as settings:
        from command_api.app import create_app
        from tasklog.admin.opened import COMMAND_API

        _serve_app(settings, COMMAND_API, create_app)


@app.command(rich_help_panel=Panel.APART)
def read_api() -> None:
    """Run only the API that answers reads."""
    with _service() as settings:
        from read_api.app import create_app
        from tasklog.admin.opened import READ_API

        _serve_app(settings, READ_API, create_app)


@app.command(rich_help_panel=Panel.APART)
def projector(
    fd: Annotated[
        int | None, typer.Option(hidden=True, help="A socket to write to when it projects, inherited.")
    ] = None,
) -> None:
    """Run only the projector, which turns events into tasks."""
    with _service() as settings:
        from audit.jobs import JOBS
        from projector import worker
        from tasklog.admin.opened import beside_projector

        worker.main(settings, JOBS, lambda: _say_ready(fd), partial(beside_projector, settings))


@app.command(hidden=True)
def gateway(fd: Annotated[int | None, typer.Option(help="The listening socket, inherited.")] = None) -> None:
    """Run both APIs in one process."""
    with _service() as settings:
        from tasklog.admin.opened import GATEWAY, beside_api
        from tasklog.serving import server
        from tasklog.serving.gateway import open_gateway
        from tasklog.serving.listener import listen

        listener = listen(settings.api_host, settings.api_port) if fd is None else socket.socket(fileno=fd)
        server.serve(lambda: beside_api(settings, GATEWAY, open_gateway(settings)), listener)


@contextmanager
def _service() -> Iterator[Settings]:
    """Set up a service process; a start error gets its own exit code, which the supervisor knows."""
    _leave_when_told()
    from runtime import logs
    from tasklog.supervision.service import START_ERROR

    try:
        settings = load_settings()
        logs.configure(settings.log_level, settings.log_format)
        yield settings
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(START_ERROR) from None


def _leave_when_told() -> None:
    """Exit with code 0 at the first signal, until the service handles signals: there is nothing to clean up yet."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # started with nohup
            signal.signal(number, lambda *_: os._exit(0))


def _say_ready(fd: int | None) -> None:
    """Tell the supervisor over the socket that it passed on."""
    if fd is not None:
        with suppress(OSError):
            os.write(fd, b".")


def _serve_app(settings: Settings, service: str, create_app: Callable[[Settings], FastAPI]) -> None:
    from tasklog.admin.opened import beside_api
    from tasklog.serving import server
    from tasklog.serving.listener import listen

    listener = listen(settings.api_host, settings.api_port)
    server.serve(lambda: beside_api(settings, service, server.opened(create_app(settings))), listener)
