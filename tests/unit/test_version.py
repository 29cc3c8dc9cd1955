"""The release is named alike by the package, the document, the service and the command line."""

from __future__ import annotations

import subprocess
import sys
import tomllib

import httpx
import orjson
from starlette.requests import Request
from starlette.responses import Response

from edge.openapi import FILE
from tests.unit.http_face import face

ROOT = FILE.parents[1]
RELEASE: str = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


async def nothing(_request: Request) -> Response:
    return Response()


async def answers() -> list[httpx.Response]:
    async with face(nothing) as client:
        return [await client.get("/health"), await client.get("/")]


async def test_the_package_the_document_the_service_and_the_command_line_have_one_version() -> None:
    said = [answer.json()["version"] for answer in await answers()]
    command = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-m", "tasklog", "--version"], capture_output=True, text=True, check=True
    )
    document = orjson.loads(FILE.read_bytes())["info"]["version"]
    assert [*said, document, command.stdout.strip()] == [RELEASE, RELEASE, RELEASE, f"Tasklog {RELEASE}"]
