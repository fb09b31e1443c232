"""Frames of several objects that leave in one message, because some need values of others.

Frames join while they are put together; each sender then sends its envelope through the convoy, and
the last one to come sends them all. This happens within one iteration of the event loop: a frame
that has not left its queue by then stays behind, and is sent later with the values themselves.
So nobody ever waits here for another object's queue.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from raydo.pipelining.errors import ConnectionLost, decode_error
from raydo.pipelining.limits import BODY_BYTES_MAX, CONVOY_FRAMES_MAX
from raydo.pipelining.links import Link, Member

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydo.pipelining.noun import Noun
    from raydo.pipelining.outgoing_frame import Frame
    from raydo.pipelining.promise import Promise


@runtime_checkable
class Together(Protocol):
    """A transport that can carry several envelopes in one message."""

    async def send_together(
        self, members: Sequence[Member], links: Sequence[Link]
    ) -> list[bytes | dict[str, object]]:
        """Deliver them in order; give for each its answer, or an error's wire form.

        Raises:
            RaydoError: as `Transport.send`, for all of them.
        """
        ...


class Place(NamedTuple):
    """Where a promise's value comes from."""

    transport: object
    frame: Frame
    output: int


class Linked(NamedTuple):
    """An empty instruction, the promise whose value belongs there, and where that comes from."""

    op: int
    promise: Promise[object]
    place: Place


class _Joined(NamedTuple):
    member: Member
    frames: list[Frame]
    answer: asyncio.Future[bytes]


class Convoy:
    """One message that is being put together. Lives in one event loop."""

    def __init__(self, transport: Together) -> None:
        self._transport = transport
        self._frames: list[Frame] = []
        self._joined: list[_Joined] = []

    def add(self, frame: Frame) -> None:
        """Let a frame travel in it, and whatever would have travelled with that frame."""
        other = frame.convoy
        if other is self:
            return
        more = [frame] if other is None else other._frames
        for each in more:
            each.convoy = self
        self._frames += more
        if other is not None:
            self._joined += other._joined

    @property
    def full(self) -> bool:
        """Whether no more frames should travel in it."""
        return len(self._frames) >= CONVOY_FRAMES_MAX

    async def send(self, noun: Noun, envelope: bytes, frames: list[Frame]) -> bytes:
        """Send one envelope with the others; give the answer to it.

        Raises:
            RaydoError: as `Transport.send`.
        """
        for frame in [frame for frame in self._frames if not frame.travelling]:
            frame.convoy = None
            self._frames.remove(frame)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._joined.append(_Joined(Member(noun, envelope), frames, answer))
        here = {id(frame) for each in self._joined for frame in each.frames}
        if all(id(frame) in here for frame in self._frames):
            await self._depart()
        return await answer

    async def _depart(self) -> None:
        # Each frame's sources were pumped before it: in that order every link goes forward.
        joined = sorted(self._joined, key=lambda each: each.frames[0].order)
        for frame in self._frames:
            frame.convoy = None
        members = [each.member for each in joined]
        try:
            links = _links(joined)
            _check_size(members)
            results = await self._transport.send_together(members, links)
        except BaseException as error:
            lost = ConnectionLost("The message that this was part of was given up.")
            for each in joined:
                if not each.answer.done():
                    each.answer.set_exception(error if isinstance(error, Exception) else lost)
                    each.answer.exception()  # whoever gave up meanwhile need not hear of it
            raise
        for each, result in zip(joined, results, strict=True):
            if each.answer.done():
                continue
            if isinstance(result, bytes):
                each.answer.set_result(result)
            else:
                each.answer.set_exception(decode_error(result))


def _check_size(members: list[Member]) -> None:
    if sum(len(member.envelope) for member in members) > BODY_BYTES_MAX // 2:
        raise ConnectionLost("Together they are too much for one message.")  # each alone is not


def _links(joined: list[_Joined]) -> list[Link]:
    places = {
        id(frame): (member, entry)
        for member, each in enumerate(joined)
        for entry, frame in enumerate(each.frames)
    }
    links: list[Link] = []
    for member, each in enumerate(joined):
        for entry, frame in enumerate(each.frames):
            for link in frame.links:
                source = places.get(id(link.place.frame))
                if source is None:
                    raise ConnectionLost("What this needs a value of was not sent.")
                links.append(Link(member, entry, link.op, *source, link.place.output))
    return links
