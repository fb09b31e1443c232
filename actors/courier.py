"""The transport inside a cluster: one line to each host, found by the directory, opened once.

It never sends anything twice. When a line breaks, whoever sent learns `ConnectionLost` and sends
the same numbered frames again; the next send asks the directory anew, because the object may live
in another process by then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from raydo.actors.line import Line
from raydo.pipelining.codec import pack
from raydo.pipelining.errors import NotConnected

if TYPE_CHECKING:
    from raydo.actors.directory import Directory
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import More, Transport


class Courier:
    """Carry envelopes to hosts by their sockets."""

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._lines: dict[Noun, asyncio.Task[Line]] = {}
        self._closed = False

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """See `Transport.send`."""
        line = await self._line(noun)
        return await line.request(pack([noun.cls, noun.id, envelope]), more)

    async def close(self) -> None:
        """Close every line; what is under way fails with `ConnectionLost`."""
        self._closed = True
        opening = list(self._lines.values())
        self._lines.clear()
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        await asyncio.gather(*(task.result().close() for task in opening if _opened(task)))

    async def _line(self, noun: Noun) -> Line:
        if self._closed:
            raise NotConnected("This connection is closed.")
        task = self._lines.get(noun)
        if task is None or _broken(task):
            task = self._lines[noun] = asyncio.create_task(self._open(noun))
            task.add_done_callback(_opened)
        # Shielded: senders share the line, and one that gives up must not take it from the rest.
        return await asyncio.shield(task)

    async def _open(self, noun: Noun) -> Line:
        return await Line.connect(await self._directory.find(noun))


def _broken(task: asyncio.Task[Line]) -> bool:
    return task.done() and not (_opened(task) and not task.result().lost.is_set())


def _opened(task: asyncio.Task[Line]) -> bool:
    """Tell whether the line was opened; looks at the error, so that none is reported as lost."""
    return not task.cancelled() and task.exception() is None


if TYPE_CHECKING:
    _conforms: type[Transport] = Courier
