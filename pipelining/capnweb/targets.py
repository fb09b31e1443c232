"""What a session can call, and the steps that lead there.

A `Remote` is a durable object, or a part of it that its class exposes; a call on it becomes an
instruction of a program. A `Local` is an object of the gateway's own; a call on it runs here. On
both only what is declared with `@call` or `@cast` can be named. Data is stepped into as JavaScript
does, and beyond: a list takes its indexes as text, which is how the official client writes them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from raydo.pipelining.capnweb.faults import not_a_function
from raydo.pipelining.capnweb.local import Held, Local
from raydo.pipelining.capnweb.slot import Slot
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.capnweb.values import UNDEFINED, PeerError
from raydo.pipelining.errors import UnknownMethod
from raydo.pipelining.method import exposed_by, methods_of
from raydo.pipelining.noun import Noun
from raydo.pipelining.reach import Kinds, check_method
from raydo.pipelining.stub import registered

Key: TypeAlias = str | int
Path: TypeAlias = Sequence[Key]


@dataclass(frozen=True, slots=True)
class Remote:
    """A durable object, or what lies at a path of exposed attributes in it."""

    noun: Noun
    cls: (
        type | None
    )  # None for a part whose class nobody declared; its object judges what is called
    path: tuple[str, ...] = ()
    extra: Local | None = None  # what the gateway adds to the object's own methods
    kinds: Kinds | None = None  # of methods that may be called; None: all of them


@dataclass(frozen=True, slots=True)
class RemoteMethod:
    remote: Remote
    name: str


@dataclass(frozen=True, slots=True)
class LocalMethod:
    local: Local
    name: str
    held: Held | None = None


Target: TypeAlias = Remote | RemoteMethod | Held | LocalMethod
TARGETS = (Remote, RemoteMethod, Held, LocalMethod)


def remote(noun: Noun, extra: Local | None = None, kinds: Kinds | None = None) -> Remote:
    """Name a durable object.

    Raises:
        UnknownObject: no such class is loaded.
    """
    return Remote(noun, registered(noun.cls), (), extra, kinds)


def walk(value: Any, path: Path) -> tuple[Any, Path]:
    """Follow a path as far as it can be followed here; the rest is for the slot or stub met there.

    Raises:
        PeerError: a step into undefined or null. Forbidden: one to what the key is not for.
    """
    for taken, key in enumerate(path):
        if isinstance(value, (Slot, ClientStub)):
            return value, path[taken:]
        value = step(value, key)
    return value, ()


def callee(value: Any, path: Path) -> tuple[Any, Path]:
    """Find what a call at a path runs: a method, or a slot or stub and the rest of the path.

    Raises:
        UnknownMethod, PeerError: nothing that can be called. Forbidden: not with this key.
    """
    if not path:
        if isinstance(value, (RemoteMethod, LocalMethod, ClientStub, Slot)):
            return value, ()
        raise not_a_function(["the value"])
    owner, rest = walk(value, path[:-1])
    if rest or isinstance(owner, (Slot, ClientStub)):
        return owner, (*rest, path[-1])
    found = step(owner, path[-1])
    if isinstance(found, Remote) and found.cls is None:
        return RemoteMethod(Remote(found.noun, None, found.path[:-1]), found.path[-1]), ()
    if isinstance(found, (RemoteMethod, LocalMethod, ClientStub, Slot)):
        return found, ()
    raise _no_method(owner, path)


def step(value: Any, key: Key) -> Any:
    """Take one step on what is neither a slot nor a stub.

    Raises:
        PeerError: it is undefined or null. Forbidden: the session's key is not for it.
    """
    if isinstance(value, dict):
        if key in value:
            return value[key]
        other = str(key) if isinstance(key, int) else _index(key)  # Python's keys may be numbers
        return value.get(other, UNDEFINED)
    if isinstance(value, (list, tuple)):
        index = _index(key)
        return value[index] if index is not None and index < len(value) else UNDEFINED
    if isinstance(value, Remote):
        return _part(value, str(key))
    if isinstance(value, Held) and value.local is not None:
        known = value.local.find(str(key)) is not None
        return LocalMethod(value.local, str(key), value) if known else UNDEFINED
    if value is None or value is UNDEFINED:
        what = "null" if value is None else "undefined"
        raise PeerError("TypeError", f"Cannot read properties of {what} (reading '{key!s:.200}')")
    return UNDEFINED


def _index(key: Key) -> int | None:
    if isinstance(key, int):
        return key if key >= 0 else None
    if not key.isdecimal() or len(key) > 10 or not key.isascii():
        return None
    return int(key) if key == "0" or key[0] != "0" else None


def _part(target: Remote, name: str) -> Any:
    if target.extra is not None and target.extra.find(name) is not None:
        return LocalMethod(target.extra, name)
    if target.cls is None:
        return Remote(target.noun, None, (*target.path, name))
    method = methods_of(target.cls).get(name)
    if method is not None:
        if target.kinds is not None:
            check_method(method, name, target.kinds)
        return RemoteMethod(target, name)
    parts = exposed_by(target.cls)
    if name in parts:
        return Remote(target.noun, parts[name], (*target.path, name), None, target.kinds)
    return UNDEFINED


def _no_method(owner: Any, path: Path) -> Exception:
    name = str(path[-1])[:80]
    if isinstance(owner, Remote) and owner.cls is not None:
        names = {method.js or method.name for method in methods_of(owner.cls).values()}
        names |= owner.extra.names() if owner.extra else set()
        kind = owner.cls.__name__
    elif isinstance(owner, Held) and owner.local is not None:
        names, kind = owner.local.names(), type(owner.local).__name__
    else:
        return not_a_function(list(path))
    return UnknownMethod(f"{kind} has no method {name!r}; it has {', '.join(sorted(names))}.")
