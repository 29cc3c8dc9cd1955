"""The commands of `./run`. Each imports only what it runs, so that the parent of all stays small."""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
import signal
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from runtime.settings import VERSION, SettingsError, load_settings
from tasklog.cli import audit, healthcheck, ledger
from tasklog.cli.conventions import ExitCode, fail, stdout_errors, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi import FastAPI

    from runtime.settings import Settings

app = typer.Typer(
    name="./run",
    help="Tasklog: a task backend in which every change is an event.",
    epilog="For developers: `./run test` and `./run check` test it, `./run chaos` injects faults, `./run bench` and "
    "`./run bench-audit` measure, `./run lock` compiles requirements/*.lock, `./run openapi` writes edge/openapi.json.",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
app.add_typer(audit.app)
app.add_typer(ledger.app)
app.add_typer(healthcheck.app)


def main() -> None:
    """Run a command; what it cannot start with is one sentence on stderr, and exit code 1."""
    try:
        app(prog_name="./run")
    except SettingsError as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
    except OSError as error:
        if error.filename is None:
            raise
        typer.echo(
            f"{os.fsdecode(error.filename)} cannot be used ({error.strerror}): make it this user's, or set DATA_DIR.",
            err=True,
        )
        sys.exit(1)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - as typer calls it
    if wanted:
        tell(f"Tasklog {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    *,
    version: Annotated[
        bool, typer.Option("--version", metavar="", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Take the options that come before a command."""


@app.command()
def serve() -> None:
    """Run everything behind one port, with servers of its own where DATABASE_URL or REDIS_URL is not set."""
    from tasklog.supervision import supervisor

    supervisor.serve(load_settings())


@app.command()
def command_api() -> None:
    """Run the API process for writes alone."""
    with _service() as settings:
        from command_api.app import create_app

        _serve_app(settings, create_app)


@app.command()
def read_api() -> None:
    """Run the API process for reads alone."""
    with _service() as settings:
        from read_api.app import create_app

        _serve_app(settings, create_app)


@app.command()
def projector() -> None:
    """Run the projector alone."""
    with _service() as settings:
        from audit.jobs import JOBS
        from projector import worker

        worker.main(settings, JOBS)


@app.command()
def migrate() -> None:
    """Bring the database to the schema of this version."""
    from tasklog.cli import migration

    migration.migrate(load_settings())
    tell("The database has the schema of this version.")


@app.command()
def token(
    user: Annotated[str, typer.Argument(help="Whose token it is.")],
    hours: Annotated[float, typer.Option(min=0.001, max=8760, help="How long it is good.")] = 24,
) -> None:
    """Print a token of a user, for development."""
    from tasklog.cli.signing import make_token

    tell(make_token(load_settings(), user, hours))


@app.command(name="help")
def help_(
    context: typer.Context,
    command: Annotated[str | None, typer.Argument(help="One command; all without it.", show_default=False)] = None,
) -> None:
    """Show this help, or a command's."""
    from typer.main import get_command

    group: Any = get_command(app)
    parent = context.parent or context
    if command is None:
        with stdout_errors():  # rich prints it by itself
            tell(parent.get_help())
    elif command in group.commands:
        found = group.commands[command]
        with stdout_errors():
            tell(found.get_help(typer.Context(found, info_name=command, parent=parent)))
    else:
        fail(f"There is no command {command}: see ./run help.", ExitCode.USAGE)


@app.command(hidden=True)
def gateway(fd: Annotated[int | None, typer.Option(help="The listening socket, inherited.")] = None) -> None:
    """Run both APIs in one process."""
    with _service() as settings:
        from tasklog.serving import server
        from tasklog.serving.gateway import open_gateway
        from tasklog.serving.listener import listen

        listener = listen(settings.api_host, settings.api_port) if fd is None else socket.socket(fileno=fd)
        server.serve(lambda: open_gateway(settings), listener)


@app.command(hidden=True)
def openapi() -> None:
    """Write edge/openapi.json anew from the routes of both services."""
    from tasklog.cli.openapi import write

    write()


@app.command(hidden=True)
def prepare() -> None:
    """Check and migrate the database before the services start."""
    from runtime import logs
    from tasklog.cli import migration

    logs.configure("warning")  # whatever else there is to tell, the services tell
    migration.prepare(load_settings(), os.environ.get("EMBEDDED_OWNER_URL"))


@contextmanager
def _service() -> Iterator[Settings]:
    """Set up a service process; its start errors have an exit code of their own, for the supervisor."""
    _leave_when_told()
    from runtime import logs
    from tasklog.supervision.service import START_ERROR

    try:
        settings = load_settings()
        logs.configure(settings.log_level)
        yield settings
    except SettingsError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(START_ERROR) from None


def _leave_when_told() -> None:
    """End at the first signal, with code 0, until the service takes the signals over: it has nothing to put away."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, lambda *_: os._exit(0))


def _serve_app(settings: Settings, create_app: Callable[[Settings], FastAPI]) -> None:
    from tasklog.serving import server
    from tasklog.serving.listener import listen

    server.serve(lambda: server.opened(create_app(settings)), listen(settings.api_host, settings.api_port))
