"""Carry what objects have told others: after the gate, in order, again until it has arrived.

A letter that may have arrived goes again under its number, which its receiver applies once. What
keeps a receiver from answering is waited for; a call of it that raises is logged and counts as
arrived, like a client's cast that failed. Whoever waits for an object that is away may sleep.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice
from typing import TYPE_CHECKING

from raydo.pipelining.errors import (
    InvalidTenant,
    RaydoError,
    StorageFull,
    TooLarge,
    Unavailable,
    decode_error,
)
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
    FRAME_FILL_BYTES,
    FRAMES_IN_FLIGHT_MAX,
    LETTER_AWAY_S,
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
        self._away: set[Noun] = set()  # objects that have not answered for some time
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._bags

    @property
    def busy(self) -> bool:
        """Whether anything is under way but what only waits for somebody who is away."""
        return len(self._bags) > len(self._away)

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
        try:
            while bag:
                if count := await self._deliver(to, _envelope(bag)):
                    self._away.discard(to)
                    n = [bag.popleft() for _ in range(count)][-1].n
                    await self._arrived(to, n)
                    pause_s = LETTER_RETRY_FIRST_S
                    continue
                if pause_s >= LETTER_AWAY_S:
                    self._away.add(to)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LETTER_RETRY_MAX_S)
        except RaydoError as error:  # its own activation is gone; the next one sends them again
            _log.warning("%s cannot note what %s was told: %s", self._sender, to, error)
        finally:
            self._away.discard(to)
            self._bags.pop(to, None)

    async def _deliver(self, to: Noun, letters: list[Letter]) -> int:
        """Send letters once; return how many of them are settled.

        What keeps them from the object is waited for, be it a machine, a disk or a class that its
        host does not know yet. Only what can never be taken is lost.
        """
        acked_to = letters[0].n - 1
        entries = [Entry(each.session, each.n, acked_to, each.program) for each in letters]
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                answers = decode_answers(await self._transport.send(to, encode_envelope(entries)))
            settled = 0
            for answer in answers:
                if not self._settled(to, answer):
                    break
                settled += 1
        except (InvalidTenant, TooLarge) as error:
            self._lost(to, error)
            return 1
        except Unavailable as error:
            _log.debug("%s will tell %s again: %s", self._sender, to, error)
            return 0
        except Exception as error:  # noqa: BLE001 - they are on disk, and go again
            _log.warning("%s will tell %s again: %r", self._sender, to, error)
            return 0
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


def _envelope(bag: deque[Letter]) -> list[Letter]:
    """Take as many letters as one envelope holds, one at least."""
    letters: list[Letter] = []
    size = 0
    for letter in islice(bag, FRAMES_IN_FLIGHT_MAX):
        size += len(letter.program)
        if letters and size > FRAME_FILL_BYTES:
            break
        letters.append(letter)
    return letters
