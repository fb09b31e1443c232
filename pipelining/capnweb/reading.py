"""Maps that only read: made into Python functions, since a list may have ten thousand elements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raydo.pipelining.capnweb.reader import path_of
from raydo.pipelining.capnweb.targets import step
from raydo.pipelining.errors import RaydoError
from raydo.pipelining.limits import CAPNWEB_DEPTH_MAX

Reading = Callable[[list[Any]], Any]  # from the element, and the results so far, to the next


class _More(Exception):
    """Leave instructions that do more than read."""


def compile_reading(instructions: list[Any]) -> Reading | None:
    """Make one function of instructions; None if they do more than read properties of plain data."""
    try:
        steps = [
            _compile(instruction, number + 1, CAPNWEB_DEPTH_MAX)
            for number, instruction in enumerate(instructions)
        ]
    except (_More, RaydoError):
        return None
    if len(steps) == 1:
        return steps[0]

    def read(variables: list[Any]) -> Any:
        for each in steps:
            variables.append(each(variables))
        return variables[-1]

    return read


def _compile(expression: Any, known: int, depth: int) -> Reading:
    if depth <= 0:
        raise _More
    if isinstance(expression, dict):
        items = [(key, _compile(item, known, depth - 1)) for key, item in expression.items()]
        return lambda variables: {key: read(variables) for key, read in items}
    if not isinstance(expression, list):
        return lambda _: expression
    match expression:
        case [list(elements)]:
            reads = [_compile(element, known, depth - 1) for element in elements]
            return lambda variables: [read(variables) for read in reads]
        case ["pipeline", int(number)] if 0 <= number < known:
            return lambda variables: variables[number]
        case ["pipeline", int(number), list(path)] if 0 <= number < known:
            return _property(number, path_of(path))
    raise _More


def _property(number: int, path: list[str | int]) -> Reading:
    if len(path) == 1:
        key = path[0]
        return lambda variables: step(variables[number], key)

    def read(variables: list[Any]) -> Any:
        value = variables[number]
        for key in path:
            value = step(value, key)
        return value

    return read
