"""Functions and objects of the client, as the gateway's own code holds them.

A stub is a reference that the client counts. It is given back when the stub is disposed, or when
nothing here refers to it any more; so an object that wants to call back later simply keeps it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from raydo.pipelining.errors import PromiseMisused
from raydo.pipelining.state import Done, Settled, await_settled

if TYPE_CHECKING:
    from raydo.pipelining.capnweb.slot import Slot


class Peer(Protocol):
    """The session, as its client's stubs see it."""

    def call_client(
        self, reference: int, path: Sequence[str | int], args: list[Any] | None
    ) -> Slot:
        """Call something of the client's; the slot becomes what it answers."""

    def give_back(self, reference: int) -> None:
        """Hold one stub less of a reference."""

    def when_broken(self, reference: int, then: Callable[[Exception], None]) -> None:
        """Call `then` when the session has ended, unless the stub was given back before."""


class Answer:
    """What a client will answer: await it, or return it as it is."""

    __slots__ = ("slot",)

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    def __await__(self) -> Generator[Any, None, Any]:
        return await_settled(self._begin)

    def _begin(self, done: Done) -> None:
        self.slot.when_whole(partial(self._tell, done))
        self.slot.turns.run()

    def _tell(self, done: Done) -> None:
        error = self.slot.failure
        if error is None:
            done(Settled(self.slot.value))
        else:
            done(Settled(error=error if isinstance(error, Exception) else RuntimeError(error)))


class ClientStub:
    """Call it, or one of its methods: `callback(row)`, `callback.call("onRow", row)`."""

    __slots__ = ("__weakref__", "_peer", "reference")

    def __init__(self, peer: Peer, reference: int) -> None:
        self.reference = reference
        self._peer: Peer | None = peer

    def __call__(self, *args: Any) -> Answer:
        return Answer(self.send((), list(args)))

    def call(self, name: str, /, *args: Any) -> Answer:
        """Call a method of the client's object."""
        return Answer(self.send((name,), list(args)))

    def send(self, path: Sequence[str | int], args: list[Any] | None) -> Slot:
        """Call what lies at a path; without arguments, read it.

        Raises:
            PromiseMisused: the stub was disposed.
        """
        return self._held().call_client(self.reference, path, args)

    def on_broken(self, then: Callable[[Exception], None]) -> None:
        """Call `then` when the client has gone."""
        self._held().when_broken(self.reference, then)

    def dispose(self) -> None:
        """Give the reference back; harmless if done before."""
        peer, self._peer = self._peer, None
        if peer is not None:
            peer.give_back(self.reference)

    def _held(self) -> Peer:
        if self._peer is None:
            raise PromiseMisused("This stub was disposed.")
        return self._peer

    def __del__(self) -> None:
        if getattr(self, "_peer", None) is not None:
            self.dispose()
