"""What the admin port answers at which path."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING, Final

import orjson
from prometheus_client import CONTENT_TYPE_PLAIN_0_0_4

from runtime.readiness import notes
from tasklog.admin.families import exposition
from tasklog.admin.port import Answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from tasklog.admin.families import Source
    from tasklog.admin.port import Answering, Asked

    Pages = Mapping[str, Callable[[Asked], Awaitable[Answer]]]
    Ready = Callable[[], Awaitable[str | None]]

_JSON: Final = "application/json"
_NONE: Final[Pages] = {}


def answering(sources: Sequence[Source], ready: Ready, reads: Pages = _NONE, writes: Pages = _NONE) -> Answering:
    """Return the function that answers the port of a process: metrics, `/live`, `/ready`, and further pages by path."""

    async def metrics(_asked: Asked) -> Answer:
        found = await asyncio.gather(*(source() for source in sources))
        families = [family for some in found for family in some]
        return Answer(200, CONTENT_TYPE_PLAIN_0_0_4, partial(exposition, families))

    async def live(_asked: Asked) -> Answer:
        return json_answer(200, {"status": "live"})

    async def is_ready(_asked: Asked) -> Answer:
        reason = await ready()
        return _ready() if reason is None else _not_ready(reason)

    read = {"/live": live, "/ready": is_ready, "/metrics": metrics, **reads}
    by_method: Mapping[str, Pages] = {"GET": read, "HEAD": read, "POST": writes}

    async def answer(asked: Asked) -> Answer:
        page = by_method[asked.method].get(asked.path)
        if page is not None:
            return await page(asked)
        allowed = [method for method, pages in by_method.items() if asked.path in pages]
        if allowed:
            return json_answer(405, {"detail": "This path does not answer this method"}, {"Allow": ", ".join(allowed)})
        return json_answer(404, {"detail": f"There is nothing at this path: try {', '.join(read)}"})

    return answer


def json_answer(status: int, value: object, headers: Mapping[str, str] | None = None) -> Answer:
    """Return an answer in JSON."""
    return Answer(status, _JSON, orjson.dumps(value) + b"\n", headers or {})


def _ready() -> Answer:
    said = notes()
    return json_answer(200, {"status": "ready", **({"detail": " ".join(said)} if said else {})})


def _not_ready(reason: str) -> Answer:
    return json_answer(503, {"status": "not ready", "detail": reason})
