"""The console's files over HTTP: small, cached, and nothing from elsewhere."""

from __future__ import annotations

import re

import httpx
import pytest

from read_api.app import create_app
from runtime.settings import Settings
from tests.servers import RunningService

MOST_BYTES = 120_000


@pytest.fixture
def client(shared_service: RunningService) -> httpx.Client:
    return shared_service.client()


async def get(path: str, **settings: object) -> httpx.Response:
    """Return the read API's answer with other settings; the console needs no database."""
    app = create_app(Settings(_env_file=None, **settings))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tasklog") as client:
        return await client.get(path)


def test_the_page_runs_no_inline_script_or_style_and_loads_nothing_from_elsewhere(client: httpx.Client) -> None:
    page = client.get("/console")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = dict(part.split(" ", 1) for part in page.headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    own = ("script-src", "worker-src", "style-src", "img-src", "connect-src")
    assert {policy[name] for name in own} == {"'self'"}
    assert (policy["require-trusted-types-for"], policy["trusted-types"]) == ("'script'", "tasklog")
    assert not re.search(r"<script(?![^>]*\ssrc=)|<style|\son\w+=|\sstyle=", page.text)
    assert not re.search(r'(src|href)="(?!/console/|#)', page.text)


def test_the_first_visit_is_small_and_the_second_one_loads_nothing(client: httpx.Client) -> None:
    page = client.get("/console")
    paths = set(re.findall(r'"(/console/[^"]+)"', page.text))
    size = int(page.headers["content-length"])
    for path in paths:
        answer = client.get(path)
        assert answer.status_code == 200, path
        size += int(answer.headers["content-length"])
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["content-encoding"] == "gzip"
    assert {"app.js", "style.css", "replica.js"} <= {path.rpartition("/")[2] for path in paths}
    assert size < MOST_BYTES
    assert page.headers["cache-control"] == "no-cache"
    again = client.get("/console", headers={"If-None-Match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_every_module_that_a_module_imports_is_named_in_the_page(client: httpx.Client) -> None:
    named = set(re.findall(r'"(/console/[^"]+\.js)"', client.get("/console").text))
    for path in named:
        for name in re.findall(r'^(?:import|export) .*"(\./[^"]+)"', client.get(path).text, re.MULTILINE):
            assert str(httpx.URL("http://x" + path).join(name).path) in named


def test_a_worker_is_confined_as_the_page_is(client: httpx.Client) -> None:
    page = client.get("/console")
    (checker,) = re.findall(r'"(/console/[^"]+/checker\.js)"', page.text)
    for path in (checker, "/console/offline.js"):
        assert client.get(path).headers["content-security-policy"] == page.headers["content-security-policy"]


def test_the_service_worker_is_asked_for_each_time_and_may_answer_for_the_page(client: httpx.Client) -> None:
    answer = client.get("/console/offline.js")
    assert answer.headers["content-type"].startswith("text/javascript")
    assert (answer.headers["cache-control"], answer.headers["service-worker-allowed"]) == ("no-cache", "/console")


def test_a_compressed_file_has_a_weak_etag_and_each_form_of_it_is_known_again(client: httpx.Client) -> None:
    compressed = client.get("/console").headers["etag"]
    plain = client.get("/console", headers={"Accept-Encoding": "identity"}).headers["etag"]
    assert compressed == f"W/{plain}"
    for known in (plain, compressed, f'"other", {compressed}', "*"):
        assert client.get("/console", headers={"If-None-Match": known}).status_code == 304, known
    for other in (f'"x{plain[1:]}', f'{plain[:-1]}x"', f'"other {plain[1:]}', plain.strip('"')):
        assert client.get("/console", headers={"If-None-Match": other}).status_code == 200, other


def test_a_client_that_takes_no_gzip_gets_the_files_as_they_are(client: httpx.Client) -> None:
    answer = client.get("/console", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in answer.headers
    assert answer.text.startswith("<!doctype html>")


def test_a_page_that_was_open_before_an_upgrade_gets_the_files_of_now(client: httpx.Client) -> None:
    answer = client.get("/console/0123456789abcdef/app.js")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "no-cache")
    assert client.get("/console/0123456789abcdef/other.js").status_code == 404
    assert client.get("/console/0123456789abcdef/..%2froutes.py").status_code == 404


@pytest.mark.parametrize("path", ["/console", "/console/", "/console/0123456789abcdef/app.js"])
async def test_console_off_answers_404(path: str) -> None:
    assert (await get(path)).status_code == 200
    answer = await get(path, console="off")
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/path-not-found")


async def test_the_page_may_fetch_tokens_where_the_setting_says_and_nowhere_else() -> None:
    answer = await get("/console", console_token_url="https://auth.example/api/auth/token?a=1&b=2")
    assert 'data-token-url="https://auth.example/api/auth/token?a=1&amp;b=2"' in answer.text
    assert "; connect-src 'self' https://auth.example; " in answer.headers["content-security-policy"]
