"""`./run picture`: the README's picture, docs/console.png, of the demo's timeline in a real Chromium."""

from __future__ import annotations

import asyncio
import tempfile
from datetime import date
from pathlib import Path
from typing import Final

from playwright.sync_api import expect
from pydantic import SecretStr

from audit.demo import demo
from audit.import_ import import_
from runtime.database import open_database
from runtime.settings import Settings
from tests.browser import chromium
from tests.servers import Database, RunningService, eventually, running_service, started_servers, token

PICTURE: Final = Path(__file__).parents[2] / "docs" / "console.png"
UNTIL: Final = date(2026, 11, 28)

_USER: Final = "alice"
_SIZE: Final = {"width": 960, "height": 560}
_SHOWN: Final = 0.8
"""How far along the line the slider stands."""


def main() -> None:
    """Start everything on the demo's ledger, and write the picture."""
    with (
        tempfile.TemporaryDirectory(prefix="t", dir="/tmp") as directory,
        started_servers(Path(directory)) as servers,
        servers.migrated_template(),
        servers.cloned() as database,
        servers.emptied_redis() as redis,
    ):
        asyncio.run(_bring_in(database, Path(directory) / "demo.jsonl"))
        with running_service(database, redis, Path(directory) / "service.log") as service:
            _take(service)


async def _bring_in(database: Database, path: Path) -> None:
    demo(1, UNTIL).write(path)
    settings = Settings(_env_file=None, database_url=SecretStr(database.owner)).model_copy(
        update={"allow_superuser": True}
    )
    async with open_database(settings, "owner") as opened:
        await import_(opened, path)


def _take(service: RunningService) -> None:
    with chromium("the picture") as browser:
        page = browser.new_page(viewport=_SIZE, locale="en-GB", timezone_id="UTC", color_scheme="light")  # type: ignore[arg-type]
        page.goto(f"{service.url}/console#token={token(_USER)}")
        page.get_by_role("link", name="Time", exact=True).click()
        slider = page.get_by_role("slider", name="Position")
        eventually(lambda: int(slider.get_attribute("max") or 0) > 1)
        last = int(slider.get_attribute("max") or 0)
        expect(page.get_by_text(f"{last} of {last}")).to_be_visible()
        slider.fill(str(round(_SHOWN * last)))
        expect(page.get_by_role("region", name="What happened there")).not_to_be_empty()
        page.screenshot(path=PICTURE)


if __name__ == "__main__":
    main()
