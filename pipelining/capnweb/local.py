"""Objects of the gateway's own, and how a session lets go of them."""

from __future__ import annotations

from collections.abc import Callable
from types import MethodType
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

from raydo.pipelining.capnweb.faults import logger
from raydo.pipelining.method import methods_of

if TYPE_CHECKING:
    from raydo.pipelining.capnweb.targets import Target


class Local:
    """An object of the gateway's own that clients may call.

    Its declared methods run between two messages, so they must not block. One that has to wait
    returns an awaitable; functions of the client arrive as `ClientStub`s.
    """

    def find(self, name: str) -> Callable[..., Any] | None:
        """Give what a call of this name runs, or None."""
        method = methods_of(type(self)).get(name)
        return None if method is None else MethodType(method.func, self)

    def fixed(self, name: str, args: list[Any]) -> Target | None:
        """Give what a call always answers and does nothing but that, so that a map may do without it."""
        del name, args
        return None

    def names(self) -> set[str]:
        """List what can be called."""
        return {method.name for method in methods_of(type(self)).values()}

    def dispose(self) -> None:
        """Let go: the client holds no reference any more."""


class Held:
    """A session's hold on a `Local`: once nothing refers to it, neither the client nor a result, the
    object is told.
    """

    __slots__ = ("__weakref__", "local")

    def __init__(self, local: Local) -> None:
        self.local: Local | None = local

    def dispose(self) -> None:
        """Tell the object, once."""
        local, self.local = self.local, None
        if local is not None:
            try:
                local.dispose()
            except Exception:  # noqa: BLE001  # its own affair; the session goes on
                logger.exception("%s failed to let go", type(local).__name__)

    def __del__(self) -> None:
        self.dispose()


class Holds:
    """The one hold that a session has on each such object."""

    def __init__(self) -> None:
        self._held: WeakValueDictionary[int, Held] = WeakValueDictionary()

    def hold(self, local: Local) -> Held:
        held = self._held.get(id(local))
        if held is None:
            held = self._held[id(local)] = Held(local)
        return held

    def dispose(self) -> None:
        """Let go of all of them."""
        for held in list(self._held.values()):
            held.dispose()
