"""The transport inside a cluster: one line to each host, opened once, and where each object lives.

It sends nothing twice that may have arrived. When a line breaks, whoever sent learns
`ConnectionLost` and sends the same numbered frames again; the next send asks the directory anew,
because the object lives in another process by then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.line import Line
from raydo.pipelining.codec import pack
from raydo.pipelining.errors import ConnectionLost, Moved, NotConnected
from raydo.pipelining.limits import HOMES_MAX

if TYPE_CHECKING:
    from raydo.actors.address import Address
    from raydo.actors.finder import Finder
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import More, Transport


# Between a host that let go of an object and a directory that has heard of it lie milliseconds.
MOVED_PAUSES_S: Final = (0.0, 0.005, 0.02, 0.05, 0.1)


class Courier:
    """Carry envelopes to hosts by their sockets, on this machine and on others."""

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self._homes: dict[Noun, asyncio.Task[Address]] = {}
        self._lines: dict[Address, asyncio.Task[Line]] = {}
        self._closed = False

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """See `Transport.send`."""
        payload = pack([noun.cls, noun.id, envelope])
        for pause_s in MOVED_PAUSES_S:
            home = await self._home(noun)
            try:
                return await (await self._line(home)).request(payload, more)
            except Moved:
                self._homes.pop(noun, None)  # nothing was applied, so asking elsewhere is safe
                await asyncio.sleep(pause_s)
            except ConnectionLost:
                self._homes.pop(noun, None)
                raise
        raise ConnectionLost(f"{noun} is moving; send the same again.")

    async def close(self) -> None:
        """Close every line; what is under way fails with `ConnectionLost`."""
        self._closed = True
        opening: list[asyncio.Task[Any]] = [*self._lines.values(), *self._homes.values()]
        lines = list(self._lines.values())
        self._lines.clear()
        self._homes.clear()
        for task in opening:
            task.cancel()
        if opening:
            await asyncio.wait(opening)
        await asyncio.gather(*(task.result().close() for task in lines if _succeeded(task)))

    async def _home(self, noun: Noun) -> Address:
        """Find where the object lives, once for all who ask together."""
        if self._closed:
            raise NotConnected("This connection is closed.")
        task = self._homes.get(noun)
        if task is None or (task.done() and not _succeeded(task)):
            task = self._homes[noun] = asyncio.create_task(self._finder.find(noun))
            task.add_done_callback(_succeeded)
            while len(self._homes) > HOMES_MAX:
                del self._homes[next(iter(self._homes))]
        # Shielded: senders share the task, and one that gives up must not take it from the rest.
        return await asyncio.shield(task)

    async def _line(self, address: Address) -> Line:
        """Open the line to a host, once; one that broke is not opened again.

        Raises:
            Moved: the host is gone, and nothing was sent.
        """
        task = self._lines.get(address)
        if task is None:
            task = self._lines[address] = asyncio.create_task(Line.connect(address))
            task.add_done_callback(_succeeded)
        try:
            line = await asyncio.shield(task)
        except ConnectionLost as error:
            self._drop(address, task)
            raise Moved(error.message) from None
        if line.lost.is_set():
            self._drop(address, task)
            raise Moved("The host is gone.")
        return line

    def _drop(self, address: Address, task: asyncio.Task[Line]) -> None:
        if self._lines.get(address) is task:
            del self._lines[address]


def _succeeded(task: asyncio.Task[Any]) -> bool:
    """Tell whether a task has a result; looks at its error, so that none is reported as lost."""
    return task.done() and not task.cancelled() and task.exception() is None


if TYPE_CHECKING:
    _conforms: type[Transport] = Courier
