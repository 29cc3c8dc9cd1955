"""A real Chromium for tests, and pages that fail the test if something goes wrong in them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, sync_playwright

from tests.machine import go_without

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
QUEUED = """async (name) => {
    const of = (request) => new Promise((resolve) => (request.onsuccess = () => resolve(request.result)));
    const database = await of(indexedDB.open(name, 1));
    const number = await of(database.transaction("commands").objectStore("commands").count());
    database.close();
    return number;
}"""
"""Return how many commands a queue in IndexedDB has."""


@contextmanager
def chromium(what: str) -> Iterator[Browser]:
    """Run Chromium until the block ends. Without it, skip the test, or fail if the environment sets `CI`."""
    found = shutil.which("chromium")
    if found is None:
        go_without(what, "chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=list(FLAGS))
        yield browser
        browser.close()
