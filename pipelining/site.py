"""Where a stub's calls go: an object's name, and the connection that carries them.

The default connection belongs to the process, not to a context variable: what an ASGI lifespan
connects must serve the requests that run in other contexts. Connections stack, so that leaving
one brings back the one before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Protocol

from raydo.pipelining.errors import NotConnected
from raydo.pipelining.noun import Noun

if TYPE_CHECKING:
    from raydo.pipelining.promise import CastPromise, Promise
    from raydo.pipelining.state import Done

NO_CONNECTION: Final = (
    "There is no connection. Add `async with raydo.connect():` around the code that calls, or "
    '`with raydo.connect("http://127.0.0.1:8000"):` in synchronous code.'
)


class Carrier(Protocol):
    """What a promise needs of the batch of its object."""

    def cast(self, promise: CastPromise[Any]) -> None:
        """Queue a cast behind everything that this object was told before."""
        ...

    def pull(self, promise: Promise[Any], done: Done) -> None:
        """Find a promise's value and hand it to `done`, possibly in another thread."""
        ...


class Carriers(Protocol):
    """What a site needs of a connection."""

    def carrier(self, noun: Noun) -> Carrier: ...


_defaults: Final[list[Carriers]] = []


def make_default(connection: Carriers) -> None:
    _defaults.append(connection)


def drop_default(connection: Carriers) -> None:
    if connection in _defaults:
        _defaults.remove(connection)


def default_connection() -> Carriers:
    """Give the connection that was made last and is still open.

    Raises:
        NotConnected: there is none; the sentence holds the line to add.
    """
    if not _defaults:
        raise NotConnected(NO_CONNECTION)
    return _defaults[-1]


class Site:
    """One object as one stub sees it."""

    __slots__ = ("_connection", "noun")

    def __init__(self, noun: Noun, connection: Carriers | None = None) -> None:
        self.noun = noun
        self._connection = connection

    def carrier(self) -> Carrier:
        """Find the batch that carries calls to this object now.

        Raises:
            NotConnected: there is no connection, or it has been closed.
        """
        return (self._connection or default_connection()).carrier(self.noun)

    def same_object(self, other: Site) -> bool:
        return self.noun == other.noun and self._carriers() is other._carriers()

    def _carriers(self) -> Carriers | None:
        return self._connection or (_defaults[-1] if _defaults else None)
