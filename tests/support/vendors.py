"""Vendors' own clients as processes: theirs is the code, ours the address and the key."""

from __future__ import annotations

import asyncio
import fcntl
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from support.npm import CLIENTS, missing, node

PYTHON = ("segment", "segment-gzip", "rudder", "posthog", "posthog-v1", "mixpanel")
NODE = "segment-node"
WAIT_S = 60.0

# What a round of each client's is, beside its twenty events.
SIGNUPS = {f"{number}" for number in range(20)}
EVERY = {"identify": "$identify", "group": "$group"}
PAGES = {"page": "PageView"}
SCREENS = {"screen": "ScreenView"}
ALIASES = {"old": "$alias"}
KINDS = {
    "segment": EVERY | PAGES | SCREENS | ALIASES,
    "segment-gzip": EVERY | PAGES | SCREENS | ALIASES,
    NODE: EVERY | PAGES | SCREENS | ALIASES,
    "rudder": EVERY | PAGES | ALIASES,
    "posthog": EVERY | PAGES | ALIASES,
    "posthog-v1": EVERY | PAGES | ALIASES,
    "mixpanel": EVERY,
}


def expected(client: str, *rounds: str) -> dict[str, str]:
    """Name every event that a client's rounds are to bring, by the mark that it carries."""
    one = dict.fromkeys(SIGNUPS, "Signup") | KINDS[client]
    return {f"{this}-{mark}": event for this in rounds for mark, event in one.items()}


def python() -> Path:
    """Find the clients' own environment, and make it as the pinned requirements have it."""
    home = CLIENTS / ".venv"
    found = home / "bin" / "python"
    pinned = CLIENTS / "requirements.txt"
    stamp = home / ".installed"
    with pinned.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may get here at once
        if not stamp.exists() or stamp.stat().st_mtime < pinned.stat().st_mtime:
            for command in _install(home, found, pinned):
                done = subprocess.run(
                    command, capture_output=True, text=True, check=False, timeout=300
                )
                if done.returncode:
                    missing(f"the vendors' clients cannot be installed: {done.stderr[-500:]}")
            stamp.touch()
    return found


def _install(home: Path, found: Path, pinned: Path) -> list[list[str]]:
    uv = shutil.which("uv")
    if uv is not None:
        return [
            [uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, str(home)],
            [
                uv,
                "pip",
                "install",
                "--quiet",
                "--require-hashes",
                "--python",
                str(found),
                "-r",
                str(pinned),
            ],
        ]
    return [
        [sys.executable, "-m", "venv", str(home)],
        [str(found), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(pinned)],
    ]  # fmt: skip


class Client:
    """One client that runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def send(self, this: str) -> None:
        """Let it send a round's events, and make sure that it believes them taken."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{this}\n".encode())
        async with asyncio.timeout(WAIT_S):
            said = (await self._process.stdout.readline()).decode().strip()
        assert said == "sent", said


@asynccontextmanager
async def running(client: str, address: str, key: str) -> AsyncIterator[Client]:
    """Start a client, and end it."""
    if client == NODE:
        command = [node(), str(CLIENTS / "vendors.mjs")]
    else:
        found = await asyncio.to_thread(python)
        command = [str(found), str(CLIENTS / "vendors.py"), client]
    process = await asyncio.create_subprocess_exec(
        *command, address, key,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Client(process)
    finally:
        process.kill()
        await process.wait()
