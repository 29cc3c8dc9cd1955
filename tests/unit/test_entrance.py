"""`/`: a browser that prefers HTML is redirected to the console; every other client gets the contract's JSON.

Seen to fail: with `*/*` outweighing `text/html`, with weights ignored, with commas in quotes taken for the end of a
range, and with the redirect while the console is off.
"""

from __future__ import annotations

import httpx
import pytest

from edge.accept import prefers_html
from read_api.app import create_app
from runtime.settings import Settings

CHROME = (
    "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8,"
    "application/signed-exchange;v=b3;q=0.7"
)
FIREFOX = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
NAMED = {"name", "version", "docs", "health"}


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (CHROME, True),
        (FIREFOX, True),
        ("text/html", True),
        ("TEXT/HTML", True),
        ("text/*", True),
        ("text/html;q=0.2, application/json;q=0.1", True),
        ("text/html;q=0.5, */*;q=0.1", True),
        ("application/json;q=0.5, text/html ; q=0.501", True),
        ('application/x;note="a,b;q=0", text/html', True),
        ("text/html;level=1", True),
        ("*/*;q=1, application/json;q=0", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/*", False),
        ("text/html, application/json", False),
        ("application/json, text/html;q=0.5", False),
        ("text/html, */*", False),
        ("text/html;q=0.3, */*;q=0.9", False),
        ("text/html;q=0", False),
        ("text/html;q=x", False),
        ("text/html;q=1.5", False),
        ("text/*, text/html;q=0", False),
        ('text/x;note="text/html, text/html"', False),
        ('text/x;note="unfinished, text/html', False),
        (",;,;q=1,", False),
        ("image/*", False),
    ],
)
def test_only_who_prefers_html_to_json_gets_it(accept: str, expected: bool) -> None:
    assert prefers_html(accept) is expected


async def ask(method: str, accept: list[str], **settings: object) -> httpx.Response:
    """Return the read API's answer to a request of `/`; it needs no database."""
    app = create_app(Settings(_env_file=None, **settings))  # type: ignore[arg-type]
    headers = [("accept", text) for text in accept]
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://tasklog") as client:
        del client.headers["accept"]
        return await client.request(method, "/", headers=headers)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_browser_is_led_to_the_console(method: str) -> None:
    for accept in ([CHROME], ["text/html", "*/*;q=0.8"]):
        answer = await ask(method, accept)
        assert (answer.status_code, answer.headers["location"], answer.content) == (303, "/console", b"")
        assert "Accept" in answer.headers.get_list("vary")


@pytest.mark.parametrize("accept", [[], ["*/*"], ["application/json"]])
async def test_everybody_else_gets_the_json_of_the_contract(accept: list[str]) -> None:
    answer = await ask("GET", accept)
    assert (answer.status_code, set(answer.json())) == (200, NAMED)
    assert "Accept" in answer.headers.get_list("vary"), "a cache must not give a browser the JSON"
    assert (await ask("HEAD", accept)).content == b""


async def test_without_the_console_the_json_is_for_browsers_too() -> None:
    answer = await ask("GET", [CHROME], console="off")
    assert (answer.status_code, set(answer.json())) == (200, NAMED)
    assert "Accept" not in answer.headers.get_list("vary")
