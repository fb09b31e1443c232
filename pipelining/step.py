"""One step along a path: into data by its keys and indexes, into an object by what it exposes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from raydo.pipelining.errors import InvalidArgument, UnknownMethod
from raydo.pipelining.method import exposed_by, methods_of

INDEX_DIGITS_MAX: Final = 10  # of an index that comes as text


def is_remote(value: object) -> bool:
    """Say whether a value is an object with methods for callers, which only they can reach."""
    return bool(methods_of(type(value)) or exposed_by(type(value)))


def step_into(value: Any, key: str | int) -> Any:
    """Take one step along a path: a dict's key, a sequence's index, an exposed attribute.

    Raises:
        InvalidArgument, UnknownMethod: there is no such thing to step into.
    """
    if isinstance(value, dict):
        return _item(value, key)
    if isinstance(value, (list, tuple, str)):
        return _index(value, key)
    if key in exposed_by(type(value)):
        return getattr(value, str(key))
    if is_remote(value):
        raise unknown_method(value, str(key))
    raise InvalidArgument(f"{_kind(value)} has no {key!r}.")


def peek(value: Any, key: str | int) -> Any:
    """Take one step as JavaScript does: what data does not have is None.

    Raises:
        InvalidArgument, UnknownMethod: a step into None, or one that an object does not expose.
    """
    if isinstance(value, dict):
        return value.get(key)
    if isinstance(value, (list, tuple)):
        index = int(key) if str(key).isdecimal() and len(str(key)) <= INDEX_DIGITS_MAX else -1
        return value[index] if 0 <= index < len(value) else None
    if value is None or is_remote(value):
        return step_into(value, key)
    return None


def _item(value: dict[Any, Any], key: str | int) -> Any:
    try:
        return value[key]
    except KeyError:
        keys = ", ".join(map(repr, list(value)[:10]))
        raise InvalidArgument(f"There is no {key!r} here; there is {keys or 'nothing'}.") from None


def _index(value: Sequence[Any], key: str | int) -> Any:
    try:
        return value[int(key)]  # JavaScript sends indexes as text
    except ValueError:
        raise InvalidArgument(f"{_kind(value)} has indexes, not {key!r:.80}.") from None
    except IndexError:
        raise InvalidArgument(f"Index {key} is outside of {len(value)} items.") from None


def _kind(value: object) -> str:
    return "None" if value is None else f"A {type(value).__name__}"


def unknown_method(target: object, name: str) -> UnknownMethod:
    """Say that a method is not there, and which ones are."""
    names = sorted({method.name for method in methods_of(type(target)).values()})
    if not names:
        return UnknownMethod(f"{_kind(target)} is data and has no method {name!r:.80}.")
    kind = type(target).__name__
    return UnknownMethod(f"{kind} has no method {name!r:.80}; it has {', '.join(names)}.")
