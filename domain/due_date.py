"""When a task is due: a date, or a time of a day with or without a zone, in the form in which it was given."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_FORM: Final = re.compile(
    r"(?P<day>\d{4}-\d\d-\d\d)"
    r"(?:(?P<between>[Tt ])(?P<minute>(?:[01]\d|2[0-3]):[0-5]\d)(?P<second>:[0-5]\d)?(?P<fraction>\.\d{1,9})?"
    r"(?P<zone>[Zz]|[-+]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_DAY: Final = timedelta(days=1)
_DATE_LENGTH: Final = len("YYYY-MM-DD")


def due_date(text: str) -> str:
    """Return a due date as it is kept: as it was given, and a time with a zone in UTC with a Z.

    Raises:
        ValueError: it is neither a date like 2026-02-07 nor a time like 2026-02-07T12:00 or 2026-02-07T12:00:00Z.
    """
    form = _FORM.fullmatch(text)
    if form is None or (form["fraction"] and not form["second"]):
        raise ValueError
    at = moment_of(text)
    if not form["zone"]:
        return text
    return at.replace(tzinfo=None).isoformat(timespec=_precision(form["fraction"])) + "Z"


def _precision(fraction: str | None) -> str:
    if fraction is None:
        return "seconds"
    return "milliseconds" if len(fraction) <= len(".123") else "microseconds"


def is_due_date(value: object) -> bool:
    """Whether a due date can be kept as `value`."""
    try:
        return value is None or (isinstance(value, str) and due_date(value) == value)
    except ValueError:
        return False


def moment_of(text: str) -> datetime:
    """Return the moment of a due date in UTC: a time without a zone is UTC, a date its first moment.

    Raises:
        ValueError: there is no such date or time, or none in UTC.
    """
    try:
        at = datetime.fromisoformat(text.upper())
        return at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    except OverflowError:
        raise ValueError from None


def microseconds(at: datetime) -> int:
    """Return the microseconds from 1970 to a moment: what moments are compared by."""
    return (at - _EPOCH) // _MICROSECOND


def is_date(text: str) -> bool:
    """Whether a due date is a day without a time."""
    return len(text) == _DATE_LENGTH
