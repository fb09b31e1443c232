"""What the directory and the hosts have in common: Ray actors that others reach by a socket.

Ray makes them and asks where they listen; everything else goes by the socket. Nothing may fail in
a constructor, since Ray reports an actor whose constructor raised as dead for good; so an actor
opens with the first call of `where`, and tries again with the next one when that failed.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raydo.actors.listener import Listener
from raydo.actors.place import socket_folder

if TYPE_CHECKING:
    from raydo.actors.settings import Settings
    from raydo.pipelining.transport import More


class Actor:
    """Open once, answer at a socket, and keep tasks of its own."""

    def __init__(self, settings: Settings, paths: tuple[str, ...]) -> None:
        self._settings = settings
        self._paths = paths  # where the modules of objects are found
        self._opening: asyncio.Task[Path] | None = None
        self._listener: Listener | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    async def where(self) -> str:
        """Open on the first call, and say at which socket requests are taken."""
        if self._opening is None or (self._opening.done() and self._opening.exception()):
            self._opening = asyncio.create_task(self._open())
        return str(await asyncio.shield(self._opening))

    async def health(self) -> bool:
        """Answer while the event loop turns; a tenant's turn runs elsewhere."""
        return True

    async def _open(self) -> Path:
        """Begin, and return where requests are taken."""
        raise NotImplementedError

    async def _run(self, payload: bytes, more: More) -> bytes:
        """Do what a request asks for, and answer."""
        raise NotImplementedError

    async def _listen(self, kind: str = "") -> Path:
        """Take requests at a socket that no other process had before."""
        logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
        name = f"{kind}{os.getpid()}-{secrets.token_hex(4)}"
        self._listener = Listener(socket_folder(self._settings.data) / name, self._run)
        await self._listener.open()
        return self._listener.path

    def _task(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on beside the requests."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
