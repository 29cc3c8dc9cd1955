"""The health checks of containers: `python -m tasklog healthcheck api` and `… projector`."""
# ruff: noqa: PLC0415 - as in tasklog/cli/app.py

from __future__ import annotations

import asyncio
import http.client
import json
from contextlib import suppress
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
    """Check that a service works; exit with 1 and the reason if not. With ADMIN_PORT, ask whether it is ready."""
    settings = load_settings()
    if settings.admin_port:
        workers = settings.api_workers if what is Checked.API else settings.projector_workers
        for port in range(settings.admin_port, settings.admin_port + (workers or 1)):
            _check(port, "/ready")
    elif what is Checked.API:
        _check(settings.api_port, "/health")
    else:
        asyncio.run(_check_projector(settings))
    tell("healthy")


def _check(port: int, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        status, body = answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        fail(f"{path} on port {port} does not answer ({type(error).__name__}).")
    finally:
        connection.close()
    if status != http.HTTPStatus.OK:
        fail(_detail(body) or f"{path} on port {port} answers {status}.")


def _detail(body: bytes) -> str | None:
    """Return why a service is not ready, from its answer to /ready; None if the answer does not say so."""
    with suppress(ValueError, KeyError, TypeError):
        answer = json.loads(body)
        return str(answer["detail"]) if answer["status"] == "not ready" else None
    return None


async def _check_projector(settings: Settings) -> None:
    from projector.lag import late_reason
    from runtime.database import UnavailableError, open_database

    try:
        async with open_database(settings, "projector", seconds=_SECONDS) as database:
            reason = await late_reason(database)
    except UnavailableError as error:
        fail(f"The database does not answer ({error}).")
    if reason is not None:
        fail(reason)
