"""The clients as they would be published: types that fit the OpenAPI document, and the files of the package."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

from runtime.version import VERSION
from tests import npm

ROOT = Path(__file__).parents[2]
TYPESCRIPT = ROOT / "clients" / "typescript"
TYPES = TYPESCRIPT / "src" / "openapi.d.ts"
LONGEST_REPLICA = 400
WHAT = "TypeScript client"


def run(*command: str | Path, folder: Path = TYPESCRIPT) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return done.stdout


def test_the_types_are_those_of_the_openapi_document(tmp_path: Path) -> None:
    node = npm.node(WHAT)
    npm.install(TYPESCRIPT, WHAT)
    generator = TYPESCRIPT / "node_modules" / "openapi-typescript" / "bin" / "cli.js"
    run(node, generator, ROOT / "edge" / "openapi.json", "--output", tmp_path / "openapi.d.ts")
    assert (tmp_path / "openapi.d.ts").read_text() == TYPES.read_text(), "npm run generate in clients/typescript"


def test_the_modules_hold_to_their_types() -> None:
    node = npm.node(WHAT)
    npm.install(TYPESCRIPT, WHAT)
    run(node, TYPESCRIPT / "node_modules" / "typescript" / "bin" / "tsc")


def test_the_package_has_modules_and_types_and_needs_no_other() -> None:
    npm.node(WHAT)
    npm.install(TYPESCRIPT, WHAT)
    (packed,) = json.loads(run("npm", "pack", "--dry-run", "--json", "--silent"))
    names = {file["path"] for file in packed["files"]}
    assert names == {
        "README.md",
        "package.json",
        *(f"src/{path.name}" for path in (TYPESCRIPT / "src").iterdir()),
        *(f"types/{path.stem}.d.ts" for path in (TYPESCRIPT / "src").glob("*.js")),
    }
    package = json.loads((TYPESCRIPT / "package.json").read_text())
    assert "dependencies" not in package


def test_the_replica_stays_small() -> None:
    assert len((TYPESCRIPT / "src" / "replica.js").read_text().splitlines()) <= LONGEST_REPLICA


def test_the_clients_have_the_version_of_the_service() -> None:
    python = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
    package = json.loads((TYPESCRIPT / "package.json").read_text())
    assert python["project"]["version"] == package["version"] == VERSION.partition("+")[0]
