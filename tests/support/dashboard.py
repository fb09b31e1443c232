"""The dashboard, as somebody who looks at it uses it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support.browser import Page, browsing
from support.npm import serving

from raydo.gateway.demo import SHOPS, events

if TYPE_CHECKING:
    from conftest import Keyed

WAIT_S = 20.0
READY = "document.querySelector('#overview .tile-value') && !document.querySelector('.loading, .skeleton')"
SHOP = next(shop for shop in SHOPS if shop.id == "acme")


class Dashboard:
    """The dashboard, looked at by somebody."""

    def __init__(self, keyed: Keyed, page: Page, url: str) -> None:
        self.keyed = keyed
        self.page = page
        self.url = url

    async def open(self, path: str) -> None:
        await self.page.call("Page.navigate", url=f"{self.url}{path}")
        await self.until(
            f"location.href.startsWith({self.url!r}) && document.readyState == 'complete'"
        )

    async def sign_in(self, key: str) -> None:
        await self.until("document.querySelector('#key')")
        await self.page.run(f"document.querySelector('#key').value = {key!r}")
        await self.click(".sign-in .primary")

    async def until(self, script: str, within_s: float = WAIT_S) -> float:
        """Wait until something holds, and tell how long it took."""
        began = time.monotonic()
        while not await self.page.run(f"Boolean({script})"):
            assert time.monotonic() - began < within_s, script
            await asyncio.sleep(0.02)
        return time.monotonic() - began

    async def click(self, selector: str) -> None:
        await self.until(f"document.querySelector({selector!r})")
        await self.page.run(f"document.querySelector({selector!r}).click()")

    async def press(self, key: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.page.call("Input.dispatchKeyEvent", type=kind, key=key, text=key)

    async def text(self, selector: str) -> str:
        found: str = await self.page.run(f"document.querySelector({selector!r})?.innerText ?? ''")
        return found

    async def texts(self, selector: str) -> list[str]:
        found: list[str] = await self.page.run(
            f"[...document.querySelectorAll({selector!r})].map((each) => each.innerText)"
        )
        return found

    async def search(self) -> str:
        found: str = await self.page.run("location.search")
        return found

    async def ask(self, method: str, path: str, **request: Any) -> Any:
        key = await self.keyed.key("read")
        return (await self.keyed.ask(method, path, key, **request)).json()

    async def choose(self, selector: str, value: str) -> None:
        """Choose a value of a select."""
        await self.page.run(
            f"(() => {{ const field = document.querySelector({selector!r}); field.value = {value!r};"
            "field.dispatchEvent(new Event('change')); })()"
        )

    async def write(self, sql: str) -> None:
        """Write SQL, and run it."""
        await self.page.run(f"document.querySelector('#sql textarea').value = {json.dumps(sql)}")
        await self.click("#sql .primary")


@asynccontextmanager
async def dashboard(keyed: Keyed, home: Path, *, filled: bool = True) -> AsyncIterator[Dashboard]:
    if filled:
        items = list(events(SHOP, datetime.now(UTC)))
        await keyed.backend.analytics("acme").ingest(items, historical=True)
    async with serving(keyed.app) as host, browsing(home) as page:
        yield Dashboard(keyed, page, f"http://{host}")
        assert page.complaints == []


def days(count: int) -> str:
    """Say which days the latest are, as a query."""
    today = datetime.now(UTC).date()
    return f"from={today - timedelta(days=count - 1)}&to={today}"
