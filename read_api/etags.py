"""ETags: built from the state that an answer shows, and from the query unless it is the plain one."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from hashlib import blake2b

from read_model.formats import BODY_FORMAT


def entity_tag(state: object, asked: Hashable = None) -> str:
    """Return the ETag of an answer: `state` identifies the data as text, `asked` the query."""
    written = f"{state}.{BODY_FORMAT}"
    return f'"{written}"' if asked is None else f'"{written}-{_digest(asked)}"'


@lru_cache(maxsize=1000)
def _digest(asked: Hashable) -> str:
    return blake2b(repr(asked).encode(), digest_size=6).hexdigest()
