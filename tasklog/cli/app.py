"""The commands of `./run`. Each imports only what it needs, so that the supervisor's process stays small."""
# ruff: noqa: PLC0415 - see above

from __future__ import annotations

import os
import sys
from typing import Annotated, Any

import typer

from runtime.settings import SettingsError, load_settings
from runtime.version import VERSION
from tasklog.cli import adoption, audit, backup, demo, explain, healthcheck, ledger, moving, services, upgrade
from tasklog.cli.conventions import ExitCode, Panel, fail, stdout_errors, tell
from tasklog.embedded.signing import HOURS, console_link, make_token
from tasklog.serving.listener import url_at

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
app.add_typer(demo.app)
app.add_typer(audit.app)
app.add_typer(explain.app)
app.add_typer(ledger.app)
app.add_typer(backup.app)
app.add_typer(upgrade.app)
app.add_typer(adoption.app)
app.add_typer(moving.app)
app.add_typer(services.app)
app.add_typer(healthcheck.app)


def main() -> None:
    """Run a command; an error in settings or files becomes one sentence on stderr, and exit code 1."""
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
    except Exception as error:
        from runtime.refusals import is_database_error, reason_of

        if not is_database_error(error):
            raise
        typer.echo(f"The database cannot be used ({reason_of(error)}): fix that and try again.", err=True)
        sys.exit(1)


def _show_version(wanted: bool) -> None:  # noqa: FBT001 - typer's signature
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
    """Parse the options before a command."""


@app.command(rich_help_panel=Panel.START)
def serve() -> None:
    """Start everything behind one port, as ./run does without a command."""
    from tasklog.supervision import supervisor

    supervisor.serve(load_settings())


@app.command(rich_help_panel=Panel.START)
def migrate() -> None:
    """Migrate the database to the schema of this version."""
    from tasklog.cli import migration

    migration.migrate(load_settings())
    tell("The database has the schema of this version.")


@app.command(rich_help_panel=Panel.START)
def token(
    user: Annotated[str, typer.Argument(help="The user to sign it for.")],
    hours: Annotated[float, typer.Option(min=0.001, max=8760, help="Hours until it expires.")] = HOURS,
) -> None:
    """Print a token to call the API as a user, for development."""
    tell(make_token(load_settings(), user, hours))


@app.command(rich_help_panel=Panel.START)
def console(user: Annotated[str, typer.Argument(help="The user whom the link signs in.")]) -> None:
    """Print a link that opens the console in a browser as a user, for development."""
    settings = load_settings()
    if not settings.console:
        fail("The console is switched off: set CONSOLE=on and start ./run again.")
    if settings.console_url is None and settings.api_port == 0:
        fail("API_PORT=0 takes another port at each start: set API_PORT to the one that ./run prints.")
    url = settings.console_url or url_at(settings.api_host, settings.api_port)
    tell(console_link(settings, url.rstrip("/"), user))


@app.command(name="help", rich_help_panel=Panel.START)
def help_(
    context: typer.Context,
    command: Annotated[
        str | None, typer.Argument(help="A command; without it, all are listed.", show_default=False)
    ] = None,
) -> None:
    """List the commands, or explain one of them."""
    from typer.main import get_command

    group: Any = get_command(app)
    parent = context.parent or context
    if command is None:
        with stdout_errors():  # rich prints the help itself
            tell(parent.get_help())
    elif command in group.commands:
        found = group.commands[command]
        with stdout_errors():
            tell(found.get_help(typer.Context(found, info_name=command, parent=parent)))
    else:
        fail(f"There is no command {command}: see ./run help.", ExitCode.USAGE)


@app.command(hidden=True)
def openapi() -> None:
    """Write edge/openapi.json from the routes of both services."""
    from tasklog.cli.openapi import write

    write()


@app.command(hidden=True)
def prepare() -> None:
    """Check and migrate the database before the services start."""
    from runtime import logs
    from tasklog.cli import migration

    logs.configure("warning")  # the services log everything else
    migration.prepare(load_settings(), os.environ.get("EMBEDDED_OWNER_URL"))
