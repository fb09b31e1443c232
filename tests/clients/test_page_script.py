"""`/raydo.js` in a real browser, on a page of another origin than the server's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from starlette.responses import HTMLResponse
from starlette.types import Receive, Scope, Send
from support.browser import Page, browsing
from support.npm import serving
from support.sent import SQL, decoded

if TYPE_CHECKING:
    from conftest import Keyed

pytestmark = pytest.mark.slow
WAIT_S = 20.0


class Site:
    """A web site, every address of which has the script."""

    def __init__(self) -> None:
        self.script = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        page = HTMLResponse(f"<!doctype html><title>{scope['path']}</title>{self.script}")
        await page(scope, receive, send)


class Shop:
    """A tenant's site, and what the tenant has of it."""

    def __init__(self, keyed: Keyed, url: str, key: str) -> None:
        self.url = url
        self._keyed = keyed
        self._key = key

    async def events(self, count: int) -> list[dict[str, Any]]:
        """Wait until there are as many, and give them all."""
        deadline = time.monotonic() + WAIT_S
        while True:
            reply = await self._keyed.ask("POST", "/query", self._key, json={"sql": SQL})
            rows = decoded(reply.json()["rows"])
            if len(rows) >= count or time.monotonic() > deadline:
                return rows
            await asyncio.sleep(0.05)


@asynccontextmanager
async def shop(keyed: Keyed) -> AsyncIterator[Shop]:
    site = Site()
    async with serving(keyed.app) as host, serving(site) as address:
        url = f"http://localhost:{address.rpartition(':')[2]}"
        key = await keyed.key("write")
        site.script = f'<script defer src="http://{host}/raydo.js" data-key="{key}"></script>'
        await keyed.ask("PATCH", "/settings", await keyed.key("admin"), json={"origins": [url]})
        yield Shop(keyed, url, await keyed.key("read"))


async def test_a_visit_is_seen_whole_and_once(keyed: Keyed, tmp_path: Path) -> None:
    async with shop(keyed) as acme, browsing(tmp_path) as page:
        await page.go(f"{acme.url}/one?utm_source=news")
        await acme.events(1)
        await page.run("history.pushState({}, '', '/two'); 0")
        await acme.events(2)
        await page.run("raydo.track('Signup', {plan: 'pro'}); raydo.identify('u42', {seats: 2})")
        await acme.events(4)
        # Nothing but the beacon can bring this one, since the page is gone before a request ends.
        await page.run("window.fetch = () => new Promise(() => {}); raydo.track('Last', {})")
        await page.go("about:blank")
        await acme.events(5)
        await page.go(f"{acme.url}/three")  # where what was stored is sent again
        await acme.events(6)
        await _offline(page, offline=True)
        await page.run("raydo.track('Offline', {})")
        await asyncio.sleep(0.5)  # for the attempt that fails
        await _offline(page, offline=False)
        events = await acme.events(7)

    first, second, signup, identify, last, third, offline = events
    assert [event["event"] for event in events] == [
        "PageView", "PageView", "Signup", "$identify", "Last", "PageView", "Offline",
    ]  # fmt: skip
    assert first["properties"] == {
        "page": "/one", "url": f"{acme.url}/one?utm_source=news", "title": "/one",
        "referrer": "", "utm_source": "news",
    }  # fmt: skip
    assert second["properties"]["page"] == "/two"
    assert second["properties"]["referrer"] == first["properties"]["url"]
    assert signup["properties"] == {"plan": "pro"}
    assert identify["properties"] == {"traits": {"seats": 2}}
    assert len({event["anonymous_id"] for event in events}) == 1
    assert [event["user_id"] for event in (identify, last, third, offline)] == ["u42"] * 4
    assert signup["user_id"] == signup["anonymous_id"]
    assert all("Chrome" in event["context"]["userAgent"] for event in events)


async def test_where_the_browser_asks_for_privacy_nothing_is_stored_and_nothing_sent(
    keyed: Keyed, tmp_path: Path
) -> None:
    async with shop(keyed) as acme, browsing(tmp_path) as page:
        for wish in ("globalPrivacyControl', {value: true}", "doNotTrack', {value: '1'}"):
            await page.call("Page.enable")
            script = await page.call(
                "Page.addScriptToEvaluateOnNewDocument",
                source=f"Object.defineProperty(navigator, '{wish})",
            )
            await page.go(f"{acme.url}/quiet")
            await page.run("raydo.track('a'); raydo.identify('u'); raydo.page(); raydo.flush()")
            await asyncio.sleep(0.6)  # past the linger
            assert await page.run("localStorage.length") == 0
            await page.call(
                "Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"]
            )
        await page.go(f"{acme.url}/loud")
        events = await acme.events(1)
    assert [event["properties"]["page"] for event in events] == ["/loud"]


async def _offline(page: Page, *, offline: bool) -> None:
    await page.call(
        "Network.emulateNetworkConditions",
        offline=offline, latency=0, downloadThroughput=-1, uploadThroughput=-1,
    )  # fmt: skip
