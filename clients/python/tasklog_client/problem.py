"""Answers that are errors."""

from __future__ import annotations

from typing import Any

import httpx


class ProblemError(Exception):
    """An answer with a status of 400 or more (RFC 9457); its text is the `detail`, one sentence for people."""

    def __init__(self, answer: httpx.Response) -> None:
        """Read the problem from an answer, whose body has been read."""
        try:
            body = answer.json()
        except ValueError:
            body = {}
        self.status: int = answer.status_code
        self.body: dict[str, Any] = body if isinstance(body, dict) else {}
        self.type: str = self.body.get("type", "about:blank")
        self.retry_after: str | None = answer.headers.get("Retry-After")
        super().__init__(self.body.get("detail", f"The service answered {self.status}"))
