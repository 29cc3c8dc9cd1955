"""Figures of the source's shape, of one or more revisions side by side, and of what a change touches.

python -m tests.figures 1d14715 HEAD            a table, a column for each revision
python -m tests.figures --change REV            how many existing source files REV's commit touches, in how many places
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

ROOT_FOLDERS_LEFT_OUT = frozenset({"tests", "bench", "docs", "requirements"})
SOURCE = frozenset({".py", ".sql"})


def sources(revision: str) -> dict[PurePosixPath, str]:
    """Return the text of every source file of a revision by its path, without tests and benchmarks."""
    archive = subprocess.run(["git", "archive", revision], check=True, capture_output=True).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        return {
            path: file.read().decode()
            for member in tar
            if is_source(path := PurePosixPath(member.name)) and (file := tar.extractfile(member))
        }


def is_source(path: PurePosixPath) -> bool:
    """Return whether a path is a source file of the product."""
    return path.suffix in SOURCE and path.parts[0] not in ROOT_FOLDERS_LEFT_OUT and len(path.parts) > 1


def function_lengths(files: Mapping[PurePosixPath, str]) -> list[int]:
    """Return the length in lines of every Python function, shortest first."""
    return sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path, text in files.items()
        if path.suffix == ".py"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def arrows(files: Mapping[PurePosixPath, str]) -> set[tuple[str, str]]:
    """Return the pairs (importing room, imported room), where a room is a top-level package."""
    rooms = {path.parts[0] for path in files}
    return {
        (path.parts[0], name.split(".")[0])
        for path, text in files.items()
        if path.suffix == ".py"
        for name in imported(ast.parse(text))
        if name.split(".")[0] in rooms - {path.parts[0]}
    }


def imported(tree: ast.AST) -> Iterator[str]:
    """Yield the names of the modules that a file imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def figures(revision: str) -> dict[str, str]:
    """Return the figures of a revision by their names, as text."""
    files = sources(revision)
    lengths = function_lengths(files)
    p90 = statistics.quantiles(lengths, n=10)[-1]
    return {
        "source files": f"{len(files)}",
        "lines": f"{sum(text.count(chr(10)) for text in files.values()):,}",
        "functions": f"{len(lengths):,}",
        "lines of a function, p50 / p90 / longest": f"{statistics.median(lengths):.0f} / {p90:.0f} / {lengths[-1]}",
        "arrows between rooms": f"{len(arrows(files))}",
    }


def change(revision: str) -> tuple[int, int]:
    """Return how many existing source files a commit touches, and in how many places (hunks without context)."""
    command = ["git", "show", "--format=", "--unified=0", "--diff-filter=M", "--no-renames", revision]
    diff = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    files = places = 0
    counted = False
    for line in diff.splitlines():
        if match := re.match(r"diff --git a/(\S+) ", line):
            counted = is_source(PurePosixPath(match[1]))
            files += counted
        elif line.startswith("@@"):
            places += counted
    return files, places


def show(line: str) -> None:
    """Print a line."""
    sys.stdout.write(f"{line}\n")


def main() -> None:
    """Print the figures that the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*", default=["HEAD"])
    parser.add_argument("--change", metavar="REV")
    arguments = parser.parse_args()
    if arguments.change:
        files, places = change(arguments.change)
        show(f"{arguments.change}: {files} existing source files, {places} places")
        return
    columns = {revision: figures(revision) for revision in arguments.revisions}
    show("| figure | " + " | ".join(columns) + " |")
    show("|---|" + "---:|" * len(columns))
    for name in next(iter(columns.values())):
        show(f"| {name} | " + " | ".join(column[name] for column in columns.values()) + " |")


if __name__ == "__main__":
    main()
