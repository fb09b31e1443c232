"""The seam between stubs and whatever carries their envelopes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from raydo.pipelining.noun import Noun

More = Callable[[bytes], None]


class Transport(Protocol):
    """Carry one envelope to the host of one object and bring its answer back.

    `send` may deliver further messages after its answer, each to `more`, until the connection
    ends: that is how a subscription streams.
    """

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """Deliver `envelope` and return the answer.

        Raises:
            ConnectionLost: the outcome is unknown; the sender may send the same envelope again.
            Overloaded, Starting: not taken; the sender may send again later.
            RaydoError: refused as it stands.
        """
        ...

    async def close(self) -> None:
        """Release sockets and tasks. Sending afterwards raises `NotConnected`."""
        ...
