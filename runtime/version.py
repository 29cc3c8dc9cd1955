"""The version of Tasklog, only written here: a release changes this line."""

from __future__ import annotations

from typing import Final

VERSION: Final = "1.0.0"
