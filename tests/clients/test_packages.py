"""The clients as they would be published: types that fit the OpenAPI document, and the files of the package."""

from __future__ import annotations

import json
import subprocess
import tarfile
import tomllib
from pathlib import Path

from runtime.version import VERSION
from tests import npm
from tests.servers import RunningService, token

ROOT = Path(__file__).parents[2]
TYPESCRIPT = ROOT / "clients" / "typescript"
TYPES = TYPESCRIPT / "src" / "openapi.d.ts"
LONGEST_REPLICA = 400
WHAT = "TypeScript client"
PAGE = """
import { Problem, Replica, Tasklog } from "tasklog-client";
const [url, user, token] = process.argv.slice(2);
const client = new Tasklog({ url, user, token });
await client.create({ title: "Bread" });
const replica = await Replica.open(client);
await replica.create({ title: "Milk" });
while (replica.tasks().length < 2) await new Promise((done) => setTimeout(done, 20));
const refused = await client.get(2 ** 52).catch((problem) => problem instanceof Problem && problem.status === 404);
console.log(String(replica.tasks().map((task) => task.title)), refused);
replica.close();
"""
"""What somebody writes who has installed the package."""


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


def test_the_package_works_where_it_is_installed(shared_service: RunningService, user: str, tmp_path: Path) -> None:
    node = npm.node(WHAT)
    npm.install(TYPESCRIPT, WHAT)
    (packed,) = json.loads(run("npm", "pack", "--json", "--silent", "--pack-destination", tmp_path))
    installed = tmp_path / "node_modules" / "tasklog-client"
    with tarfile.open(tmp_path / packed["filename"]) as archive:
        archive.extractall(installed, [file for file in archive if file.name.startswith("package/")], filter="data")
    for file in (installed / "package").iterdir():
        file.rename(installed / file.name)
    (tmp_path / "page.mjs").write_text(PAGE)
    page = (node, tmp_path / "page.mjs", shared_service.url, user, token(user))
    assert run(*page, folder=tmp_path) == "Milk,Bread true\n"


def test_the_replica_stays_small() -> None:
    assert len((TYPESCRIPT / "src" / "replica.js").read_text().splitlines()) <= LONGEST_REPLICA


def test_the_clients_have_the_version_of_the_service() -> None:
    python = tomllib.loads((ROOT / "clients" / "python" / "pyproject.toml").read_text())
    package = json.loads((TYPESCRIPT / "package.json").read_text())
    assert python["project"]["version"] == package["version"] == VERSION.partition("+")[0]
