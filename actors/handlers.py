"""Which methods of an object a timer may run, and how one is found again after a restart.

A timer's row holds its handler's name, so a handler is a method that the class still has under
that name. It takes nothing but the object, or one argument more: then it is told of the firing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from types import FunctionType, MethodType
from typing import Any, NamedTuple

from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.method import Method


class Firing(NamedTuple):
    """Tell a handler for which moment it runs, and which time this is: 1 is the first."""

    scheduled_ms: int
    attempt: int


def name_of(owner: object, handler: Callable[..., Any]) -> str:
    """Name a handler so that a later activation of the object can find it.

    Raises:
        InvalidArgument: it is no method of `owner`, or not one that a timer can run.
    """
    name = f"{type(owner).__name__}.{getattr(handler, '__name__', '')}"
    found = find(owner, name)
    if found is None or handler != found:
        raise InvalidArgument(
            f"A timer's handler is a method of the object, as in self.every.hour(self.tidy); it is"
            f" found by its name after a restart, and {handler!r:.80} could not be."
        )
    _takes_firing(found.__func__)
    return name


def method_of(owner: object, handler: Callable[..., Any]) -> str:
    """Name a method so that a later activation of the object can find it.

    Raises:
        InvalidArgument: it is no method of `owner`.
    """
    name = f"{type(owner).__name__}.{getattr(handler, '__name__', '')}"
    if (found := find(owner, name)) is None or handler != found:
        raise InvalidArgument(f"This takes a method of the object itself, not {handler!r:.80}.")
    return name


def find(owner: object, name: str) -> MethodType | None:
    """Find the handler that was named so; None when the class has it no more."""
    found = getattr(type(owner), name.rpartition(".")[2], None)
    if isinstance(found, Method):
        found = found.func
    return MethodType(found, owner) if isinstance(found, FunctionType) else None


def run(handler: MethodType, firing: Firing) -> None:
    """Run a handler, and tell it of the firing when it wants to know."""
    handler(*((firing,) if _takes_firing(handler.__func__) else ()))


@lru_cache(1_024)
def _takes_firing(func: Callable[..., Any]) -> bool:
    """Tell whether a method needs an argument beside the object.

    Raises:
        InvalidArgument: it needs more than one, or it isn't a plain function.
    """
    if inspect.iscoroutinefunction(func) or inspect.isgeneratorfunction(func):
        raise InvalidArgument(
            f"{func.__qualname__} cannot be a timer's handler: it is no plain function."
        )
    needed = [
        parameter
        for parameter in inspect.signature(func).parameters.values()
        if parameter.default is parameter.empty
        and parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    ]
    if len(needed) > 2 or any(each.kind is each.KEYWORD_ONLY for each in needed):
        raise InvalidArgument(
            f"{func.__qualname__} cannot be a timer's handler: it needs more than one argument."
        )
    return len(needed) == 2
