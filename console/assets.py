"""The console's files, read and compressed once, under paths that change with their content."""

from __future__ import annotations

import gzip
import html
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Final

_PAGE: Final = Path(__file__).parent / "page"
_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
_HERE: Final = "/console/"
_DIGITS: Final = 16


@dataclass(frozen=True, kw_only=True, slots=True)
class Asset:
    """A file of the console."""

    body: bytes
    compressed: bytes
    media_type: str
    etag: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Assets:
    """All files of the console. `version` is a digest of them all, and part of each path."""

    version: str
    index: Asset
    files: dict[str, Asset]


@cache
def assets(token_url: str | None) -> Assets:
    """Return the console's files; the page fetches tokens from `token_url`, if there is one."""
    bodies = _read()
    index = bodies.pop("index.html").decode()
    version = sha256(b"".join([index.encode(), *bodies.values()])).hexdigest()[:_DIGITS]
    # With these links a browser requests all modules at once, not one after the other.
    modules = [name for name in bodies if name.endswith(".js")]
    links = "".join(f'    <link rel="modulepreload" href="{_HERE}{name}">\n' for name in modules)
    index = index.replace("  </head>", f"{links}  </head>").replace(f'"{_HERE}', f'"{_HERE}{version}/')
    if token_url is not None:
        index = index.replace("<html ", f'<html data-token-url="{html.escape(token_url)}" ', 1)
    return Assets(
        version=version,
        index=_asset("index.html", index.encode()),
        files={name: _asset(name, body) for name, body in bodies.items()},
    )


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
