"""What the operators' commands share: their options, output and exit codes."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import getpass
import os
import signal
import sys
from contextlib import contextmanager
from enum import IntEnum, StrEnum
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from rich.progress import Task

OptionalUser = Annotated[str | None, typer.Argument(help="One user; without it, all users.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", metavar="", help="Print one JSON document.")]
Background = Annotated[
    bool, typer.Option("--background", metavar="", help="Let a projector do it; ./run status shows how far it is.")
]

Ledgers = Annotated[
    list[str] | None,
    typer.Option(
        "--url",
        help="Another ledger than that of the settings: a Postgres URL, a name in CELLS, or all for all of CELLS. "
        "Repeat it for several.",
        show_default=False,
    ),
]

EXIT_CODES = "Exit codes: 0 fine, 1 it could not start or finish, 2 wrong usage, 3 faults were found."


class Panel(StrEnum):
    """The groups of commands in `./run help`."""

    START = "Start"
    LOOK = "Look"
    MEND = "Check and repair"
    MOVE = "Move and erase data"
    APART = "Run services apart"


class ExitCode(IntEnum):
    """The exit code of an operator's command; 0 is success."""

    FAILED = 1
    """It could not start or finish: the database is away, a file cannot be read, or there is no such stream."""
    USAGE = 2
    FAULTS = 3
    """It did its work and found faults."""


def fail(message: str, code: ExitCode = ExitCode.FAILED) -> NoReturn:
    """End the command with one sentence on stderr."""
    typer.echo(message, err=True)
    raise typer.Exit(code)


def operator() -> str:
    """Return who runs the command, for the events it writes: a login, or its user number where it has no name."""
    try:
        return f"operator {getpass.getuser()}"
    except (KeyError, OSError):  # OSError from Python 3.13 on; in a container
        return f"operator uid {os.getuid()}"


def tell(text: str, *, nl: bool = True) -> None:
    """Print to stdout. If that fails, end the command; without a message if the reader of a pipe is gone."""
    with stdout_errors():
        typer.echo(text, nl=nl)


@contextmanager
def stdout_errors() -> Iterator[None]:
    """End the command if stdout cannot be written."""
    try:
        yield
    except OSError as error:
        # Otherwise the rest of the buffer would fail again when Python exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(ExitCode.FAILED) from None
        fail(f"stdout cannot be written: {error.strerror}.")


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise KeyboardInterrupt on Ctrl-C here, so that an export removes its file; elsewhere Ctrl-C ends the process.

    During an import, the exception would show a traceback or get lost.
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def show(value: object, *, as_json: bool, text: Callable[[], str]) -> None:
    """Print the result: as one JSON document, or as text."""
    import orjson

    tell(orjson.dumps(value, option=orjson.OPT_UTC_Z).decode() if as_json else text())


def show_each(results: Sequence[tuple[str | None, object, str]], *, as_json: bool) -> None:
    """Print the results of ledgers, each with its name, JSON and text; one without a name is printed as it is."""
    if results[0][0] is None:
        show(results[0][1], as_json=as_json, text=lambda: results[0][2])
        return
    value = {name or "": one for name, one, _ in results}
    show(value, as_json=as_json, text=lambda: "\n".join(f"{name}:\n{_indented(text)}" for name, _, text in results))


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """Show a progress bar on a terminal, and nothing otherwise."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class RateColumn(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:,.0f}/s" if task.speed else "", style="progress.data.speed")

    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), RateColumn(), TimeRemainingColumn()]
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda events: bar.advance(task, events)
