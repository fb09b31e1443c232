"""Record what a function given to `map` does, so that the object can do it to each element.

The function is called once, here, with a promise in the place of the element. What depends on that
promise becomes the body; promises from outside are captured; what does not depend on the element is
not part of the body and runs once.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from raydo.pipelining.assemble import Assembler
from raydo.pipelining.codec import Ref, pack
from raydo.pipelining.errors import PromiseMisused, RaydoError
from raydo.pipelining.program import ELEMENT, join_body
from raydo.pipelining.promise import CastPromise, ElementPromise, MapPromise, Promise

if TYPE_CHECKING:
    from raydo.pipelining.site import Site


class _Depth(threading.local):
    depth: int = 0


_nesting: Final = _Depth()


class Recording:
    """One function being recorded, and the casts that it made about its element."""

    __slots__ = ("casts", "depth", "site")

    def __init__(self, site: Site, depth: int) -> None:
        self.site = site
        self.depth = depth
        self.casts: list[CastPromise[Any]] = []


class _BodyAssembler(Assembler):
    """Assemble a body: what lies outside of the recording is captured."""

    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self.recording = recording
        self.captures: list[Promise[Any] | None] = []

    def known(self, promise: Promise[Any] | None) -> int | None:
        if promise is None or promise._scope is not self.recording:
            return self._capture(promise)
        return ELEMENT if isinstance(promise, ElementPromise) else None

    def _op(self, node: Promise[Any], at: int) -> bytes:
        self._check_site(node)
        return super()._op(node, at)

    def _check_site(self, promise: Promise[Any]) -> None:
        if not promise._site.same_object(self.recording.site):
            raise PromiseMisused(
                "A function given to map() runs at one object and cannot use another's methods or "
                "promises; await those first."
            )

    def _capture(self, promise: Promise[Any] | None) -> int:
        if promise is not None:
            self._check_site(promise)
            scope = promise._scope
            if scope is not None and scope.depth >= self.recording.depth:
                raise PromiseMisused("An element of map() exists only inside its own function.")
        for index, captured in enumerate(self.captures):
            if captured is promise:
                return ELEMENT - 1 - index
        self.captures.append(promise)
        return ELEMENT - len(self.captures)


def record(parent: Promise[Any], func: Callable[[Promise[Any]], Any]) -> Promise[Any]:
    """Call `func` with a stand-in for an element and make a promise of its recording.

    Raises:
        PromiseMisused: it does something that cannot be recorded.
    """
    _nesting.depth += 1
    try:
        recording = Recording(parent._site, _nesting.depth)
        result = func(ElementPromise(parent._site, None, recording))
        return _finish(parent, recording, result)
    except RaydoError:
        raise
    except TypeError as error:
        raise PromiseMisused(
            "map() records what its function does, and this one does something else: "
            f"{error}. It may step into values, call methods, and return lists and dicts."
        ) from error
    finally:
        _nesting.depth -= 1


def _finish(parent: Promise[Any], recording: Recording, result: Any) -> Promise[Any]:
    body = _BodyAssembler(recording)
    for cast in recording.casts:
        body.place(cast)

    def stand_in(value: object) -> Ref | None:
        return Ref(body.place(value)) if isinstance(value, Promise) else None

    packed = pack(result, stand_in)
    return MapPromise(parent, join_body(body.ops, packed), tuple(body.captures))
