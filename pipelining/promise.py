"""Promises: what a call will have answered, as an immutable expression that grows by use.

`acme.get_dau(7)[0]["dau"]` sends nothing. Each step is a node that points to the one before; being
awaited compiles the whole chain into one frame. A cast's node is queued when it is made.

A promise has no public methods but `map` and `then`: every other name is the remote object's or a
key of its data. What Python would otherwise do with it by itself (iterate, compare, copy, take for
true) would lie about a value that is not here yet, so it is refused with a sentence.

A call runs at most once, however often it is awaited: the value stays on the node, and what is
reached from a settled node is computed here.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from raydo.pipelining.codec import Ref, pack_arguments
from raydo.pipelining.errors import PromiseMisused, RaydoError
from raydo.pipelining.state import (
    QUEUED,
    Done,
    NeverAwaited,
    Pending,
    Queued,
    Settled,
    await_settled,
)
from raydo.pipelining.traps import Traps

if TYPE_CHECKING:
    from raydo.pipelining.record import Recording
    from raydo.pipelining.site import Site

R = TypeVar("R")
T = TypeVar("T")
U = TypeVar("U")
K = TypeVar("K")


class Promise(Traps, Generic[R]):
    """The value that a remote call will give: await it, step into it, or `map` over it."""

    __slots__ = ("__weakref__", "_parent", "_scope", "_site", "_state")

    def __init__(
        self, site: Site, parent: Promise[Any] | None, scope: Recording | None = None
    ) -> None:
        self._site = site
        self._parent = parent  # None: the object itself
        self._scope = scope  # the map() whose element this depends on
        self._state: Settled | Pending | Queued | None = None

    def __await__(self) -> Generator[Any, None, R]:
        state = self._state
        if type(state) is not Settled:
            value: R = yield from await_settled(self._pull)
        else:
            value = state.result()
        return value

    def _pull(self, done: Done) -> None:
        """Find the value and hand it to `done`."""
        try:
            self._site.carrier().pull(self, done)
        except RaydoError:
            excuse(self)  # it was awaited; why it could not be sent is said by the error
            raise

    def __getattr__(self, name: str) -> Promise[Any]:
        if name.startswith("_"):
            raise AttributeError(f"A promise has no {name!r}.")
        return GetPromise(self._site, self, name)

    @overload
    def __getitem__(self: Promise[list[T]], key: int, /) -> Promise[T]: ...
    @overload
    def __getitem__(self: Promise[dict[K, T]], key: K, /) -> Promise[T]: ...
    @overload
    def __getitem__(self, key: str | int, /) -> Promise[Any]: ...
    def __getitem__(self, key: Any, /) -> Promise[Any]:
        if not isinstance(key, (str, int)):
            raise PromiseMisused(
                f"A promise is stepped into by a key or an index, not {key!r:.80}."
            )
        return GetPromise(self._site, self, key)

    def __call__(self, /, *_: Any, **__: Any) -> Promise[Any]:
        raise PromiseMisused(f"{self!r} is not a method; call one of its methods by name.")

    @overload
    def map(
        self: Promise[list[T]], func: Callable[[Promise[T]], Promise[U]]
    ) -> Promise[list[U]]: ...
    @overload
    def map(self: Promise[list[T]], func: Callable[[Promise[T]], Any]) -> Promise[list[Any]]: ...
    @overload
    def map(self, func: Callable[[Promise[Any]], Any]) -> Promise[Any]: ...
    def map(self, func: Callable[[Promise[Any]], Any]) -> Promise[Any]:
        """Run `func` at the object over each element: it is called once here, and recorded.

        Over a single value it runs once; over None it gives None.

        Raises:
            PromiseMisused: `func` does something that cannot be recorded.
        """
        from raydo.pipelining.record import record

        return record(self, func)

    def then(self, func: Callable[[R], U]) -> Promise[U]:
        """Run `func` here on the value once it has come."""
        return ThenPromise(self, func)

    def __repr__(self) -> str:
        return f"<promise {_path(self)}>"


class GetPromise(Promise[R]):
    """One step into a value; called, it becomes a method's call."""

    __slots__ = ("_key",)

    def __init__(self, site: Site, parent: Promise[Any] | None, key: str | int) -> None:
        super().__init__(site, parent, None if parent is None else parent._scope)
        self._key = key

    def __call__(self, /, *args: Any, **kwargs: Any) -> Promise[Any]:
        if not isinstance(self._key, str):
            return super().__call__()
        return lazy_call(self._site, self._parent, self._key, args, kwargs)


