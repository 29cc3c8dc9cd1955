"""Signing in to the console: by a link, by the auth server, or by pasting a token."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.console.conftest import Api, Console
from tests.servers import Database, running_service, token

SIGN_IN = "Sign in"
COOKIE = "session=nina"


def test_the_token_leaves_the_address_at_once_and_is_kept_for_the_tab_only(console: Console) -> None:
    page = console.open()
    expect(page.get_by_role("form", name="New task")).to_be_visible()
    assert "token" not in page.url
    page.go_back()
    assert "token" not in page.url
    page.reload()
    expect(page.get_by_role("form", name="New task")).to_be_visible()
    other = console.page()
    other.goto(console.url + "/console")
    expect(other.get_by_role("heading", name=SIGN_IN)).to_be_visible()
    assert console.context.storage_state() == {"cookies": [], "origins": []}


def test_a_link_opens_for_another_user_in_the_same_tab(console: Console) -> None:
    page = console.open()
    expect(page.get_by_text(console.user, exact=True)).to_be_visible()
    page.evaluate("(token) => { location.hash = `token=${token}` }", token(f"{console.user} too"))
    expect(page.get_by_text(f"{console.user} too", exact=True)).to_be_visible()
    assert "token" not in page.url


def test_a_token_is_pasted_and_one_signs_out_again(console: Console, api: Api) -> None:
    api.add("Buy milk")
    page = console.page()
    page.goto(console.url + "/console")
    page.get_by_label("Token").fill("no token")
    page.get_by_role("button", name=SIGN_IN).click()
    expect(page.get_by_role("alert")).to_contain_text("This is not a token")
    page.get_by_label("Token").fill(f" {token(console.user)}\n")
    page.get_by_role("button", name=SIGN_IN).click()
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()


def test_an_expired_token_asks_for_another_and_sends_what_was_done_meanwhile(console: Console, api: Api) -> None:
    page = console.page()
    page.goto(f"{console.url}/console#token={token(console.user, exp=int(time.time()) - 3600)}")
    expect(page.get_by_text("Your token has expired.")).to_be_visible()
    page.get_by_label("Token").fill(token(console.user))
    page.get_by_role("button", name=SIGN_IN).click()
    expect(page.get_by_text("Live")).to_be_visible()
    refused = {"authorization": "Bearer x"}
    page.route("**/api/**", lambda route: route.continue_(headers={**route.request.headers, **refused}))
    form = page.get_by_role("form", name="New task")
    form.get_by_label("Title").fill("Buy milk")
    form.get_by_label("Title").press("Enter")
    expect(page.get_by_text("What you did is kept")).to_be_visible()
    page.unroute("**/api/**")
    page.get_by_label("Token").fill(token(console.user))
    page.get_by_role("button", name=SIGN_IN).click()
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    assert api.types() == ["task.created"]
    console.expect_errors("401")


class _AuthServer(BaseHTTPRequestHandler):
    """Gives nina's token to whoever sends her cookie."""

    def do_GET(self) -> None:
        answer = {"token": token("nina")} if self.headers.get("Cookie") == COOKIE else {}
        self.send_response(200)
        self.send_header("Access-Control-Allow-Origin", self.headers["Origin"])
        self.send_header("Access-Control-Allow-Credentials", "true")
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def auth_url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _AuthServer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_tokens_come_from_the_auth_server_with_cookies(
    console: Console, auth_url: str, database: Database, redis_url: str, tmp_path: Path
) -> None:
    settings = {"CONSOLE_TOKEN_URL": f"{auth_url}/api/auth/token"}
    with running_service(database, redis_url, tmp_path / "log", **settings) as service:
        page = console.page()
        page.goto(service.url + "/console")
        expect(page.get_by_role("heading", name=SIGN_IN)).to_be_visible()
        name, value = COOKIE.split("=")
        console.context.add_cookies([{"name": name, "value": value, "url": auth_url}])
        page.reload()
        expect(page.get_by_text("nina", exact=True)).to_be_visible()
        expect(page.get_by_text("Live")).to_be_visible()
        page.close()
    console.hosts.clear()
    console.expect_errors("ERR_")
