"""Opaque texts: values that clients only hand back, as JSON in the URL-safe base64 alphabet without padding."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from typing import Any, Final

import orjson

_TEXT: Final = re.compile(r"[A-Za-z0-9_-]{1,2048}")


def opaque_text(values: Sequence[object]) -> str:
    """Return the text for a list of JSON values."""
    return base64.urlsafe_b64encode(orjson.dumps(values)).rstrip(b"=").decode()


def values_of(text: str) -> Any:
    """Return the JSON of an opaque text. Several texts may give the same: compare with `opaque_text` of it.

    Raises:
        ValueError: it is no such text.
    """
    if not _TEXT.fullmatch(text):
        raise ValueError
    try:
        return orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (binascii.Error, orjson.JSONDecodeError):
        raise ValueError from None
