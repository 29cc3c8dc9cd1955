"""Entity tags: what an answer shows, and what was asked for where that is not the plain thing."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache
from hashlib import blake2b

from read_model.body import BODY_FORMAT


def entity_tag(state: object, asked: Hashable = None) -> str:
    """Return the tag of an answer: `state` as text fixes what can be answered, `asked` what of it is."""
    written = f"{state}.{BODY_FORMAT}"
    return f'"{written}"' if asked is None else f'"{written}-{_digest(asked)}"'


@lru_cache(maxsize=1000)
def _digest(asked: Hashable) -> str:
    return blake2b(repr(asked).encode(), digest_size=6).hexdigest()


def is_known(tag: str, if_none_match: str) -> bool:
    """Whether the client has what `tag` stands for, compared weakly (RFC 9110): gateways that compress weaken tags."""
    if if_none_match == tag:
        return True
    known = [known.strip().removeprefix("W/") for known in if_none_match.split(",")]
    return tag in known or known == ["*"]
