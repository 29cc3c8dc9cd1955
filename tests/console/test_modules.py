"""The console's modules: they fit the client's types, and stay small."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests import npm

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "console" / "page"
TYPESCRIPT = ROOT / "clients" / "typescript"
WHAT = "types of the console"
LONGEST_MODULE = 250


def test_the_modules_hold_to_their_types_and_the_clients() -> None:
    node = npm.node(WHAT)
    npm.install(TYPESCRIPT, WHAT)
    compiler = TYPESCRIPT / "node_modules" / "typescript" / "bin" / "tsc"
    done = subprocess.run(
        [node, compiler, "--project", "console"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def test_every_module_is_short() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in PAGE.glob("*.js")}
    assert {name: length for name, length in lengths.items() if length > LONGEST_MODULE} == {}


def test_the_page_has_the_clients_modules_themselves() -> None:
    assert (PAGE / "client").resolve() == TYPESCRIPT / "src"
