"""The operators' page on the projector's admin port, in a real browser and as HTTP.

Seen to fail: without the statement of "try again", without the check of Origin, and without that of Host.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from runtime.version import VERSION
from tests.admin import Watched, watched
from tests.machine import go_without
from tests.servers import Servers, eventually

expect.set_options(timeout=20_000)

FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update")
FOR_LONG = "UPDATE tasklog.checkpoints SET attempts = 20, parked_until = now() + interval '5 min' WHERE user_id = $1"


@pytest.fixture(scope="module")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    with watched(servers, tmp_path_factory.mktemp("watched")) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium")
    if chromium is None:
        go_without("operators' page in a browser", "chromium is not installed")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """Yield a page; the test fails if the browser has anything to complain about, such as the policy."""
    with browser.new_context() as context:
        page, complaints = context.new_page(), []
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        yield page
        assert [text for text in complaints if "Failed to load resource" not in text] == []


def state(running: Watched) -> Any:
    return httpx.get(f"{running.projector}/state", timeout=20).raise_for_status().json()


@pytest.fixture
def parked(running: Watched, user: str) -> str:
    """Return a user that is parked for minutes, although the event could be projected now."""
    running.park(user)
    running.execute(FOR_LONG, user)
    running.mend(user)
    return user


def test_the_page_shows_a_parked_user_with_why_and_trying_again_helps(
    running: Watched, page: Page, parked: str
) -> None:
    page.goto(running.projector)
    row = page.get_by_role("row").filter(has_text=parked)
    expect(row).to_contain_text("position 1")
    expect(row).to_contain_text("task.renamed")
    row.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_text(f"{parked} is tried again within a second.")
    assert eventually(lambda: not running.is_parked(parked))
    expect(row).to_have_count(0)


def test_the_page_shows_lines_jobs_the_last_verification_and_versions(running: Watched, page: Page) -> None:
    env = {**running.service.projector._env, "DATABASE_URL": running.database.owner}
    subprocess.run(
        [sys.executable, "-m", "tasklog", "verify", "--background"], env=env, check=True, capture_output=True
    )

    def is_told() -> bool:
        found = state(running)
        services = {process["service"] for process in found["processes"]}
        return len(found["history"]) >= 2 and bool(found["verification"]) and services == {"gateway", "projector"}

    eventually(is_told)
    page.goto(running.projector)
    expect(page.get_by_role("status")).to_contain_text("Ready")
    lag = page.get_by_role("img", name="Lag: now")
    expect(lag.locator("polyline")).to_have_count(1)
    expect(page.get_by_role("img")).to_have_count(6)
    expect(page.get_by_role("row").filter(has_text="verify")).to_contain_text("done")
    expect(page.locator("#verified")).to_contain_text("faults in")
    for service in ("gateway", "projector"):
        expect(page.get_by_role("row").filter(has_text=service)).to_contain_text(VERSION)


def test_a_page_that_lost_its_projector_says_so(running: Watched, page: Page) -> None:
    page.route("**/state", lambda route: route.fulfill(status=503, json={"detail": "nobody"}))
    page.goto(running.projector)
    expect(page.get_by_role("status")).to_contain_text("The projector does not answer (nobody)")


def test_no_text_of_a_task_is_in_the_state(running: Watched, parked: str) -> None:
    def told() -> str:
        """Return the state when it names the parked user: the projector looks once in a while."""
        text = httpx.get(f"{running.projector}/state", timeout=20).raise_for_status().text
        users = [user["user_id"] for user in json.loads(text)["parked"]]
        return text if users.count(parked) == 1 else ""

    assert "secret" not in eventually(told)


def test_the_rates_of_all_processes_come_together(running: Watched, user: str) -> None:
    def requests() -> bool:
        running.service.client(user).get(f"/api/{user}/tasks")
        found = state(running)
        services = {process["service"]: process["requests"] or 0 for process in found["processes"]}
        return services.keys() == {"gateway", "projector"} and services["gateway"] > 0

    assert eventually(requests)


@pytest.mark.parametrize("path", ["/", "/state", "/page.js"])
def test_the_page_is_on_the_projector_s_admin_port_alone(running: Watched, path: str) -> None:
    assert httpx.get(running.projector + path).status_code == 200
    assert httpx.get(running.gateway + path).status_code == 404
    assert "Try again" not in httpx.get(running.service.url + path).text


def test_nothing_of_the_page_is_inline_or_from_elsewhere(running: Watched) -> None:
    answer = httpx.get(running.projector)
    policy = answer.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'")
    assert "unsafe" not in policy
    assert "http" not in answer.text.replace("<!doctype html>", "").replace("html lang", "")
    assert " style=" not in answer.text
    assert "<style" not in answer.text


def try_again(running: Watched, user: str, **headers: str) -> int:
    own = {"Origin": running.projector, "Content-Type": "application/json"}
    answer = httpx.post(f"{running.projector}/try-again", json={"user_id": user}, headers={**own, **headers})
    return answer.status_code


def test_only_the_page_itself_may_try_again(running: Watched, parked: str) -> None:
    port = urlsplit(running.projector).port
    for origin in ("http://evil.example", "null", "", f"http://127.0.0.1:{port}1"):
        assert try_again(running, parked, Origin=origin) == 403
    assert try_again(running, parked, **{"Content-Type": "text/plain"}) == 403
    rebound = f"evil.example:{port}"
    assert try_again(running, parked, Host=rebound, Origin=f"http://{rebound}") == 403
    assert running.is_parked(parked)
    assert try_again(running, parked) == 200
    assert eventually(lambda: not running.is_parked(parked))
    assert try_again(running, parked) == 404


def test_a_name_that_others_may_own_does_not_open_the_page(running: Watched) -> None:
    for host, status in (("evil.example", 403), ("[::1]:9101", 200), ("localhost:9101", 200), ("projector:9100", 200)):
        for path in ("/", "/state"):
            assert httpx.get(running.projector + path, headers={"Host": host}).status_code == status
        assert httpx.get(f"{running.projector}/ready", headers={"Host": host}).status_code == 200
