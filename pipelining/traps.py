"""What Python would do with a promise by itself, refused with a sentence that says to await first.

A class with `__getitem__` alone iterates for ever; a truth value, a comparison or a copy would speak
of the promise and look as if it spoke of the value.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from raydo.pipelining.errors import PromiseMisused


def _refuse(doing: str) -> Callable[..., NoReturn]:
    def trap(self: Any, *_: object) -> NoReturn:
        if self._scope is not None:
            raise PromiseMisused(
                f"A function given to map() is recorded and runs at the object; its element cannot "
                f"be {doing} here. It may step into values, call methods, and return lists and dicts."
            )
        raise PromiseMisused(
            f"{self!r} cannot be {doing}: it is a promise, its value is not here yet. Await it first."
        )

    return trap


class Traps:
    """The refusals, for `Promise` to inherit."""

    __slots__ = ()

    _scope: Any  # of the promise: the map() that is being recorded, if any

    def __str__(self) -> str:
        if self._scope is not None:
            _refuse("turned into text")(self)
        return repr(self)

    def __format__(self, spec: str) -> str:
        return str(self)

    __hash__ = object.__hash__

    if not TYPE_CHECKING:  # type checkers refuse most of these by themselves
        __iter__ = _refuse("iterated over")
        __contains__ = _refuse("searched with `in`")
        __bool__ = _refuse("used as a truth value")
        __len__ = _refuse("measured with len()")
        __reversed__ = _refuse("reversed")
        __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = _refuse("compared")
        __int__ = __float__ = __index__ = __complex__ = __round__ = _refuse("turned into a number")
        __neg__ = __pos__ = __abs__ = __invert__ = _refuse("used in arithmetic")
        __add__ = __sub__ = __mul__ = __truediv__ = __floordiv__ = _refuse("used in arithmetic")
        __mod__ = __pow__ = __and__ = __or__ = __xor__ = _refuse("used in arithmetic")
        __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rfloordiv__ = _refuse(
            "used in arithmetic"
        )
        __rmod__ = __rpow__ = __rand__ = __ror__ = __rxor__ = _refuse("used in arithmetic")
        __reduce_ex__ = _refuse("copied or pickled")
