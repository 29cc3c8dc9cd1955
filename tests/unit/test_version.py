"""The version is written in one place, and the document, the image, the service and the command line all show it."""

from __future__ import annotations

import re
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
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WRITTEN = re.search(r'^VERSION: Final = "(.+)"$', (ROOT / "runtime" / "version.py").read_text(), re.MULTILINE)
assert WRITTEN is not None
RELEASE = WRITTEN[1]


async def nothing(_request: Request) -> Response:
    return Response()


async def answers() -> list[httpx.Response]:
    async with face(nothing) as client:
        return [await client.get("/health"), await client.get("/")]


def test_the_package_reads_the_version_from_where_it_is_written() -> None:
    assert "version" not in PROJECT["project"]
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "runtime.version.VERSION"}


def test_no_other_file_of_code_holds_the_version() -> None:
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    code = [name for name in listed.stdout.split() if not name.startswith("tests/")]
    assert [name for name in code if f'"{RELEASE}"' in (ROOT / name).read_text()] == ["runtime/version.py"]


async def test_the_document_the_image_the_service_and_the_command_line_have_that_version() -> None:
    said = [answer.json()["version"] for answer in await answers()]
    command = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-m", "tasklog", "--version"], capture_output=True, text=True, check=True
    )
    document = orjson.loads(FILE.read_bytes())["info"]["version"]
    assert [*said, document, command.stdout.strip()] == [RELEASE, RELEASE, RELEASE, f"Tasklog {RELEASE}"]
    assert f"image: tasklog:{RELEASE} " in (ROOT / "compose.yaml").read_text()
