"""Programs made elsewhere, carried to their objects: numbered, retried, each applied once.

All Cap'n Web sessions of one object share one session of frames: a batch of its own for every
request would be one more session for the object to remember. What waits while envelopes are under
way travels together in the next.
"""

from __future__ import annotations

import asyncio
import os
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING

from raydo.pipelining.delivery import Sender
from raydo.pipelining.errors import Overloaded, UnknownObject
from raydo.pipelining.frame import SESSION_BYTES, Reply
from raydo.pipelining.limits import BATCHES_MAX, CALL_TIMEOUT_S, QUEUE_BYTES_MAX
from raydo.pipelining.method import methods_of
from raydo.pipelining.noun import Noun
from raydo.pipelining.outbox import Outbox
from raydo.pipelining.outgoing_frame import Frame
from raydo.pipelining.stub import registered
from raydo.pipelining.transport import More, Transport

Deliver = Callable[[Noun, bytes], Awaitable[bytes]]


class Programs:
    """Run programs; lives in one event loop."""

    def __init__(self, deliver: Deliver, timeout_s: float = CALL_TIMEOUT_S) -> None:
        self.outbox = Outbox(timeout_s=timeout_s, patient=False)
        self._transport = _Through(deliver)
        self._lanes: OrderedDict[tuple[Noun, str], _Lane] = OrderedDict()  # the latest used last

    def start(self, noun: Noun, program: bytes, by: str = "") -> asyncio.Future[Reply]:
        """Queue a program behind those that one caller has started before for the same object.

        Nobody waiting any more (the future cancelled) ends its retries.

        Raises:
            Overloaded: too much waits for this object.
        """
        lane = self._lanes.get((noun, by))
        if lane is None:
            self._retire_idle()
            lane = self._lanes[noun, by] = _Lane(noun, self._transport, self.outbox, by)
        self._lanes.move_to_end((noun, by))
        return lane.start(program)

    def _retire_idle(self) -> None:
        if len(self._lanes) >= BATCHES_MAX:
            for key in [key for key, lane in self._lanes.items() if lane.idle]:
                del self._lanes[key]


class _Lane:
    """The way to one object."""

    def __init__(self, noun: Noun, transport: Transport, outbox: Outbox, by: str) -> None:
        session = os.urandom(SESSION_BYTES)
        self._cls = noun.cls
        self._sender = Sender(noun, transport, outbox, session, self._move, by=by)
        self._waiting: deque[Frame] = deque()
        self._bytes = 0

    @property
    def idle(self) -> bool:
        return not self._waiting and self._sender.idle

    def start(self, program: bytes) -> asyncio.Future[Reply]:
        if self._bytes + len(program) > QUEUE_BYTES_MAX:
            raise Overloaded("Too much waits for this object; call again in a moment.")
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self._bytes += len(program)
        settle = partial(self._settle, future, len(program))
        aside = _may_go_aside(self._cls, program)
        self._waiting.append(Frame(program, settle, lambda: not future.done(), aside=aside))
        self._move()
        return future

    def _move(self) -> None:
        while self._waiting and self._sender.has_room:
            self._sender.add(self._waiting.popleft())
        self._sender.pump()

    def _settle(self, future: asyncio.Future[Reply], size: int, outcome: Reply | Exception) -> None:
        self._bytes -= size
        if future.done():
            return
        if isinstance(outcome, Reply):
            future.set_result(outcome)
        else:
            future.set_exception(outcome)


class _Through:
    """Send envelopes through a function."""

    def __init__(self, deliver: Deliver) -> None:
        self._deliver = deliver

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """Deliver one envelope; nothing follows its answer.

        Raises:
            RaydoError: as the function.
        """
        del more
        return await self._deliver(noun, envelope)

    async def close(self) -> None: ...


if TYPE_CHECKING:
    _conforms: Transport = _Through(lambda _noun, _envelope: NotImplemented)


def _may_go_aside(cls: str, program: bytes) -> bool:
    """Tell whether a program may hold a call that takes long; at worst it travels alone for nothing."""
    return any(name in program for name in _names_aside(cls))


@lru_cache(256)
def _names_aside(cls: str) -> tuple[bytes, ...]:
    try:
        methods = methods_of(registered(cls))
    except UnknownObject:
        return ()
    return tuple(name.encode() for name, method in methods.items() if method.aside)
