"""Between which moments the events lie that a statement can need, as far as its WHEREs say so.

A guess that is never too narrow. Each time the statement names `events`, the conditions right
beside it may bound the timestamps; what all of them need together is what must be read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final, NamedTuple

from raydo.actors.moments import Scalar
from raydo.actors.permit import SCHEMA
from raydo.actors.tree import Node, walk
from raydo.actors.zone import Calendar, parse_date
from raydo.pipelining.errors import InvalidArgument

EVENTS: Final = "events"
DAY_MS: Final = 86_400_000
_FAR: Final = 2**62

Number = int | float


class Span(NamedTuple):
    """`first_ms <= timestamp <= last_ms`."""

    first_ms: int = -_FAR
    last_ms: int = _FAR

    def both(self, other: Span) -> Span:
        """Return what lies in this span and in another."""
        return Span(max(self.first_ms, other.first_ms), min(self.last_ms, other.last_ms))

    def either(self, other: Span) -> Span:
        """Return a span that holds this one and another."""
        return Span(min(self.first_ms, other.first_ms), max(self.last_ms, other.last_ms))


ALWAYS: Final = Span()
_EQUAL: Final = "COMPARE_EQUAL"
_ABOVE: Final = "COMPARE_GREATERTHAN"
_BELOW: Final = "COMPARE_LESSTHAN"
_FROM: Final = "COMPARE_GREATERTHANOREQUALTO"
_UP_TO: Final = "COMPARE_LESSTHANOREQUALTO"
_MIRRORED: Final = {_EQUAL: _EQUAL, _ABOVE: _BELOW, _BELOW: _ABOVE, _FROM: _UP_TO, _UP_TO: _FROM}


class Spans:
    """Find the span of one statement, whose tree `Permit` has checked."""

    def __init__(self, parameters: Mapping[str, Scalar], calendar: Calendar) -> None:
        self._parameters = parameters
        self._calendar = calendar

    def find(self, tree: Node) -> Span:
        """Return the span that holds all events that the statement can need."""
        found: Span | None = None
        for node in walk(tree):
            if node.get("type") == "SELECT_NODE":
                for span in self._of_query(node):
                    found = span if found is None else found.either(span)
        return found or ALWAYS

    def _of_query(self, query: Node) -> Iterator[Span]:
        sources = list(_sources(query["from_table"]))
        for source in sources:
            if source.get("table_name", "").lower() != EVENTS or source["schema_name"] != SCHEMA:
                continue
            span = ALWAYS
            if not source["column_name_alias"] and query["where_clause"] is not None:
                for condition in _conditions(query["where_clause"]):
                    span = span.both(self._of(condition, source["alias"], len(sources) == 1))
            yield span

    def _of(self, condition: Node, alias: str, alone: bool) -> Span:
        if condition.get("class") == "BETWEEN":
            lower = self._compared(_FROM, condition["input"], condition["lower"], alias, alone)
            upper = self._compared(_UP_TO, condition["input"], condition["upper"], alias, alone)
            return lower.both(upper)
        kind = condition.get("type", "")
        if condition.get("class") != "COMPARISON" or kind not in _MIRRORED:
            return ALWAYS
        left, right = condition["left"], condition["right"]
        as_written = self._compared(kind, left, right, alias, alone)
        return as_written.both(self._compared(_MIRRORED[kind], right, left, alias, alone))

    def _compared(self, kind: str, column: Node, value: Node, alias: str, alone: bool) -> Span:
        names = [name.lower() for name in column.get("column_names", ())]
        if names[:-1] != [alias.lower()] and (names[:-1] or not alone):
            return ALWAYS
        if names[-1:] == ["timestamp"]:
            number = _number(self._value(value))
            return ALWAYS if number is None else _by_number(kind, number)
        if names[-1:] == ["date"]:
            return self._by_date(kind, self._value(value))
        return ALWAYS

    def _by_date(self, kind: str, text: object) -> Span:
        if not isinstance(text, str):
            return ALWAYS
        try:
            day = self._calendar.days(1, parse_date(text))[0]
        except InvalidArgument:
            return ALWAYS
        # A day that clocks turn back into begins twice; a day more on each side holds both.
        first, last = day.start_ms - DAY_MS, day.end_ms + DAY_MS
        return _by_number(kind, first).either(_by_number(kind, last))

    def _value(self, node: Node) -> object:
        """Compute a constant expression, or None."""
        kind = node.get("class")
        if kind == "PARAMETER":
            return self._parameters.get(node["identifier"])
        if kind == "CAST":
            return self._value(node["child"])
        if kind == "CONSTANT" and node["literal"]["kind"] in _LITERALS:
            return _LITERALS[node["literal"]["kind"]](node["literal"]["text"])
        if kind == "FUNCTION" and node["function_name"] in ("_raydo_integer", "_raydo_real"):
            return self._value(node["arguments"][0]["expression"])
        if kind == "FUNCTION" and node["function_name"] in _OPERATIONS:
            values = [_number(self._value(each["expression"])) for each in node["arguments"]]
            if len(values) == 2 and values[0] is not None and values[1] is not None:
                return _OPERATIONS[node["function_name"]](values[0], values[1])
        return None


_LITERALS: Final[dict[str, Callable[[str], object]]] = {
    "INTEGER": int,
    "NUMERIC": float,
    "STRING": str,
}
_OPERATIONS: Final[dict[str, Callable[[Any, Any], Number]]] = {
    "*": lambda left, right: left * right,
    "+": lambda left, right: left + right,
    "-": lambda left, right: left - right,
}


def _sources(source: Node) -> Iterator[Node]:
    """Give the tables and subqueries of a FROM."""
    if source["type"] == "JOIN":
        yield from _sources(source["left"])
        yield from _sources(source["right"])
    else:
        yield source


def _conditions(where: Node) -> Iterator[Node]:
    """Give the conditions that must all hold."""
    if where.get("type") == "CONJUNCTION_AND":
        for each in where["children"]:
            yield from _conditions(each)
    else:
        yield where


def _by_number(kind: str, number: Number) -> Span:
    if math.isnan(number) or abs(number) >= _FAR:
        return ALWAYS
    first = math.floor(number) + 1 if kind == _ABOVE else math.ceil(number)
    last = math.ceil(number) - 1 if kind == _BELOW else math.floor(number)
    return Span(
        first if kind in (_EQUAL, _ABOVE, _FROM) else -_FAR,
        last if kind in (_EQUAL, _BELOW, _UP_TO) else _FAR,
    )


def _number(value: object) -> Number | None:
    if isinstance(value, str):
        with suppress(ValueError):
            return int(value)
    return value if isinstance(value, int | float) else None
