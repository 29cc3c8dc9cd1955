"""The console's proof: the page computes every hash itself, and believes nothing that the service says about it."""

from __future__ import annotations

import hashlib
import json

import pytest
from playwright.sync_api import Page, expect

from tests.console.conftest import Api, Console


@pytest.fixture
def history(api: Api) -> list[dict[str, str]]:
    milk = api.add("Buy milk")
    api.edit(milk, title="Buy oat milk", tags=["food"])
    api.add("Käse & “Brot” 🙂")
    api.toggle(milk)
    api.delete(milk)
    events: list[dict[str, str]] = api.history()["events"]
    return events


def check(page: Page, kept: str = "") -> None:
    page.get_by_label("A receipt or an anchor that you kept").fill(kept)
    page.get_by_role("button", name="Check it here").click()


def result(page: Page, *texts: str) -> None:
    for text in texts:
        expect(page.get_by_role("region", name="Result")).to_contain_text(text)


def test_all_events_fit_and_the_head_can_be_kept(console: Console, history: list[dict[str, str]]) -> None:
    page = console.open("Proof")
    check(page)
    result(page, "All 5 events fit.", history[4]["hash"])
    console.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy this anchor").click()
    expect(page.get_by_role("status", name="Messages")).to_contain_text("Copied.")
    copied = json.loads(page.evaluate("() => navigator.clipboard.readText()"))
    assert copied == {"user_id": console.user, "position": 5, "hash": history[4]["hash"]}


KEPT = {
    "the headers of a receipt": "HTTP/1.1 200 OK\nTasklog-Hash: {hash}\nTasklog-Position: {position}\n",
    "a line of an anchor": '{{"user_id":"{user}","position":{position},"hash":"{hash}","recorded_at":""}}',
    "lines of many users": '{{"user_id":"x","position":1,"hash":"{other}"}}\n{{"position":{position},"hash":"{hash}"}}',
    "a page of a history": '{{\n "user_id":"{user}",\n "head":{{\n"position":{position},\n"hash":"{hash}"\n}}}}',
    "words": "The stream ends at position {position}, hash {hash}.",
    "a pair": "{position} {hash}",
}
"""What people may have kept; braces are doubled for `format`."""


@pytest.mark.parametrize("form", KEPT)
def test_the_head_is_compared_with_what_was_kept(console: Console, history: list[dict[str, str]], form: str) -> None:
    page = console.open("Proof")
    kept = {"user": console.user, "position": 4, "other": "e" * 64}
    check(page, KEPT[form].format(hash=history[3]["hash"], **kept))
    result(page, "All 5 events fit.", "What you kept is in it, at position 4.")
    check(page, KEPT[form].format(hash=history[2]["hash"], **kept))
    result(page, "Position 4 does not fit.", "the history was rewritten")


def test_an_end_that_was_cut_shows_in_what_was_kept(console: Console, history: list[dict[str, str]]) -> None:
    page = console.open("Proof")
    check(page, f"Tasklog-Position: 7\nTasklog-Hash: {history[4]['hash']}")
    result(page, "Position 6 does not fit.", "the end was cut")


HASHED = """async ([path, texts]) => {
    const { sha256 } = await import(path);
    return texts.map(sha256);
}"""
CONFIRMED = """async ([path, user, events]) => {
    const { Chain } = await import(path);
    const chain = new Chain(user, new Map());
    const fault = chain.feed(events);
    await chain.confirm();
    crypto.subtle.digest = async () => new ArrayBuffer(32);
    return [fault, await chain.confirm().catch(({ message }) => message)];
}"""


def module(page: Page, name: str) -> str:
    """Return the path of one of the page's modules."""
    path: str = page.locator("script[src$='app.js']").get_attribute("src") or ""
    return path.replace("app.js", name)


def test_the_page_computes_sha256(console: Console) -> None:
    texts = ["a" * length for length in range(260)] + ["Käse & “Brot” 🙂" * 9, "€" * 5_000, "b" * 70_000, "short again"]
    page = console.open("Proof")
    hashed = page.evaluate(HASHED, [module(page, "sha256.js"), texts])
    assert hashed == [hashlib.sha256(text.encode()).hexdigest() for text in texts]


def test_webcrypto_confirms_what_the_page_computes(console: Console, api: Api, history: list[dict[str, str]]) -> None:
    events = api.client.get(f"{api.root}/events").json()["events"]
    page = console.open("Proof")
    fault, refused = page.evaluate(CONFIRMED, [module(page, "chain.js"), console.user, events])
    assert fault is None
    assert refused == f"This browser's WebCrypto computes another hash at position {len(history)}."


def test_what_has_no_position_and_hash_is_no_receipt(console: Console, history: list[dict[str, str]]) -> None:
    page = console.open("Proof")
    check(page, "Tasklog-Position: 7")
    result(page, "There is no position with its hash")


_OF_USER = "WHERE user_id = $1"
_DIGEST = "sha256(convert_to(metadata::text || chr(10) || data::text, 'UTF8'))"
_TEXTLESS = "data = NULL, metadata = NULL"
TAMPERED = {
    "another text": (
        f"""UPDATE tasklog.events SET data = '{{"title":"Buy gin"}}' {_OF_USER} AND position = 2""",
        "Position 2 does not fit. The first one that does not: the event does not match its hash.",
    ),
    "another time": (
        f"UPDATE tasklog.events SET recorded_at = recorded_at + '1 us' {_OF_USER} AND position = 4",
        "Position 4 does not fit. The first one that does not: the event does not match its hash.",
    ),
    "an event taken out": (
        f"DELETE FROM tasklog.events {_OF_USER} AND position = 3",
        "Position 3 does not fit. The first one that does not: the event is missing.",
    ),
    "the end cut": (
        f"DELETE FROM tasklog.events {_OF_USER} AND position = 5",
        "Position 5 does not fit. The first one that does not: the events end at 4, and the head is 5.",
    ),
    "another head": (
        f"UPDATE tasklog.streams SET hash = sha256('x') {_OF_USER}",
        "Position 5 does not fit. The first one that does not: the head has another hash.",
    ),
    "text taken out": (
        f"UPDATE tasklog.events SET erased_digest = {_DIGEST}, {_TEXTLESS} {_OF_USER} AND position = 3",
        "Position 3 does not fit. The first one that does not: its text was removed, and no erasure says so.",
    ),
}


@pytest.mark.parametrize("how", TAMPERED)
def test_the_first_position_that_does_not_fit_is_named(
    console: Console, history: list[dict[str, str]], how: str
) -> None:
    change, said = TAMPERED[how]
    console.execute(change, console.user)
    page = console.open("Proof")
    check(page)
    result(page, *said.split(". "))
    console.expect_errors("ERR_INCOMPLETE_CHUNKED_ENCODING")  # with another head, the stream of changes is cut
