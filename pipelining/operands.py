"""What instructions take: earlier values, and references to them inside arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from raydo.pipelining.codec import Ref
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.step import is_remote


class Failed:
    """Stand in for the value of an instruction that failed, or that depends on one."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


class Waits:
    """Stand in for a value that comes later, by its place among the instructions that wait."""

    __slots__ = ("index",)

    def __init__(self, index: int) -> None:
        self.index = index


class Poisoned(Exception):
    """Leave an instruction whose argument has failed."""

    def __init__(self, failed: Failed) -> None:
        self.failed = failed


def at(index: int, values: list[Any], outer: Sequence[Any]) -> Any:
    """Look up an operand.

    Raises:
        Poisoned: it failed.
        InvalidArgument: it comes later.
    """
    value = values[index] if index >= 0 else outer[-1 - index]
    if type(value) is Failed:
        raise Poisoned(value)
    if type(value) is Waits:
        raise InvalidArgument(
            "A call cannot take what a query is still to find; await it first, and pass its value."
        )
    return value


def fill(value: Any, values: list[Any], outer: Sequence[Any]) -> Any:
    """Put values in the place of references."""
    if type(value) is Ref:
        found = at(value.index, values, outer)
        if is_remote(found):
            raise InvalidArgument(f"A {type(found).__name__} itself cannot travel; name its data.")
        return found
    if type(value) is list:
        return [fill(item, values, outer) for item in value]
    if type(value) is dict:
        return {key: fill(item, values, outer) for key, item in value.items()}
    return value


def weigh(value: Any, most: int) -> int:
    """Estimate the size of a value as it would travel, giving up above `most`."""
    total, level = 0, [value]
    while level and total <= most:
        item = level.pop()
        total += 1
        if isinstance(item, (str, bytes)):
            total += len(item)
        elif isinstance(item, dict):
            total += sum(len(key) if isinstance(key, str) else 1 for key in item)
            level.extend(item.values())
        elif isinstance(item, (list, tuple)):
            level.extend(item)
    return total
