"""Everything that the documents name exists: linked pages, headings and files, files in backticks, commands.

Seen to fail: with a link to a missing page, a renamed heading, a moved file, and a misspelt command.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from tasklog.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")
FILE = re.compile(r"`((?:\w[\w.-]*/)+[\w.*-]*|\w+\.(?:py|sql|md))`")
COMMAND = re.compile(r"\./run ([a-z][a-z-]*)")
OF_THE_SCRIPT = re.compile(r"^([a-z-]+)\)$", re.MULTILINE)

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def anchors(page: Path) -> set[str]:
    """Return the names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def is_there(name: str, page: Path) -> bool:
    """Return whether a file exists in the tree or beside the page; names outside our folders count as existing."""
    first, _, rest = name.partition("/")
    if not rest:
        return any(ROOT.glob(name)) or any(ROOT.glob(f"[a-z]*/**/{name}"))
    return not (ROOT / first).is_dir() or any(ROOT.glob(name)) or any(page.parent.glob(name))


@pages
def test_a_page_links_to_pages_and_headings_that_are_there(page: Path) -> None:
    for name, heading in LINK.findall(page.read_text()):
        if "://" in name:
            continue
        target = page.parent / name if name else page
        assert target.exists(), f"{page}: {name} is not there"
        assert not heading or heading in anchors(target), f"{page}: {name} has no heading #{heading}"


@pages
def test_a_page_names_files_that_are_there(page: Path) -> None:
    assert [name for name in FILE.findall(page.read_text()) if not is_there(name, page)] == []


@pages
def test_a_page_names_commands_that_are_there(page: Path) -> None:
    group: Any = get_command(app)
    commands = {*group.commands, *OF_THE_SCRIPT.findall((ROOT / "run").read_text())}
    assert set(COMMAND.findall(page.read_text())) <= commands
