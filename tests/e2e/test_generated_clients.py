"""Clients that are generated from the OpenAPI document walk through the real service as the README does.

Seen to fail: with a default of "" for the title of an edit, which the Python client sends; with `errors` required.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import npm
from tests.machine import go_without
from tests.servers import RunningService, token

pytestmark = pytest.mark.timeout(600)  # packages may have to be downloaded

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "tests" / "generated_clients"
DOCUMENT = ROOT / "edge" / "openapi.json"
MINUTES = 60.0

SEEN: dict[str, Any] = {
    "health": "healthy",
    "created": ["Buy milk", "two litres", False],
    "completed": True,
    "edited": ["Buy milk", "one litre", True],
    "cleared": ["Buy milk", None],
    "listed": [True],
    "then": [["Buy milk", False]],
    "history": ["task.created", "task.completed", "task.edited", "task.edited"],
    "same events": True,
    "one": "Buy milk",
    "deleted": "Task deleted successfully",
    "statuses": [404, 401, 403, 422],
    "fields": ["title"],
}


def run(*command: str | Path, folder: Path) -> str:
    """Run a command that must succeed, and return its output."""
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=10 * MINUTES, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


@pytest.fixture(scope="module")
def python_client(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a Python with the generator's packages, and the folder of the generated client."""
    folder = tmp_path_factory.mktemp("python-client")
    uv = ROOT / ".boot" / "bin" / "uv"
    if not uv.exists():
        go_without("generated Python client", "uv is not in .boot: start the tests by ./run test")
    python = folder / "venv" / "bin" / "python"
    env = os.environ | {"UV_SYSTEM_CERTS": "1", "UV_PYTHON_DOWNLOADS": "never"}
    lock = ROOT / "requirements" / "clients.lock"
    commands: list[list[str | Path]] = [
        [uv, "venv", "--quiet", "--python", sys.executable, folder / "venv"],
        [uv, "pip", "install", "--quiet", "--python", python, "--require-hashes", "-r", lock],
    ]
    for command in commands:
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=5 * MINUTES, check=False)
        if done.returncode != 0:
            go_without("generated Python client", f"its packages cannot be installed: {done.stderr[-300:]}")
    (folder / "config.yaml").write_text("post_hooks: []\n")
    options = ("--meta", "none", "--output-path", "client", "--config", "config.yaml")
    run(python.with_name("openapi-python-client"), "generate", "--path", DOCUMENT, *options, folder=folder)
    (folder / "walk.py").write_text((FOLDER / "walk.py").read_text())
    return python, folder


def test_a_python_client_walks(shared_service: RunningService, user: str, python_client: tuple[Path, Path]) -> None:
    python, folder = python_client
    tokens = (token(user), token(f"not-{user}"))
    assert json.loads(run(python, "walk.py", shared_service.url, *tokens, user, folder=folder)) == SEEN


def test_a_typescript_client_compiles_strictly_and_walks(
    shared_service: RunningService, user: str, tmp_path: Path
) -> None:
    node = npm.node("generated TypeScript client")
    npm.install(FOLDER, "generated TypeScript client")
    packages = FOLDER / "node_modules"
    (tmp_path / "node_modules").symlink_to(packages)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "walk.ts").write_text((FOLDER / "walk.ts").read_text())
    generator = packages / "openapi-typescript" / "bin" / "cli.js"
    run(node, generator, DOCUMENT, "--output", "types.ts", folder=tmp_path)
    strict = ("--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck")
    run(node, packages / "typescript" / "bin" / "tsc", *strict, "walk.ts", folder=tmp_path)
    tokens = (token(user), token(f"not-{user}"))
    assert json.loads(run(node, "walk.js", shared_service.url, *tokens, user, folder=tmp_path)) == SEEN