class CallPromise(Promise[R]):
    """A method's call; the arguments are encoded when it is made, so later changes don't matter."""

    __slots__ = ("_args", "_name", "_refs")

    def __init__(
        self,
        site: Site,
        parent: Promise[Any] | None,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        refs: list[Promise[Any]] = []

        def stand_in(value: object) -> Ref | None:
            if not isinstance(value, Promise):
                return None
            refs.append(value)
            return Ref(len(refs) - 1)

        self._args = pack_arguments(args, kwargs, stand_in)
        self._refs = tuple(refs)
        self._name = name
        self._site = site
        self._parent = parent
        self._scope = _scope(parent, refs) if refs or parent is not None else None
        self._state = None


class LazyCall(CallPromise[R]):
    """A `@call`: dropped before it was ever sent, it warns with the line that made it."""

    __slots__ = ("_line",)

    _line: tuple[str, int] | None

    def __del__(self) -> None:
        line = getattr(self, "_line", None)
        if line is not None:
            warnings.warn_explicit(
                f"{_path(self)} was never awaited, so it was never sent.", NeverAwaited, *line
            )


class CastPromise(CallPromise[R]):
    """A `@cast`: sent whether or not it is awaited."""

    __slots__ = ()


class MapPromise(Promise[R]):
    """A recorded function over a value."""

    __slots__ = ("_body", "_captures")

    def __init__(
        self, parent: Promise[Any], body: bytes, captures: tuple[Promise[Any] | None, ...]
    ) -> None:
        inside = [promise for promise in captures if promise is not None]
        super().__init__(parent._site, parent, _scope(parent, inside))
        self._body = body
        self._captures = captures


class ThenPromise(Promise[R]):
    """A function that runs here, on a value that has come."""

    __slots__ = ("_func",)

    def __init__(self, parent: Promise[Any], func: Callable[[Any], Any]) -> None:
        if parent._scope is not None:
            raise PromiseMisused("then() runs here and map() at the object; use one or the other.")
        super().__init__(parent._site, parent)
        self._func = func


class ElementPromise(Promise[R]):
    """The element that a function given to map() sees while it is recorded."""

    __slots__ = ()


def lazy_call(
    site: Site,
    parent: Promise[Any] | None,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    kind: type[LazyCall[Any]] = LazyCall,
) -> Promise[Any]:
    """Make a `@call`'s promise; for its warning it remembers the line that called our caller."""
    promise: LazyCall[Any] = kind(site, parent, name, args, kwargs)
    caller = sys._getframe(2)
    promise._line = (caller.f_code.co_filename, caller.f_lineno)
    return promise


def send_cast(
    site: Site,
    parent: Promise[Any] | None,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Promise[Any]:
    """Make a `@cast`'s promise and queue it; inside map() it becomes part of what is recorded."""
    promise: CastPromise[Any] = CastPromise(site, parent, name, args, kwargs)
    if promise._scope is not None:
        promise._scope.casts.append(promise)
    else:
        promise._state = QUEUED
        site.carrier().cast(promise)
    return promise


def _scope(parent: Promise[Any] | None, others: list[Promise[Any]]) -> Recording | None:
    """Find the innermost map() that any of these depends on."""
    scope = None if parent is None else parent._scope
    for promise in others:
        other = promise._scope
        if other is not None and (scope is None or other.depth > scope.depth):
            scope = other
    return scope


def reach(promise: Promise[Any]) -> Iterator[Promise[Any]]:
    """Walk everything unsettled that a promise's frame would have to hold."""
    branches: list[Promise[Any] | None] = [promise]
    seen: set[int] = set()
    while branches:
        node = branches.pop()
        while node is not None and type(node._state) is not Settled and id(node) not in seen:
            seen.add(id(node))
            yield node
            if isinstance(node, CallPromise):
                branches.extend(node._refs)
            elif isinstance(node, MapPromise):
                branches.extend(node._captures)
            node = node._parent


def excuse(promise: Promise[Any]) -> None:
    """Warn no more about what a promise needs: it has been awaited."""
    for node in reach(promise):
        if isinstance(node, LazyCall):
            node._line = None


def _path(promise: Promise[Any]) -> str:
    """Spell a promise as the expression that made it, arguments left out."""
    steps: list[str] = []
    start = str(promise._site.noun)
    node: Promise[Any] | None = promise
    while node is not None:
        if isinstance(node, CallPromise):
            steps.append(f".{node._name}(…)")
        elif isinstance(node, GetPromise):
            key = node._key
            steps.append(f"[{key!r}]" if isinstance(key, int) else f".{key}")
        elif isinstance(node, ElementPromise):
            start = "element"
        else:
            steps.append(".map(…)" if isinstance(node, MapPromise) else ".then(…)")
        node = node._parent
    return start + "".join(reversed(steps))
