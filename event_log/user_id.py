"""User ids that a stream can have: what a token and a path can name."""

from __future__ import annotations

import re
from typing import Final

# The characters that a path can hold, without those that a log or a database would trip over.
_USER_ID: Final = re.compile(r"[^/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]{1,255}")


def is_user_id(text: str) -> bool:
    """Return whether a user can have this id: 1 to 255 characters, no slash, no control character, no blank ends."""
    return _USER_ID.fullmatch(text) is not None and text == text.strip()
