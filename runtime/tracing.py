"""Traces of requests, off unless OTEL_* variables ask for them. Only then is OpenTelemetry's SDK imported.

A span is a step of a trace. Its `traceparent` (W3C Trace Context) names it to the steps that it leads to: in this
process, and in another one by the metadata of an event.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from runtime.settings import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Kind: TypeAlias = Literal["internal", "server", "consumer"]

_ENV_FILE: Final = ".env"
_PROTOCOL: Final = "http/protobuf"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_NOT_INSTALLED: Final = (
    "OTEL_* variables ask for traces, but the packages for them are not installed: install requirements/tracing.lock, "
    "or unset these variables."
)


class Span(Protocol):
    """A step of a trace, from its start until `end`."""

    @property
    def trace_id(self) -> str:
        """Return the id of the trace, 32 hex digits."""

    @property
    def traceparent(self) -> str | None:
        """Return what names this span to the steps that it leads to, or None if the trace is not sampled."""

    def end(self, attributes: Mapping[str, str | int], *, name: str | None = None, failed: bool = False) -> None:
        """End the span, if wanted under another name than at its start."""


class Tracer(Protocol):
    """Starts spans."""

    def start(
        self,
        name: str,
        kind: Kind = "internal",
        *,
        parent: str | None = None,
        links: Sequence[str] = (),
        began: int | None = None,
    ) -> Span:
        """Start a span below the one that `parent` names, or a trace. It may have begun earlier, in ns since 1970."""


tracer: Tracer | None = None
"""The tracer of this process, None while traces are off."""

current: Final[ContextVar[str | None]] = ContextVar("current", default=None)
"""The traceparent of the request that is being answered; None without one, or if it is not sampled."""


@contextmanager
def traced(service: str) -> Iterator[None]:
    """Send traces of a service while the block runs, if OTEL_* variables ask for them.

    Raises:
        SettingsError: they ask for something that is not there.
    """
    global tracer  # noqa: PLW0603 - one for the process
    _read_env_file()
    for name in [name for name, value in os.environ.items() if name.startswith("OTEL_") and not value]:
        del os.environ[name]  # an empty value means none, and the SDK warns of some
    if not is_wanted(os.environ):
        yield
        return
    try:
        from runtime.sending_traces import sending  # noqa: PLC0415 - only if traces are on
    except ModuleNotFoundError:
        raise SettingsError(_NOT_INSTALLED) from None
    with sending(service) as opened:
        tracer = opened
        try:
            yield
        finally:
            tracer = None


def is_wanted(env: Mapping[str, str]) -> bool:
    """Return whether the standard variables ask for traces: they name an exporter or an endpoint.

    Raises:
        SettingsError: they ask for an exporter or a protocol that there is not.
    """
    exporter = env.get("OTEL_TRACES_EXPORTER", "")
    is_off = env.get("OTEL_SDK_DISABLED", "").lower() == "true" or exporter == "none"
    if is_off or not (exporter or any(env.get(name) for name in _ENDPOINTS)):
        return False
    if exporter not in {"", "otlp"}:
        raise SettingsError("OTEL_TRACES_EXPORTER is not valid: set otlp, or none for no traces.")
    for name in _PROTOCOLS:
        if env.get(name, _PROTOCOL) not in {"", _PROTOCOL}:
            raise SettingsError(f"{name} is not valid: Tasklog sends {_PROTOCOL} (port 4318 of a collector). Set that.")
    return True


def _read_env_file() -> None:
    """Set the OTEL_* variables that stand in `.env`, where the settings are read, too; those of the environment win."""
    if not os.path.exists(_ENV_FILE):  # noqa: PTH110 - costs no import
        return
    from dotenv import dotenv_values  # noqa: PLC0415 - seldom needed

    for name, value in dotenv_values(_ENV_FILE).items():
        if name.startswith("OTEL_") and value:
            os.environ.setdefault(name, value)
