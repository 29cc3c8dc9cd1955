"""Somebody who has never seen the console: by roles and names alone, on a wide and on a narrow page, light and dark."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests import npm
from tests.console.conftest import Api, Console

AXE = Path(__file__).parent / "axe"
PICTURES = Path(__file__).parent / "screenshots"
FINDINGS = (
    """async () => (await axe.run()).violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html)}`)"""
)


def test_a_newcomer_does_all_of_it_without_help(console: Console, api: Api) -> None:
    page = console.open()
    for title in ("Buy milk", "Call Bob", "Water the plants"):
        page.get_by_role("textbox", name="Title").fill(title)
        page.get_by_role("button", name="Add").click()
    page.get_by_role("checkbox", name="Call Bob").check()
    page.get_by_role("checkbox", name="Buy milk").hover()
    page.get_by_role("button", name="Delete Buy milk").click()
    page.get_by_role("link", name="Time").click()
    expect(page.get_by_text("5 of 5")).to_be_visible()
    page.get_by_role("button", name="Back").click()
    page.get_by_role("button", name="Back").click()
    then = page.get_by_role("list", name="Tasks at this position")
    expect(then.get_by_role("button")).to_have_text(["Water the plants", "Call Bob", "Buy milk"])
    page.get_by_role("link", name="Tasks").click()
    page.get_by_text("Trash").click()
    page.get_by_role("button", name="Restore Buy milk").click()
    page.get_by_text("All", exact=True).click()
    expect(page.get_by_role("checkbox", name="Buy milk")).to_be_visible()
    page.get_by_role("link", name="Proof").click()
    page.get_by_role("button", name="Check it here").click()
    expect(page.get_by_text("All 6 events fit.")).to_be_visible()
    assert sorted(api.titles()) == ["Buy milk", "Call Bob", "Water the plants"]


Looks = tuple[Literal["light", "dark"], int]
LOOKS: list[Looks] = [("light", 1280), ("dark", 360)]


@pytest.fixture(params=LOOKS, ids=lambda looks: f"{looks[0]}-{looks[1]}")
def looks(request: pytest.FixtureRequest) -> Looks:
    wanted: Looks = request.param
    return wanted


@pytest.fixture
def context(browser: Browser, looks: Looks) -> Iterator[BrowserContext]:
    scheme, width = looks
    viewport = {"width": width, "height": 800}
    with browser.new_context(color_scheme=scheme, viewport=viewport, bypass_csp=True, locale="en-GB") as context:  # type: ignore[arg-type]
        yield context


def test_every_view_is_accessible_and_as_wide_as_the_page(console: Console, api: Api, looks: Looks) -> None:
    npm.install(AXE, "axe-core")
    milk = api.add("Buy milk", tags=["food"], priority="urgent", due_date="2000-01-01", description="Two litres")
    api.add("Write a very long title about internationalization and standardization " * 2, category="Work")
    api.edit(milk, title="Buy oat milk")
    api.toggle(milk)
    api.delete(api.add("Buy wine"))
    page = console.open()
    page.add_script_tag(path=str(AXE / "node_modules" / "axe-core" / "axe.min.js"))
    expect(page.get_by_role("checkbox", name="Buy oat milk")).to_be_visible()
    seen(page, "tasks", looks)
    page.get_by_role("button", name="Edit Buy oat milk").click()
    seen(page, "edit", looks)
    page.get_by_text("Trash").click()
    expect(page.get_by_role("button", name="Restore Buy wine")).to_be_visible()
    seen(page, "trash", looks)
    page.get_by_role("link", name="Time").click()
    page.get_by_role("list", name="Tasks at this position").get_by_role("button", name="Buy oat milk").click()
    seen(page, "time", looks)
    page.get_by_role("link", name="Proof").click()
    page.get_by_role("button", name="Check it here").click()
    expect(page.get_by_text("All 6 events fit.")).to_be_visible()
    seen(page, "proof", looks)
    page.get_by_role("link", name="Step through").click()
    expect(page.get_by_role("region", name="Row")).to_be_visible()
    seen(page, "step", looks)


def test_signing_in_is_accessible_too(console: Console, looks: Looks) -> None:
    npm.install(AXE, "axe-core")
    page = console.page()
    page.goto(console.url + "/console")
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.add_script_tag(path=str(AXE / "node_modules" / "axe-core" / "axe.min.js"))
    seen(page, "sign-in", looks)


def seen(page: Page, name: str, looks: Looks) -> None:
    """Check a view for people with a screen reader, and for a narrow page; keep a picture of it, for eyes."""
    page.screenshot(path=PICTURES / f"{name}-{looks[0]}-{looks[1]}.png", full_page=True)
    assert page.evaluate(FINDINGS) == [], name
    assert page.evaluate("() => document.documentElement.scrollWidth") <= looks[1], name
