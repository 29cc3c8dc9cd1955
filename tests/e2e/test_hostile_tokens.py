"""The whole table of tokens against a running service with both modes on, and a real Better Auth server.

tests/unit/test_tokens.py tests the verdicts one by one. These tests check that over HTTP each is a 200 or a 401 in the
contract's shape, whatever was sent, and that no log line holds a token.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from tests import token_table as table
from tests.integration.better_auth import BetterAuth, running_better_auth
from tests.servers import RunningService, Servers, client_of, eventually, running_service
from tests.signing import NOW, ORIGIN, SECRET, USER, Draft, base64url, good, key_set_body
from tests.unit import test_token_verifier as more

MODES = ("HS256", "EdDSA")


def present() -> int:
    """Return the present time in seconds: the session may have run for minutes before these tests."""
    return int(time.time())


class _Keys(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = key_set_body()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@contextmanager
def _published_keys() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Keys)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/api/auth/jwks"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def judging(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    """Run a service that accepts the tests' secret and the tests' public keys."""
    log = tmp_path_factory.mktemp("judging") / "service.log"
    with servers.cloned() as database, servers.emptied_redis() as redis_url, _published_keys() as url:
        modes = {"BETTER_AUTH_SECRET": SECRET, "JWKS_URL": url, "JWT_ISSUER": ORIGIN, "JWT_AUDIENCE": ORIGIN}
        with running_service(database, redis_url, log, **modes) as running:
            wait_for_keys(running)
            yield running


def wait_for_keys(service: RunningService) -> None:
    """Wait for the first fetch of keys, which runs beside the start; a failed one delays the next by some seconds."""
    eventually(lambda: "jwks_changed" in service.log.read_text())


def now_for(changes: dict[str, object]) -> dict[str, object]:
    """Return a case of the table with its times moved from NOW to the present."""
    moved = {}
    for name, value in changes.items():
        is_time = isinstance(value, int | float) and not isinstance(value, bool) and value > NOW / 2
        moved[name] = value - NOW + present() if is_time else value  # type: ignore[operator]
    return moved


def on_the_edge(changes: dict[str, Any]) -> bool:
    """Return whether the verdict depends on the exact second; such cases need a stopped clock."""
    return any(isinstance(value, int) and abs(value - NOW) in (29, 31) for value in changes.values())


def drafts(algorithm: str, headers: list[dict[str, Any]], claims: list[dict[str, Any]]) -> list[bytes]:
    base = good(algorithm, present())
    return [
        *(base.header_with(**changes).signed() for changes in headers),
        *(base.claims_with(**now_for(changes)).signed() for changes in claims if not on_the_edge(changes)),
    ]


def bad_tokens(algorithm: str) -> list[bytes]:
    base = good(algorithm, present())
    token = base.signed()
    head, payload, signature = token.split(b".")
    return [
        *drafts(algorithm, table.BAD_HEADERS, table.BAD_CLAIMS),
        *(replace(base, header=text).signed() for text in table.BAD_TEXT if len(text) < 9000),
        *(replace(base, claims=text).signed() for text in table.BAD_TEXT if len(text) < 9000),
        *(base64url(text) + b".e30.AA" for text in more.HOSTILE),
        *(token[:i] + bytes([token[i] ^ 1]) + token[i + 1 :] for i in range(0, len(token), 7)),
        b".".join([head, payload, signature[::-1]]),
        b".".join([head, payload]),
        token[:-3],
        token + b"A",
        token + b".e30",
        base.claims_with(pad="x" * 20_000).signed(),
    ]


def status(service: RunningService, headers: list[tuple[bytes, bytes]], user: str = USER) -> int:
    """Return the status of a list with these headers; check that an error has the contract's shape."""
    with client_of(service.url) as client:
        answer = client.get(f"/api/{user}/tasks", headers=headers)
    if answer.status_code == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert isinstance(answer.json()["detail"], str)
    return answer.status_code


