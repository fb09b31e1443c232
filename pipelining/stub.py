"""Stubs, and the metaclass that makes calling a durable object's class give one.

`Analytics("acme")` names an object and does no I/O; the live object is made elsewhere, by
`new_instance`. One class therefore has two faces: on a stub its methods make promises, inside the
object they are plain functions. For type checkers a `Stub[T]` is `type[T]`, so that the methods'
descriptors see no instance and answer with promises.

A class's name is its address: it is registered here, and only once.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias, TypeVar

from raydo.pipelining.aside import AsideCall
from raydo.pipelining.errors import BadDeclaration, PromiseMisused, UnknownMethod, UnknownObject
from raydo.pipelining.method import Method, exposed_by, methods_of
from raydo.pipelining.noun import Noun, noun
from raydo.pipelining.promise import GetPromise, Promise, lazy_call, send_cast
from raydo.pipelining.site import Carriers, Site

T = TypeVar("T")

_registry: Final[dict[str, type]] = {}


class StubObject:
    """The runtime form of a stub: declared methods as attributes, nothing else to reach."""

    __slots__ = ("_base", "_site")

    def __init__(self, site: Site, base: Promise[Any] | None = None) -> None:
        self._site = site
        self._base = base  # the path to a sub-object; None is the object itself

    @property
    def noun(self) -> Noun:
        """Who is called."""
        return self._site.noun

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}.")
        raise UnknownMethod(
            f"{self._site.noun.cls} has no method {name!r}; it has {', '.join(_reachable(self))}."
        )

    def __repr__(self) -> str:
        return f"<stub of {self._site.noun}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # A name travels; in the other process its default connection carries the calls.
        if self._base is not None:
            raise PromiseMisused(f"{self._base!r} cannot be pickled; pickle the object's own stub.")
        return make_stub, (self._site.noun.cls, self._site.noun.id)


class LooseStub(StubObject):
    """A stub of a class that is not known in this process: every name is taken for a `@call`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}.")
        return GetPromise(self._site, self._base, name)


if TYPE_CHECKING:
    Stub: TypeAlias = type[T]
else:
    Stub = StubObject
    StubObject.__class_getitem__ = classmethod(lambda cls, _item: cls)


def _reachable(stub: StubObject) -> list[str]:
    return sorted(name for name in vars(type(stub)) if not name.startswith("_"))


@lru_cache(maxsize=1024)
def _stub_class(cls: type) -> type[StubObject]:
    """Make the class of stubs of `cls`: attributes are found at the speed of any method."""
    members: dict[str, Any] = {"__slots__": ()}
    for name, part in exposed_by(cls).items():
        members[name] = property(_sub_object(name, part))
    for name, method in methods_of(cls).items():
        members[name] = _remote(method)
    return type(f"{cls.__name__}Stub", (StubObject,), members)


def _sub_object(name: str, part: type | None) -> Callable[[StubObject], Any]:
    def get(stub: StubObject) -> Any:
        path: Promise[Any] = GetPromise(stub._site, stub._base, name)
        return path if part is None else _stub_class(part)(stub._site, path)

    return get


def _remote(method: Method[..., Any]) -> Callable[..., Promise[Any]]:
    if method.kind == "cast":

        def remote(self: StubObject, /, *args: Any, **kwargs: Any) -> Promise[Any]:
            method.check(args, kwargs)
            return send_cast(self._site, self._base, method.name, args, kwargs)

    else:
        make = partial(lazy_call, kind=AsideCall) if method.aside else lazy_call

        def remote(self: StubObject, /, *args: Any, **kwargs: Any) -> Promise[Any]:
            method.check(args, kwargs)
            return make(self._site, self._base, method.name, args, kwargs)

    remote.__name__ = remote.__qualname__ = method.name
    remote.__doc__ = method.__doc__
    return remote


def make_stub(cls: type | str, tenant: str, connection: Carriers | None = None) -> Any:
    """Make a stub of a class, or of a class's name.

    Raises:
        InvalidTenant: the id cannot name a tenant.
    """
    known = _registry.get(cls) if isinstance(cls, str) else cls
    site = Site(noun(cls if isinstance(cls, str) else cls.__name__, tenant), connection)
    return LooseStub(site) if known is None else _stub_class(known)(site)


def _check_parts(cls: type) -> None:
    for name in exposed_by(cls):
        if not name.isidentifier() or name.startswith("_") or name in {"map", "then"}:
            raise BadDeclaration(f"{cls.__name__} cannot expose an attribute named {name!r}.")
        if isinstance(getattr(cls, name, None), Method):
            raise BadDeclaration(f"{cls.__name__}.{name} is a method; it needs no exposing.")


def _register(cls: type) -> None:
    other = _registry.get(cls.__name__)
    if other is not None and _place(other) != _place(cls):
        raise BadDeclaration(
            f"{_place(other)} and {_place(cls)} share a name, and a durable object's class is "
            "found by its name. Rename one."
        )
    _registry[cls.__name__] = cls


def _place(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


class RemoteMeta(type):
    """Check and register classes whose objects are called by name."""

    if TYPE_CHECKING:
        noun: Noun

    def __new__(
        mcs, name: str, bases: tuple[type, ...], space: dict[str, Any], *, register: bool = True
    ) -> RemoteMeta:
        cls = super().__new__(mcs, name, bases, space)
        if register and "__init__" in space:
            raise BadDeclaration(
                f"{name} defines __init__, but a durable object is made by its host, again and "
                "again. Define on_start(self) instead; it runs each time the object wakes."
            )
        _check_parts(cls)
        methods_of(cls)
        if register:
            _register(cls)
        return cls

    def __init__(cls, name: str, bases: tuple[type, ...], space: dict[str, Any], **_: bool) -> None:
        super().__init__(name, bases, space)

    def __call__(cls: type[T], tenant: str) -> Stub[T]:
        stub: Stub[T] = make_stub(cls, tenant)
        return stub


class Remote(metaclass=RemoteMeta, register=False):
    """The base of classes that are called by name."""

    if TYPE_CHECKING:
        # What calling the class gives; mypy asks here, pyright asks the metaclass.
        def __new__(cls, tenant: str) -> Stub[Self]: ...  # type: ignore[misc]


def is_registered(name: str) -> bool:
    """Tell whether a class of that name has been declared in this process."""
    return name in _registry


def registered(name: str) -> type:
    """Find a class by its name.

    Raises:
        UnknownObject: no such class has been declared in this process.
    """
    cls = _registry.get(name)
    if cls is None:
        raise UnknownObject(
            f"There is no durable object {name!r:.80} here; there are "
            f"{', '.join(sorted(_registry)) or 'none'}. Was its module loaded (--objects)?"
        )
    return cls


def new_instance(cls: type[T], *args: Any, **kwargs: Any) -> T:
    """Make a live object of a class, which calling the class itself would not."""
    instance: T = type.__call__(cls, *args, **kwargs)
    return instance
