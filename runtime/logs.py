"""Logs on stdout, ours and the libraries': one JSON object per line, or readable lines on a terminal.

No line shows what users wrote. So an error is logged as its types and stack frames, without its message, because
drivers and validators quote values in their messages.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, BinaryIO, Final, cast

import orjson
import structlog

from runtime.log_sink import Sink, descriptor_of

if TYPE_CHECKING:
    from collections.abc import Iterator, MutableMapping

    from structlog.typing import Processor

_LEVELS: Final = logging.getLevelNamesMapping()
_METHODS: Final = {"warn": "warning", "exception": "error"}
"""The levels of methods that are named otherwise."""
_NOISY: Final = ("httpx", "httpcore", "asyncio", "arq")


def configure(level: str, form: str = "auto", worker: int | None = None) -> None:
    """Log at `level` (debug, info, warning, error) and above, in the whole process.

    `form` is json, text, or auto: text on a terminal, otherwise JSON. Each line names the `worker`, if there is one.
    """
    render = _line if form == "text" or (form == "auto" and _on_a_terminal()) else _json
    shared: list[Processor] = [_complete] if worker is None else [_complete, partial(_name_worker, worker)]
    sink = Sink(descriptor_of(sys.stdout), lambda lines: render(None, "", _lost_lines(lines)))
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.BytesLoggerFactory(cast("BinaryIO", sink)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sink)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.add_logger_name],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                lambda *event: render(*event).decode(),
            ],
        )
    )
    logging.basicConfig(handlers=[handler], level=_LEVELS[level.upper()], force=True)
    _route_libraries()


def _name_worker(
    worker: int, _logger: object, _method: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    event["worker"] = worker
    return event


def _on_a_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _lost_lines(lines: int) -> MutableMapping[str, object]:
    """Return the event that says how many earlier lines were lost, because the log was closed, full or not read."""
    return {"lines": lines, "event": "log lines were lost", "level": "warning", "at": _now()}


def _now() -> str:
    return datetime.now(UTC).isoformat().replace("+00:00", "Z")


def _route_libraries() -> None:
    """Send the libraries' log lines to the root logger. Requests get our own line, so uvicorn's is off."""
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access", "arq"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = name != "uvicorn.access"
    for name in _NOISY:
        logging.getLogger(name).setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)


def _complete(_logger: object, method: str, event: MutableMapping[str, object]) -> MutableMapping[str, object]:
    """Add level and time, and replace `exc_info` by `traceback`: a list of error types and stack frames.

    One function does the work of several of structlog's, because each request has a line.
    """
    event["level"] = _METHODS.get(method, method)
    event["at"] = _now()
    if "exc_info" not in event:
        return event
    given = event.pop("exc_info")
    error = given[1] if isinstance(given, tuple) else given
    if error and not isinstance(error, BaseException):
        error = sys.exc_info()[1]
    if isinstance(error, BaseException):
        event["traceback"] = list(_frames(error))
    return event


def _frames(error: BaseException, depth: int = 0) -> Iterator[str]:
    yield f"{type(error).__module__}.{type(error).__qualname__}"
    for frame in traceback.extract_tb(error.__traceback__):
        yield f"  {frame.filename}:{frame.lineno} {frame.name}"
    if depth == 8:  # noqa: PLR2004
        return
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    inner = error.exceptions if isinstance(error, BaseExceptionGroup) else ()
    for other in (*inner, cause):
        if other is not None:
            yield from _frames(other, depth + 1)


def _json(_logger: object, _method: str, event: MutableMapping[str, object]) -> bytes:
    try:
        return orjson.dumps(event, default=repr)
    except orjson.JSONEncodeError:  # for example a lone surrogate
        return json.dumps(event, default=repr).encode()


def _line(_logger: object, _method: str, event: MutableMapping[str, object]) -> bytes:
    """Return an event as a line for people: time, level, event, its fields, and the type of an error."""
    known = ("at", "level", "event", "traceback")
    at, level, what, frames = (event.get(name) for name in known)
    if isinstance(frames, list):
        event["error"] = frames[0]
    fields = [f"{name}={_readable(value)}" for name, value in event.items() if name not in known]
    return " ".join([str(at)[11:19], f"{level!s:7}", _readable(what), *fields]).encode()


def _readable(value: object) -> str:
    """Return the text on one line, with control characters escaped: it cannot move the cursor or fake a line."""
    text = str(value)
    return text if text.isprintable() else ascii(text)
