"""Which user ids a stream can have: those that a token and a path can name."""

from __future__ import annotations

import re
from typing import Final

# The characters that a path can hold, without those that cause trouble in a log or a database.
_USER_ID: Final = re.compile(r"[^/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,255}")


def is_user_id(text: str) -> bool:
    """Return whether a text can be a user id: 1 to 255 characters, no slash, control character or blank end."""
    return _USER_ID.fullmatch(text) is not None and text == text.strip()
