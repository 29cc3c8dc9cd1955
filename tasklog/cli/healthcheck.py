"""The health checks of containers: `python -m tasklog healthcheck api` and `… projector`."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import asyncio
import http.client
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from runtime.settings import load_settings
from tasklog.cli.conventions import fail, tell

if TYPE_CHECKING:
    from runtime.settings import Settings

_SECONDS: Final = 3
"""How long a check waits for an answer, in seconds."""

app = typer.Typer()


class Checked(StrEnum):
    """What to check: the API process on this machine, or the projection."""

    API = "api"
    PROJECTOR = "projector"


@app.command(hidden=True)
def healthcheck(what: Annotated[Checked, typer.Argument(help="What to check.")]) -> None:
    """Check that a service works; exit with 1 and the reason if not."""
    settings = load_settings()
    if what is Checked.API:
        _check_api(settings.api_port)
    else:
        asyncio.run(_check_projector(settings))
    tell("healthy")


def _check_api(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", "/health")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        fail(f"/health on port {port} does not answer ({type(error).__name__}).")
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        fail(f"/health on port {port} answers {status}.")


async def _check_projector(settings: Settings) -> None:
    from projector.statements import LATE
    from runtime.database import UnavailableError, open_database

    try:
        async with open_database(settings, "projector", seconds=_SECONDS) as database:
            ((late,),) = await database.fetch(LATE)
    except UnavailableError as error:
        fail(f"The database does not answer ({error}).")
    if late:
        fail("An event has waited for more than 30 s for its projection.")
