"""The schema's version changes with everything that a migration installs.

Seen to fail: with the rights left out of it.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROWS = ["domain/task.py", *(f"read_model/{name}.py" for name in ("body", "formats", "keys", "rows", "sorts"))]
WRITTEN_OUT = ["domain/fields.py", "domain/labels.py", "event_log/setters.py", "migrations/templates.py", *ROWS]
INSTALLED = [*ROOT.glob("*/*.sql"), *ROOT.glob("migrations/versions/*.py"), *map(ROOT.joinpath, WRITTEN_OUT)]


@pytest.mark.parametrize("file", INSTALLED, ids=lambda file: str(file.relative_to(ROOT)))
def test_another_line_in_what_is_installed_is_another_version(file: Path, tmp_path: Path) -> None:
    for original in (*INSTALLED, *ROOT.glob("runtime/*.py")):
        copy = tmp_path / original.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(original, copy)
    before = version(tmp_path)
    with (tmp_path / file.relative_to(ROOT)).open("a") as lines:
        lines.write("\n")
    assert version(tmp_path) != before


def version(directory: Path) -> str:
    ask = "from runtime.schema import schema_version; print(schema_version())"
    done = subprocess.run([sys.executable, "-c", ask], cwd=directory, capture_output=True, text=True, check=True)
    return done.stdout
