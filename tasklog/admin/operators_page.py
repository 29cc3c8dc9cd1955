"""The operators' page: one HTML file, a style sheet and a script, the state that it shows, and "try again"."""

from __future__ import annotations

from dataclasses import asdict
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import orjson

from audit.status import parked_users
from audit.verifications import faults_found, last_verification
from projector.rebuild import faults
from projector.statements import TRY_AGAIN
from runtime.pool import UnavailableError
from runtime.schema import schema_version
from runtime.version import VERSION
from tasklog.admin.port import Answer
from tasklog.admin.routes import json_answer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from runtime.pool import Database
    from tasklog.admin.history import History
    from tasklog.admin.ledger_facts import FactReader, LedgerFacts
    from tasklog.admin.port import Asked
    from tasklog.admin.routes import Ready

_PAGE: Final = Path(__file__).with_name("page")
_FILES: Final = {"/": ("page.html", "text/html"), "/page.css": ("page.css", "text/css")}
_SCRIPT: Final = ("page.js", "text/javascript")
_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_SHOWN: Final = 20
_LEFT_OUT: Final = ("arguments", "result")
"""Members of a job that are not shown; the page shows the result of a verification in a section of its own."""


class OperatorsPage:
    """The operators' page of a projector: answers its requests from the projector's database, facts and history."""

    def __init__(self, database: Database, reader: FactReader, history: History, ready: Ready) -> None:
        self._database, self._reader, self._history, self._ready = database, reader, history, ready

    def reads(self) -> Mapping[str, Callable[[Asked], Awaitable[Answer]]]:
        """Return the functions that answer GET, by path."""
        return {**dict.fromkeys([*_FILES, "/page.js"], self._file), "/state": self._state}

    def writes(self) -> Mapping[str, Callable[[Asked], Awaitable[Answer]]]:
        """Return the functions that answer POST, by path."""
        return {"/try-again": self._try_again}

    async def _file(self, asked: Asked) -> Answer:
        name, media_type = _FILES.get(asked.path, _SCRIPT)
        return _guarded(asked) or Answer(200, f"{media_type}; charset=utf-8", (_PAGE / name).read_bytes(), _HEADERS)

    async def _state(self, asked: Asked) -> Answer:
        if (refused := _guarded(asked)) is not None:
            return refused
        facts = await self._reader.read()
        state = {
            "version": VERSION,
            "schema": schema_version(),
            "not_ready": await self._ready(),
            "lag": None if facts.lag is None else facts.lag._asdict(),
            "users_to_rebuild": facts.users_to_rebuild,
            **await self._users(facts),
            **_jobs(facts),
            "processes": self._history.processes,
            "history": self._history.samples(),
        }
        return json_answer(200, state, _HEADERS)

    async def _users(self, facts: LedgerFacts) -> Mapping[str, Any]:
        """Return the users that need an operator; read them only if the facts count any."""
        parked: list[Any] = []
        rebuild_faults: list[Any] = []
        try:
            if facts.lag is not None and facts.lag.parked_users:
                parked = [asdict(user) for user in await parked_users(self._database)]
            if facts.rebuild_faults:
                found = [*(await faults(self._database)).items()][:_SHOWN]
                rebuild_faults = [{"user_id": user, "position": at, "reason": why} for user, (at, why) in found]
        except UnavailableError:
            pass  # `not_ready` says so
        return {"parked": parked, "rebuild_faults": rebuild_faults}

    async def _try_again(self, asked: Asked) -> Answer:
        """Let a parked user be tried at the next sweep, within a second."""
        if (refused := _guarded(asked) or _foreign(asked)) is not None:
            return refused
        try:
            user_id = orjson.loads(asked.body)["user_id"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            user_id = None
        if not isinstance(user_id, str) or "\0" in user_id:
            return json_answer(422, {"detail": 'Send {"user_id": "…"}, as JSON'}, _HEADERS)
        try:
            rows = await self._database.fetch(TRY_AGAIN, user_id)
        except UnavailableError:
            return json_answer(503, {"detail": "The database does not answer, try again"}, _HEADERS)
        if not rows:
            return json_answer(404, {"detail": "This user is not parked any more"}, _HEADERS)
        return json_answer(200, {"user_id": user_id}, _HEADERS)


def _jobs(facts: LedgerFacts) -> Mapping[str, Any]:
    if facts.heard is None:
        return {"jobs": None, "verification": None, "faults": None}
    jobs = facts.heard.jobs
    verification = last_verification(jobs)
    return {
        "jobs": [{name: value for name, value in asdict(job).items() if name not in _LEFT_OUT} for job in jobs],
        "verification": None if verification is None else asdict(verification),
        "faults": [asdict(fault) for fault in faults_found(jobs)[:_SHOWN]],
    }


def _guarded(asked: Asked) -> Answer | None:
    """Refuse a Host with a public name: a website could point its own name at this port (DNS rebinding)."""
    try:
        name = urlsplit(f"//{asked.headers.get('host', '')}").hostname or ""
        if "." in name or ":" in name:
            ip_address(name)
    except ValueError:
        return json_answer(403, {"detail": "Open this page by an IP address, or by a name without a dot"}, _HEADERS)
    return None


def _foreign(asked: Asked) -> Answer | None:
    """Refuse a request that does not come from a page of this port."""
    origin = asked.headers.get("origin", "")
    if urlsplit(origin).netloc != asked.headers.get("host") or asked.headers.get("content-type") != "application/json":
        return json_answer(403, {"detail": "Only the operators' page of this port may send this"}, _HEADERS)
    return None
