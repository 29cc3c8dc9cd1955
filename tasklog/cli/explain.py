"""`./run explain`: one position of a user's history, step by step."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from tasklog.cli.conventions import EXIT_CODES, ExitCode, Json, Panel, fail, show
from tasklog.cli.servers import on_database, operator_settings
from tasklog.cli.wording import value_text, who_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from runtime.database import Database

app = typer.Typer()

_MOST = 10**18 - 1
_ROW = {(False, False): "none", (False, True): "added", (True, True): "changed", (True, False): "removed"}
_Shown = dict[str, Any]


@app.command(epilog=EXIT_CODES, rich_help_panel=Panel.LOOK)
def explain(
    user: Annotated[str, typer.Argument(help="The user.", show_default=False)],
    position: Annotated[int, typer.Argument(min=1, max=_MOST, help="The position.", show_default=False)],
    *,
    json: Json = False,
) -> None:
    """Explain a position: the event, the command behind it, its task's state and row before it and after it."""
    import orjson

    from domain.evolve import HistoryError
    from event_log.codec import UnreadableEventError
    from event_log.read import NoStreamError
    from read_api.explain import explain as read_explanation
    from read_api.queries import heads

    async def work(database: Database) -> tuple[int, bytes | None]:
        (head,) = await heads(database, [user])
        if not head.position:
            raise NoStreamError(user)
        return head.position, await read_explanation(database, user, position)

    with operator_settings() as settings:
        try:
            last, body = on_database("reader", work, settings)
        except (HistoryError, UnreadableEventError) as error:
            fail(f"The ledger cannot be explained there: {error}.", ExitCode.FAULTS)
    if body is None:
        fail(f"{user} has no position {position}: the last one is {last}.")
    value = orjson.loads(body)
    show(value, as_json=json, text=lambda: "\n".join(_lines(value)))


def _lines(explained: Mapping[str, Any]) -> Iterator[str]:
    """Yield the explanation as text; `a -> b` stands for what changes."""
    event = explained["event"]
    task = "" if event["task_id"] is None else f" of task {event['task_id']}, its version {event['version']}"
    yield f"Position {event['position']} of {explained['user_id']}, {event['recorded_at']}"
    yield f"Event: {event['type']}{task}"
    yield f"    by {who_text(event)}"
    yield f"    data: {event['data'] or '(erased)'}"
    yield f"    hash: {event['hash']}"
    if event["task_id"] is None:
        yield "It changes no task: an operator erased all text before it."
        return
    yield from _command_lines(explained["command"])
    yield f"State: {_state_text(explained['state_before'])} -> {_state_text(explained['state_after'])}"
    yield from _changes(*(explained[name]["task"] for name in ("state_before", "state_after")))
    row = explained["row_before"], explained["row_after"]
    yield f"Row in the table tasks: {_ROW[bool(row[0]), bool(row[1])]}"
    if row[1]:
        yield from _changes(*row)


def _command_lines(command: Mapping[str, Any] | None) -> Iterator[str]:
    if command is None:
        yield "No command led to it: the task came from another backend, with ./run adopt."
        return
    at = f"decided at version {command['version']}" if command["version"] else "for a new task"
    undoes = "" if command["undoes"] is None else f", to undo position {command['undoes']}"
    others = " and ".join(map(str, command["positions"]))
    yield f"Command: {command['type']}, {at}{undoes}; it led to position {others}"
    for name, value in (command["data"] or {}).items():
        yield f"    {name}: {value_text(value)}"


def _state_text(state: Mapping[str, Any]) -> str:
    words = {"none": "no task", "task": "a task at version", "deleted": "a deleted task at version"}
    return words[state["kind"]] + (f" {state['version']}" if state["version"] else "")


def _changes(before: _Shown | None, after: _Shown | None) -> Iterator[str]:
    """Yield a line for each value, with `->` where the event changed it."""
    for name in before or after or {}:
        values = [value_text(side[name]) for side in (before, after) if side]
        yield f"    {name}: {' -> '.join(dict.fromkeys(values))}"
