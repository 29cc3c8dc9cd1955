"""A real Better Auth server (`tests/better_auth`) in a process of its own, and a person who signs up there."""

from __future__ import annotations

import json
import os
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from tests import npm
from tests.signing import SECRET

if TYPE_CHECKING:
    from collections.abc import Iterator

_WHAT = "Better Auth server"
FOLDER = Path(__file__).parents[1] / "better_auth"
PATIENCE = 30.0  # seconds to wait for an answer


@dataclass(frozen=True, kw_only=True)
class Person:
    """A signed-up user: the id, the session's opaque token and the cookies that Better Auth set."""

    user_id: str
    session_token: str
    cookies: httpx.Cookies


@dataclass(frozen=True, kw_only=True)
class BetterAuth:
    """The running server."""

    origin: str

    @property
    def jwks_url(self) -> str:
        """Return the address of its public keys."""
        return f"{self.origin}/api/auth/jwks"

    def sign_up(self, email: str) -> Person:
        """Register a person."""
        body = {"email": email, "password": "correct horse battery", "name": "Ann Example"}
        answer = httpx.post(f"{self.origin}/api/auth/sign-up/email", json=body, timeout=PATIENCE).raise_for_status()
        return Person(
            user_id=answer.json()["user"]["id"],
            session_token=answer.json()["token"],
            cookies=answer.cookies,
        )

    def token(self, person: Person) -> str:
        """Fetch an access token for a signed-in person, as a front end does."""
        with httpx.Client(cookies=person.cookies, timeout=PATIENCE) as http:
            answer = http.get(f"{self.origin}/api/auth/token").raise_for_status()
        return str(answer.json()["token"])

    def rotate(self) -> None:
        """Sign with a new key from now on; the old one stays in the set."""
        httpx.post(f"{self.origin}/rotate", timeout=PATIENCE).raise_for_status()


@contextmanager
def running_better_auth() -> Iterator[BetterAuth]:
    """Run the server on a free port of loopback, with its first key already made.

    Two simultaneous requests would make two keys. Without Node or its packages the test is skipped; with `CI` it fails.
    """
    node = npm.node(_WHAT)
    npm.install(FOLDER, _WHAT)
    environment = {**os.environ, "BETTER_AUTH_SECRET": SECRET}
    with subprocess.Popen(
        [node, "server.mjs"], cwd=FOLDER, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            server = BetterAuth(origin=json.loads(process.stdout.readline())["origin"])
            httpx.get(server.jwks_url, timeout=PATIENCE).raise_for_status()
            yield server
        finally:
            process.stdin.close()
            process.kill()