@pytest.mark.parametrize("algorithm", MODES)
def test_every_good_token_is_let_in_and_every_other_one_is_a_401(judging: RunningService, algorithm: str) -> None:
    with httpx.Client(base_url=judging.url) as client:

        def answer(token: bytes) -> httpx.Response:
            return client.get(f"/api/{USER}/tasks", headers={b"Authorization": b"Bearer " + token})

        fine = [changes for changes in table.GOOD_CLAIMS if "sub" not in changes]
        for token in [good(algorithm, present()).signed(), *drafts(algorithm, table.GOOD_HEADERS, fine)]:
            assert answer(token).status_code == 200
        for token in bad_tokens(algorithm):
            refused = answer(token)
            assert refused.status_code == 401, token[:200]
            why = f'Bearer error="invalid_token", error_description="{refused.json()["detail"]}"'
            assert refused.headers["www-authenticate"] == (why if token.strip() else "Bearer")


@pytest.mark.parametrize("draft", table.CONFUSIONS, ids=lambda draft: table.ids(draft.header))
def test_no_key_of_one_mode_or_algorithm_serves_another(judging: RunningService, draft: Draft) -> None:
    moved = draft.claims_with(iat=present() - 10, exp=present() + 890).signed()
    assert status(judging, [(b"Authorization", b"Bearer " + moved)]) == 401


def test_odd_headers_around_a_good_token(judging: RunningService) -> None:
    token = good("EdDSA", present()).signed()
    for scheme in (b"Bearer ", b"bearer ", b"BEARER "):
        assert status(judging, [(b"Authorization", scheme + token)]) == 200
    odd = [token, b"Basic " + token, b"Bearer", b"Bearer  " + token, b"Bearer " + token + b" b", b"Bearer \xff", b""]
    for value in odd:
        assert status(judging, [(b"Authorization", value)]) == 401
    assert status(judging, [(b"Authorization", b"Bearer " + token)] * 2) == 401
    assert status(judging, []) == 401


def test_no_token_and_no_secret_is_in_the_logs(judging: RunningService) -> None:
    """Of the whole module, which has tried some hundred tokens by now, and of this test."""
    for algorithm in MODES:
        for token in (
            good(algorithm, present()).signed(),
            *drafts(algorithm, [{"kid": "LOGMARK"}, {"typ": "LOGMARK"}], []),
        ):
            status(judging, [(b"Authorization", b"Bearer " + token)])
            status(judging, [(b"Authorization", b"Bearer " + token)], user="LOGPATH")
    log = judging.logged()
    lines = [json.loads(line) for line in log.split("\n")[:-1]]
    assert len(lines) > 10
    assert "LOGPATH" in log
    for hidden in ("eyJ", SECRET, "LOGMARK", "password-of-the-tests", "Traceback", "traceback"):
        assert hidden not in log, hidden


@pytest.fixture(scope="module")
def auth() -> Iterator[BetterAuth]:
    with running_better_auth() as server:
        yield server


@pytest.fixture(scope="module")
def beside_better_auth(
    auth: BetterAuth, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningService]:
    """Run a service with only two settings: the address of the keys, and Better Auth's secret."""
    log: Path = tmp_path_factory.mktemp("auth") / "service.log"
    modes = {"BETTER_AUTH_SECRET": SECRET, "JWKS_URL": auth.jwks_url}
    with (
        servers.cloned() as database,
        servers.emptied_redis() as redis_url,
        running_service(database, redis_url, log, **modes) as running,
    ):
        wait_for_keys(running)
        yield running


@pytest.mark.timeout(400)  # its packages may have to be downloaded
def test_a_person_of_better_auth_works_before_and_after_a_rotation_of_the_keys(
    auth: BetterAuth, beside_better_auth: RunningService
) -> None:
    person = auth.sign_up("eve@example.com")
    path = f"{beside_better_auth.url}/api/{person.user_id}/tasks"

    def call(token: str, method: str = "GET", **body: Any) -> httpx.Response:
        return httpx.request(method, path, headers={"Authorization": f"Bearer {token}"}, **body)

    before = auth.token(person)
    assert call(before, "POST", json={"title": "a"}).status_code == 201
    auth.rotate()
    after = auth.token(person)
    assert after.split(".")[0] != before.split(".")[0]
    assert call(after, "POST", json={"title": "b"}).status_code == 201
    for token in (before, after):
        assert [task["title"] for task in call(token).json()] == ["b", "a"]
    cookies = {person.cookies["better-auth.session_token"], person.cookies["better-auth.session_data"]}
    for other in (person.session_token, *cookies):
        assert call(other).status_code == 401
    assert person.session_token not in beside_better_auth.log.read_text()
