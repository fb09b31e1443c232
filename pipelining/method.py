"""Which methods of an object a caller may reach: those declared with `@call` or `@cast`.

A `@call` answers; nothing is sent until its promise is awaited. A `@cast` is told and not waited
for; it is queued at once. Nothing else of an object can be named from outside: reach is decided by
this declaration, never by the spelling of an attribute.

Both are typed descriptors. Inside the object `self.method(…)` runs the plain function; on a stub
the same name makes a `Promise` of the function's result.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType, MethodType
from typing import (
    TYPE_CHECKING,
    Any,
    Concatenate,
    Final,
    Generic,
    Literal,
    ParamSpec,
    TypeVar,
    overload,
)

from raydo.pipelining.errors import BadDeclaration, InvalidArgument

if TYPE_CHECKING:
    from raydo.pipelining.promise import Promise

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Kind = Literal["call", "cast"]
Needs = Literal[
    "write", "read", "erase", "admin"
]  # the kind of key that may call it, beside an admin key

TAKEN_NAMES: Final = frozenset({"map", "then"})  # a promise's own two methods


class Method(Generic[P, R]):
    """One declared method: its name, its kind, its other names, the key it needs, its function."""

    def __init__(
        self,
        func: Callable[..., R],
        kind: Kind,
        js: str | None,
        alias: tuple[str, ...],
        needs: Needs,
        *,
        aside: bool = False,
    ) -> None:
        self.func = func
        self.aside = aside  # whether it travels alone, since its answer may take long
        self.kind = kind
        self.js = js
        self.alias = alias
        self.needs = needs
        self.name = func.__name__
        self.__doc__ = func.__doc__
        self.__wrapped__ = func
        self.signature = inspect.signature(func)
        self._plain_min, self._plain_max = _plain_arity(self.signature)
        _check_function(func)

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        for taken in self.names:
            if taken in TAKEN_NAMES or taken.startswith("_"):
                raise BadDeclaration(
                    f"{owner.__name__}.{name} cannot be reached as {taken!r}: a promise keeps 'map', "
                    "'then' and names with a leading underscore for itself."
                )

    @overload
    def __get__(self, instance: None, owner: type) -> Callable[P, Promise[R]]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> Callable[P, R]: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        return self if instance is None else MethodType(self.func, instance)

    def __repr__(self) -> str:
        return f"<@{self.kind} {self.func.__qualname__}>"

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that this method answers to, the Python one first."""
        return (self.name, *self.alias, *((self.js,) if self.js else ()))

    def check(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """Refuse arguments that the function does not take.

        Raises:
            InvalidArgument: with what Python says about them.
        """
        if not kwargs and self._plain_min <= len(args) <= self._plain_max:
            return  # the usual case costs two comparisons, not a binding
        try:
            self.signature.bind(None, *args, **kwargs)
        except TypeError as error:
            raise InvalidArgument(f"{self.name}(): {error}.") from None


def _plain_arity(signature: inspect.Signature) -> tuple[int, int]:
    """Count how few and how many positional arguments alone are enough, the object left out."""
    low = high = -1
    for parameter in signature.parameters.values():
        required = parameter.default is parameter.empty
        if parameter.kind is parameter.VAR_POSITIONAL:
            high = 1 << 30
        elif parameter.kind is parameter.KEYWORD_ONLY:
            low += (1 << 30) * required  # never enough without a keyword
        elif parameter.kind is not parameter.VAR_KEYWORD:
            low, high = low + required, high + 1
    return low, high


def _check_function(func: Callable[..., Any]) -> None:
    if inspect.iscoroutinefunction(func) or inspect.isasyncgenfunction(func):
        raise BadDeclaration(
            f"{func.__qualname__} is async. A durable object's methods are plain functions: "
            "one call runs whole before the next begins, and cannot wait."
        )
    if inspect.isgeneratorfunction(func):
        raise BadDeclaration(f"{func.__qualname__} yields; return a list instead.")


def _declare(
    func: Callable[..., Any] | None,
    kind: Kind,
    js: str | None,
    alias: tuple[str, ...],
    needs: Needs,
    *,
    aside: bool = False,
) -> Any:
    if func is None:
        return lambda func: Method(func, kind, js, alias, needs, aside=aside)
    return Method(func, kind, js, alias, needs, aside=aside)


@overload
def call(func: Callable[Concatenate[Any, P], R], /) -> Method[P, R]: ...
@overload
def call(
    *,
    js: str | None = None,
    alias: tuple[str, ...] = (),
    needs: Needs = "admin",
    aside: bool = False,
) -> Callable[[Callable[Concatenate[Any, P], R]], Method[P, R]]: ...
def call(
    func: Callable[..., Any] | None = None,
    /,
    *,
    js: str | None = None,
    alias: tuple[str, ...] = (),
    needs: Needs = "admin",
    aside: bool = False,
) -> Any:
    """Declare a method that callers may await: `@call`, or `@call(js="getDAU", needs="read")`.

    `needs` says which kind of key a server with keys asks for: "read" or "write" let such keys call
    it; without it only an admin key does. One whose answers may take long is `aside`: its calls
    travel alone, and nothing waits for them.
    """
    return _declare(func, "call", js, alias, needs, aside=aside)


@overload
def cast(func: Callable[Concatenate[Any, P], R], /) -> Method[P, R]: ...
@overload
def cast(
    *, js: str | None = None, alias: tuple[str, ...] = (), needs: Needs = "admin"
) -> Callable[[Callable[Concatenate[Any, P], R]], Method[P, R]]: ...
def cast(
    func: Callable[..., Any] | None = None,
    /,
    *,
    js: str | None = None,
    alias: tuple[str, ...] = (),
    needs: Needs = "admin",
) -> Any:
    """Declare a method that callers tell and need not await: sent at once, in order, batched."""
    return _declare(func, "cast", js, alias, needs)


class Exposed(Generic[T]):
    """Let callers step into an attribute, and tell its type: `counters = Exposed(Counters)`.

    Equal to naming the attribute in `exposes`, with types: `self.counters` is a `Counters`, and
    `stub.counters.get("x")` a `Promise[int]`. The object assigns the attribute itself.
    """

    def __init__(self, cls: type[T]) -> None:
        self.cls = cls
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> type[T]: ...
    @overload
    def __get__(self, instance: object, owner: type | None = None) -> T: ...
    def __get__(self, instance: object | None, owner: type | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self.name]
        except KeyError:
            kind = type(instance).__name__
            raise AttributeError(f"{kind}.{self.name} has not been assigned yet.") from None

    def __set__(self, instance: object, value: T) -> None:
        instance.__dict__[self.name] = value


_methods: Final[dict[type, Mapping[str, Method[..., Any]]]] = {}  # one entry a class
_exposed: Final[dict[type, Mapping[str, type | None]]] = {}


def methods_of(cls: type) -> Mapping[str, Method[..., Any]]:
    """Map every name that callers may use to its method: Python's, aliases and JavaScript's.

    Raises:
        BadDeclaration: two methods claim a name, or an override lost its decorator.
    """
    known = _methods.get(cls)
    if known is None:
        known = _methods[cls] = MappingProxyType(_collect(cls))
    return known


def _collect(cls: type) -> dict[str, Method[..., Any]]:
    found: dict[str, Method[..., Any]] = {}
    seen: dict[str, Any] = {}
    for klass in cls.__mro__:
        for attribute, value in vars(klass).items():
            nearest = seen.setdefault(attribute, value)
            if isinstance(value, Method) and not isinstance(nearest, Method):
                raise BadDeclaration(
                    f"{cls.__name__}.{attribute} overrides a @{value.kind}; decorate it as well."
                )
            if nearest is value and isinstance(value, Method):
                _claim(cls, value, found)
    return found


def _claim(cls: type, method: Method[..., Any], found: dict[str, Method[..., Any]]) -> None:
    for name in method.names:
        holder = found.setdefault(name, method)
        if holder is not method and holder.name != method.name:
            raise BadDeclaration(
                f"{cls.__name__}: both {holder.name} and {method.name} claim the name {name!r}."
            )


def exposed_by(cls: type) -> Mapping[str, type | None]:
    """Map the attributes that callers may step into to their classes, as far as declared."""
    known = _exposed.get(cls)
    if known is not None:
        return known
    found: dict[str, type | None] = {}
    for klass in reversed(cls.__mro__):
        found.update(dict.fromkeys(vars(klass).get("exposes", ())))
        found.update({k: v.cls for k, v in vars(klass).items() if isinstance(v, Exposed)})
    return _exposed.setdefault(cls, MappingProxyType(found))


def forget(cls: type) -> None:
    """Look at a class afresh: one that travels by value gets its attributes after its declaration."""
    _methods.pop(cls, None)
    _exposed.pop(cls, None)
