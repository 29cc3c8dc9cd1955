"""What the tests of history and of time travel share."""

from __future__ import annotations

import re
from typing import Any

import httpx


def create(client: httpx.Client, base: str, title: str = "a") -> int:
    answer = client.post(f"{base}/tasks", json={"title": title}, headers={"X-Request-ID": f"make-{title}"})
    assert answer.status_code == 201, answer.text
    return int(answer.json()["id"])


def told(client: httpx.Client, path: str, **params: Any) -> dict[str, Any]:
    answer = client.get(path, params=params or None)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def following(answer: httpx.Response) -> str | None:
    link = re.fullmatch(r'<([^>]+)>; rel="next"', answer.headers.get("link", ""))
    return link and link[1]


def refused(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    return str(answer.json()["detail"])
