"""The console's files, read and compressed once, under paths that change with their content."""

from __future__ import annotations

import gzip
import html
import posixpath
import re
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HERE: Final = "/console/"
_STARTED: Final = ("first.js", "app.js")
_IMPORT: Final = re.compile(rb'^(?:import|export) .*"(\.[^"]+)"', re.MULTILINE)
_DIGITS: Final = 16
WORKER: Final = "offline.js"
"""The service worker. Browsers look at its path for a new one, so its path stays the same."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file of the console."""

    body: bytes
    compressed: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Assets:
    """All files of the console. `version` is a digest of them all, and part of each path but the service worker's."""

    version: str
    index: Asset
    worker: Asset
    files: dict[str, Asset]


@cache
def assets(token_url: str | None) -> Assets:
    """Return the console's files; the page fetches tokens from `token_url`, if there is one."""
    bodies = _read()
    index, worker = bodies.pop("index.html").decode(), bodies.pop(WORKER)
    version = sha256(b"".join([index.encode(), *bodies.values()])).hexdigest()[:_DIGITS]
    index = index.replace("  </head>", f"{_links(bodies)}  </head>").replace(f'"{_HERE}', f'"{_HERE}{version}/')
    if token_url is not None:
        index = index.replace("<html ", f'<html data-token-url="{html.escape(token_url)}" ', 1)
    return Assets(
        version=version,
        index=_asset("index.html", index.encode()),
        worker=_asset(WORKER, worker),
        files={name: _asset(name, body) for name, body in bodies.items()},
    )


def _links(bodies: Mapping[str, bytes]) -> str:
    """Return links to all modules.

    A browser requests those of the first view at once, not one after the other. The page loads the others when it is
    quiet, so that they do not delay the first view.
    """
    first = _imported(bodies)
    later = [name for name in bodies if name.endswith(".js") and name not in first]
    links = [("modulepreload", name) for name in first] + [("later", name) for name in later]
    return "".join(f'    <link rel="{rel}" href="{_HERE}{name}">\n' for rel, name in links)


def _imported(bodies: Mapping[str, bytes]) -> list[str]:
    """Return the modules that the page starts and all that they import, also through others."""
    found = [*_STARTED]
    for name in found:  # grows meanwhile
        imports = [match.decode() for match in _IMPORT.findall(bodies[name])]
        paths = [posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) for path in imports]
        found += [path for path in dict.fromkeys(paths) if path not in found]
    return found


def _read() -> dict[str, bytes]:
    """Return the files by their paths; `client/` holds the modules of clients/typescript."""
    paths = [path for pattern in ("*", "client/*.js") for path in sorted(_PAGE.glob(pattern)) if path.suffix in _TYPES]
    return {path.relative_to(_PAGE).as_posix(): path.read_bytes() for path in paths}


def _asset(name: str, body: bytes) -> Asset:
    return Asset(
        body=body,
        compressed=gzip.compress(body, mtime=0),
        media_type=_TYPES[Path(name).suffix],
        etag=f'"{sha256(body).hexdigest()[:_DIGITS]}"',
    )
