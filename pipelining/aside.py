"""Calls whose answers may take long: they travel in frames of their own, and nothing waits for them.

Everything else that one client tells an object shares frames, and only a few envelopes are under way
at once; a query of many seconds among them would hold the events of the whole gateway back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from raydo.pipelining.promise import LazyCall, Promise

if TYPE_CHECKING:
    pass

R = TypeVar("R")


class AsideCall(LazyCall[R]):
    """A `@call(aside=True)`."""

    __slots__ = ()


def goes_aside(promise: Promise[Any] | None) -> bool:
    """Tell whether a promise is made of such a call."""
    while promise is not None:
        if isinstance(promise, AsideCall):
            return True
        promise = promise._parent
    return False
