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
from raydo.pipelining.errors import InvalidArgument, RaydoError
from raydo.pipelining.links import Convoy, Link, encode_results, linked, read_convoy
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
    links: defaultdict[int, list[Link]] = defaultdict(list)
    for link in convoy.links:
        links[link.member].append(link)
    tasks: list[asyncio.Task[bytes | RaydoError]] = []

    async def run(at: int) -> bytes | RaydoError:
        member, needed = convoy.members[at], links[at]
        try:
            answers = {
                source: answer
                for source in {link.source for link in needed}
                if isinstance(answer := await tasks[source], bytes)
            }
            envelope = linked(member.envelope, needed, answers) if needed else member.envelope
            return await deliver(member.noun, envelope)
        except RaydoError as error:
            return error
        except Exception as error:  # noqa: BLE001  # one member's failure is not the others'
            _log.exception("a frame failed")
            return internal(error)

    tasks += [asyncio.create_task(run(at)) for at in range(len(convoy.members))]
    return encode_results(await asyncio.gather(*tasks))
