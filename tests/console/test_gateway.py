"""The console through compose's gateway: a real Caddy with the repository's Caddyfile passes it on as it is."""

from __future__ import annotations

import re
from pathlib import Path

import httpx
from playwright.sync_api import expect

from tests.console.conftest import Api, Console
from tests.console.test_tasks import add
from tests.e2e.test_gateway import running_gateway
from tests.servers import eventually, token

OWN = {"date", "server", "via", "x-request-id", "connection"}
"""Headers of one answer, or of the gateway itself."""


def headers(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name not in OWN}


def test_the_console_works_through_composes_gateway(console: Console, api: Api, tmp_path: Path) -> None:
    with running_gateway(console.url.removeprefix("http://"), tmp_path) as url:
        page, other = console.page(), console.page()
        for window in (page, other):
            window.goto(f"{url}/console#token={token(console.user)}")
            expect(window.get_by_text("Live")).to_be_visible()
        add(page, "Buy milk")
        expect(other.get_by_role("checkbox", name="Buy milk")).to_be_visible()
        assert eventually(lambda: api.titles() == ["Buy milk"])
        page.get_by_role("link", name="Proof").click()
        page.get_by_role("button", name="Check it here").click()
        expect(page.get_by_text("The only event fits.")).to_be_visible()
        for window in (page, other):
            window.close()
        assert console.hosts == {url.removeprefix("http://")}
    console.hosts.clear()


def test_every_file_comes_through_as_it_is_compressed_and_known_again(console: Console, tmp_path: Path) -> None:
    with running_gateway(console.url.removeprefix("http://"), tmp_path) as url, httpx.Client() as client:
        paths = re.findall(r'"(/console/[^"]+)"', client.get(f"{url}/console").text)
        assert len(paths) > 30
        for path in ("/console", "/console/", "/console/offline.js", *paths):
            direct, passed = client.get(console.url + path), client.get(url + path)
            assert (headers(passed), passed.content) == (headers(direct), direct.content), path
            assert passed.headers["content-encoding"] == "gzip"
            again = client.get(url + path, headers={"If-None-Match": passed.headers["etag"]})
            assert (again.status_code, again.content) == (304, b"")
