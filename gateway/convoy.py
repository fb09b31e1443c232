"""What clients of frames send: one envelope, or several that travel together.

Of those each is delivered as soon as what it needs of the others is here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

from raydo.gateway.endpoint import internal
from raydo.pipelining.errors import ConnectionLost, InvalidArgument, RaydoError
from raydo.pipelining.frame import Outcome
from raydo.pipelining.limits import CONVOY_BYTES_MAX
from raydo.pipelining.links import Convoy, Link, encode_results, linked, read_convoy, values_of
from raydo.pipelining.noun import Noun, noun

Deliver = Callable[[Noun, bytes], Awaitable[bytes]]

_log = logging.getLogger("raydo.gateway")


async def deliver_addressed(message: Any, deliver: Deliver) -> bytes:
    """Deliver what a client of frames sent: one envelope, or a convoy; give the encoded answer.

    Raises:
        InvalidArgument, InvalidTenant, TooLarge: it is neither. RaydoError: from `deliver`.
    """
    match message:
        case [str(cls), str(tenant), bytes(envelope)]:
            return await deliver(noun(cls, tenant), envelope)
        case [list(members), list(links)]:
            return await _deliver_convoy(read_convoy(members, links), deliver)
    raise InvalidArgument(
        "This is msgpack neither of [class, tenant, envelope] nor of [members, links]."
    )


async def _deliver_convoy(convoy: Convoy, deliver: Deliver) -> bytes:
    """Deliver the members, those that need nothing at once, and give the encoded answer."""
    return encode_results(await _Delivery(convoy, deliver).run())


class _Delivery:
    """One convoy under way, and how many bytes it may still hold."""

    def __init__(self, convoy: Convoy, deliver: Deliver) -> None:
        self._members = convoy.members
        self._deliver = deliver
        self._needs: defaultdict[int, list[Link]] = defaultdict(list)
        self._gives: defaultdict[int, list[Link]] = defaultdict(list)
        for link in convoy.links:
            self._needs[link.member].append(link)
            self._gives[link.source].append(link)
        self._tasks: list[asyncio.Task[bytes | RaydoError]] = []
        self._values: dict[tuple[int, int, int], Outcome] = {}
        self._answers_room = self._values_room = CONVOY_BYTES_MAX

    async def run(self) -> list[bytes | RaydoError]:
        self._tasks += [asyncio.create_task(self._member(at)) for at in range(len(self._members))]
        return await asyncio.gather(*self._tasks)

    async def _member(self, at: int) -> bytes | RaydoError:
        try:
            return await self._answer(at)
        except RaydoError as error:
            return error
        except Exception as error:  # noqa: BLE001  # one member's failure is not the others'
            _log.exception("a frame failed")
            return internal(error)

    async def _answer(self, at: int) -> bytes:
        noun, envelope = self._members[at]
        if at in self._needs:
            envelope = await self._linked(envelope, self._needs[at])
        answer = await self._deliver(noun, envelope)
        if len(answer) > self._answers_room:
            raise ConnectionLost("The answers are too much for one message.")
        self._answers_room -= len(answer)
        if at in self._gives:
            self._values.update(values_of(at, answer, self._gives[at]))
        return answer

    async def _linked(self, envelope: bytes, links: list[Link]) -> bytes:
        for source in {link.source for link in links}:
            await self._tasks[source]
        filled = linked(envelope, links, self._values, self._values_room)
        self._values_room -= max(0, len(filled) - len(envelope))
        return filled
