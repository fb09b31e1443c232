"""What lets a frame take values of other objects' frames on the way: which, and with whom it leaves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from raydo.pipelining.convoy import Convoy, Together
from raydo.pipelining.promise import ThenPromise
from raydo.pipelining.state import Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from raydo.pipelining.convoy import Place
    from raydo.pipelining.delivery import Sender
    from raydo.pipelining.outbox import Outbox
    from raydo.pipelining.outgoing_frame import Frame
    from raydo.pipelining.promise import Promise
    from raydo.pipelining.state import Settled
    from raydo.pipelining.transport import Transport


@runtime_checkable
class Hastened(Protocol):
    """A batch whose queue can be compiled before its time."""

    def hasten(self) -> None:
        """Compile the queue now, for another object's frame that needs a value of it."""
        ...


class Linking:
    """Link the frames of one batch to those of others."""

    def __init__(self, transport: Transport, outbox: Outbox, sender: Sender) -> None:
        self._transport = transport
        self._together = transport if isinstance(transport, Together) else None
        self._outbox = outbox
        self._sender = sender

    @property
    def is_possible(self) -> bool:
        # A frame that is on disk has to make sense without another object's.
        return self._together is not None and self._outbox.journal is None

    def may_bring(self, needed: Sequence[Promise[Any]]) -> bool:
        """Tell whether all of these may come on the way; a `then` runs here, so it may not."""
        return self.is_possible and not any(isinstance(each, ThenPromise) for each in needed)

    def find(self, promise: Promise[Any]) -> Place | None:
        """Find where another object's value can be had on the way."""
        state = promise._state
        if type(state) is Pending and not state.frame:
            source = promise._site.carrier()
            if isinstance(source, Hastened):
                source.hasten()
            state = promise._state
        place = state.place if type(state) is Pending else None
        if place is None or place.transport is not self._transport or not self._sender.prompt:
            return None
        frame = place.frame
        leaves_now = frame.travelling and not frame.departed and not frame.aside
        full = frame.convoy is not None and frame.convoy.full
        return place if leaves_now and not full else None

    def join(self, frame: Frame) -> None:
        """Let a frame travel with those that it needs values of."""
        if not frame.links:
            return
        assert self._together is not None
        convoy = Convoy(self._together)
        convoy.add(frame)
        for link in frame.links:
            convoy.add(link.place.frame)
            state = link.promise._state
            assert type(state) is Pending
            state.done.append(self._came)  # should it not have come on the way

    def _came(self, _: Settled) -> None:
        self._sender.pump()
