"""Carry what objects have told others: after the gate, in order, again until it has arrived.

A letter that may have arrived goes again under its number, which its receiver applies once. What
keeps a receiver from answering for now is waited for; what it refuses for good is logged and counts
as arrived, like a client's cast that failed.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from raydo.pipelining.errors import RaydoError, StorageFull, Unavailable, decode_error
from raydo.pipelining.frame import (
    APPLIED,
    GAP,
    Answer,
    Entry,
    Reply,
    decode_answers,
    encode_envelope,
)
from raydo.pipelining.limits import (
    CALL_TIMEOUT_S,
    FRAMES_IN_FLIGHT_MAX,
    LETTER_RETRY_FIRST_S,
    LETTER_RETRY_MAX_S,
)

if TYPE_CHECKING:
    from raydo.actors.outgoing import Letter
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import Transport

_log = logging.getLogger("raydo")

Arrived = Callable[["Noun", int], Awaitable[None]]
"""Note that an object has all letters up to a number."""


class Post:
    """Carry one activation's letters, to each object on its own."""

    def __init__(self, sender: Noun, transport: Transport, arrived: Arrived) -> None:
        self._sender = sender
        self._transport = transport
        self._arrived = arrived
        self._bags: dict[Noun, deque[Letter]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._bags

    def send(self, letters: list[Letter]) -> None:
        """Carry letters, behind those that were given before."""
        for letter in letters:
            bag = self._bags.get(letter.to)
            if bag is None:
                bag = self._bags[letter.to] = deque()
                task = asyncio.create_task(self._empty(letter.to, bag))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            bag.append(letter)

    async def finish(self) -> None:
        """Return when everything that is under way now has arrived."""
        if self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """Carry nothing more; what has not arrived is on disk."""
        for task in self._tasks:
            task.cancel()
        self._bags.clear()

    async def _empty(self, to: Noun, bag: deque[Letter]) -> None:
        pause_s = LETTER_RETRY_FIRST_S
        while bag:
            count = await self._deliver(to, [*bag][:FRAMES_IN_FLIGHT_MAX])
            if count:
                n = [bag.popleft() for _ in range(count)][-1].n
                await self._arrived(to, n)
                pause_s = LETTER_RETRY_FIRST_S
            else:
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LETTER_RETRY_MAX_S)
        del self._bags[to]

    async def _deliver(self, to: Noun, letters: list[Letter]) -> int:
        """Send letters once; return how many of them are settled."""
        acked_to = letters[0].n - 1
        entries = [Entry(each.session, each.n, acked_to, each.program) for each in letters]
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answers = decode_answers(await self._transport.send(to, encode_envelope(entries)))
        except (TimeoutError, Unavailable) as error:
            _log.debug("%s will tell %s again: %s", self._sender, to, error)
            return 0
        except RaydoError as error:
            self._lost(to, error)
            return len(letters)
        settled = 0
        for answer in answers:
            if not self._settled(to, answer):
                break
            settled += 1
        return settled

    def _settled(self, to: Noun, answer: Answer) -> bool:
        if answer.status == GAP:
            return False
        if answer.status == APPLIED and isinstance(answer.payload, bytes):
            failures = Reply.decode(answer.payload).failures
            errors = [decode_error(failure.error) for failure in failures]
            if any(isinstance(error, StorageFull) for error in errors):
                return False  # it refuses everything that has effects, so nothing was applied
            for error in errors:
                self._lost(to, error)
        return True

    def _lost(self, to: Noun, error: RaydoError) -> None:
        _log.error("%s refuses what %s tells it: %s", to, self._sender, error)
