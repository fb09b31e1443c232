"""A real browser, driven by the protocol that its own developer tools speak."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from support.npm import missing
from websockets.asyncio.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
START_S = 30.0
CALL_S = 20.0


class Page:
    """One page of the browser."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: str | None = None
        self.complaints: list[str] = []  # errors and warnings of the console, and what was thrown

    async def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the protocol, and give its result."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        await self._socket.send(json.dumps(message))
        async with asyncio.timeout(CALL_S):
            while True:
                said = json.loads(await self._socket.recv())
                self._note(said)
                if said.get("id") == number:
                    assert "error" not in said, said
                    result: dict[str, Any] = said["result"]
                    return result

    def _note(self, said: dict[str, Any]) -> None:
        params = said.get("params", {})
        match said.get("method"):
            case "Runtime.exceptionThrown":
                details = params["exceptionDetails"]
                self.complaints.append(
                    details.get("exception", {}).get("description", str(details))
                )
            case "Runtime.consoleAPICalled" if params["type"] in {"error", "warning", "assert"}:
                self.complaints.append(json.dumps(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in {"error", "warning"}:
                entry = params["entry"]
                self.complaints.append(f"{entry['text']} {entry.get('url', '')}")

    async def open(self) -> None:
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            await self.call(f"{domain}.enable")

    async def go(self, url: str) -> None:
        """Go to an address, and wait until the page is there with its scripts."""
        await self.call("Page.navigate", url=url)
        while await self.run("document.readyState + location.href") != f"complete{url}":  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    async def run(self, script: str) -> Any:
        """Run a script in the page, and give its value."""
        done = await self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in done, done
        return done["result"].get("value")


@asynccontextmanager
async def browsing(home: Path) -> AsyncIterator[Page]:
    """Start a browser with nothing remembered, give a page of it, and end it."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None:
        missing("no Chromium is installed")
    process = await asyncio.create_subprocess_exec(
        str(found), "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
        "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={home}", "about:blank",
        stderr=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        async with connect(await _address(process), max_size=None, proxy=None) as socket:
            page = Page(socket)
            await page.open()
            yield page
            await socket.send(json.dumps({"id": 0, "method": "Browser.close"}))
            async with asyncio.timeout(CALL_S):
                await process.wait()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stderr is not None
    async with asyncio.timeout(START_S):
        async for line in process.stderr:
            if told := re.search(rb"DevTools listening on (ws://\S+)", line):
                return told[1].decode()
    raise AssertionError("the browser did not start")
