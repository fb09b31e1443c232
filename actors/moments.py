"""SQLite's date and time functions, as the historical engine can compute them.

What depends on no column is computed by SQLite itself, once, and is a constant from then on: so
`date('now', '-7 days')` is the same in both engines, and can be seen to bound what must be read.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from raydo.actors.tree import Node, cast, constant, function
from raydo.pipelining.errors import QueryError

Scalar = str | int | float | bytes | None

FORMATS: Final = {
    "date": "%Y-%m-%d",
    "datetime": "%Y-%m-%d %H:%M:%S",
    "time": "%H:%M:%S",
}
MOMENT_FUNCTIONS: Final = frozenset({*FORMATS, "julianday", "strftime", "unixepoch"})

_SECONDS_CODE: Final = "%s"
_CODES: Final = {code: f"%{code}" for code in "dHjmMSwWY%"} | {"f": "%S.%g"}
_SPAN: Final = re.compile(r"([+-]?\d+(?:\.\d+)?) (second|minute|hour|day)s?", re.IGNORECASE)
_MONTHS: Final = re.compile(r"([+-]?\d+) (month|year)s?", re.IGNORECASE)
_START: Final = re.compile(r"start of (day|month|year)", re.IGNORECASE)
_WEEKDAY: Final = re.compile(r"weekday ([0-6])", re.IGNORECASE)
_SPAN_MS: Final = {"second": 1_000, "minute": 60_000, "hour": 3_600_000, "day": 86_400_000}


def evaluate(name: str, arguments: Sequence[Scalar]) -> Scalar:
    """Let SQLite compute a date or time function of constants."""
    connection = sqlite3.connect(":memory:")
    try:
        marks = ", ".join("?" * len(arguments))
        value: Scalar = connection.execute(f"SELECT {name}({marks})", arguments).fetchone()[0]
    except sqlite3.Error as error:
        raise QueryError(f"{name}(): {error}.") from None
    finally:
        connection.close()
    return value


def moment(name: str, arguments: Sequence[Node], constants: Mapping[int, Scalar]) -> Node:
    """Make what computes `name(arguments)`, of which those in `constants` are known.

    Raises:
        QueryError: it cannot be computed over archived events.
    """
    if len(constants) == len(arguments):
        return _known(evaluate(name, [constants[at] for at in range(len(arguments))]))
    at = 1 if name == "strftime" else 0
    modifiers = [constants.get(place) for place in range(at + 1, len(arguments))]
    time = _moved(_base(arguments[at], modifiers), modifiers)
    if name == "strftime":
        return _formatted(time, constants.get(0))
    if name in FORMATS:
        return function("strftime", time, constant(FORMATS[name]))
    if name == "unixepoch":
        return function("_raydo_seconds", time)
    return function("_raydo_julianday", time)


def _known(value: Scalar) -> Node:
    if isinstance(value, float):
        return cast(constant(str(value)), "DOUBLE")
    return constant(value if isinstance(value, int | None) else str(value))


def _base(value: Node, modifiers: list[Scalar]) -> Node:
    """Make a timestamp of the time value, which is a text unless the first modifier says more."""
    if modifiers and _lower(modifiers[0]) in ("unixepoch", "auto"):
        del modifiers[0]
        return function("_raydo_of_seconds", value)
    return function("_raydo_of_text", value)


def _moved(time: Node, modifiers: Sequence[Scalar]) -> Node:
    whole = False  # whether the moment is the first of its month or year
    for modifier in modifiers:
        pattern, found = _understood(modifier)
        if pattern is _MONTHS and not whole:
            # From the 31st, SQLite and others disagree about where a month later is.
            raise QueryError(
                f"The modifier {modifier!r} runs over archived events"
                " only after 'start of month' or 'start of year'."
            )
        whole = pattern is _MONTHS or (pattern is _START and found[1] != "day")
        time = _MOVES[pattern](time, found)
    return time


def _understood(modifier: Scalar) -> tuple[re.Pattern[str], re.Match[str]]:
    text = _lower(modifier)
    for pattern in _MOVES:
        if found := pattern.fullmatch(text):
            return pattern, found
    raise QueryError(f"The modifier {modifier!r} of a date does not run over archived events.")


def _by_span(time: Node, found: re.Match[str]) -> Node:
    ms = round(float(found[1]) * _SPAN_MS[found[2]])
    return function("_raydo_later", time, constant(ms))


def _by_months(time: Node, found: re.Match[str]) -> Node:
    months = int(found[1]) * (12 if found[2] == "year" else 1)
    return function("_raydo_months_later", time, constant(months))


def _to_start(time: Node, found: re.Match[str]) -> Node:
    return function("_raydo_start", constant(found[1]), time)


def _to_weekday(time: Node, found: re.Match[str]) -> Node:
    return function("_raydo_weekday", time, constant(int(found[1])))


_MOVES: Final[dict[re.Pattern[str], Callable[[Node, re.Match[str]], Node]]] = {
    _SPAN: _by_span,
    _MONTHS: _by_months,
    _START: _to_start,
    _WEEKDAY: _to_weekday,
}


def _formatted(time: Node, pattern: Scalar) -> Node:
    if not isinstance(pattern, str):
        raise QueryError("The format of strftime() over archived events is a constant text.")
    if pattern == _SECONDS_CODE:
        return cast(function("_raydo_seconds", time), "VARCHAR")
    translated = re.sub(r"%(.?)", _code, pattern)
    return function("strftime", time, constant(translated))


def _code(found: re.Match[str]) -> str:
    if found[1] not in _CODES:
        raise QueryError(f"strftime()'s {found[0]} does not run over archived events.")
    return _CODES[found[1]]


def _lower(modifier: Scalar) -> str:
    if not isinstance(modifier, str):
        raise QueryError("The modifiers of a date over archived events are constant texts.")
    return modifier.lower()


MOMENT_DEFINITIONS: Final = (
    "CREATE MACRO _raydo_of_seconds(x) AS make_timestamp((x * 1000000)::BIGINT)",
    "CREATE MACRO _raydo_of_text(x) AS TRY_CAST(x::VARCHAR AS TIMESTAMP)",
    "CREATE MACRO _raydo_later(t, ms) AS t + to_milliseconds(ms)",
    "CREATE MACRO _raydo_months_later(t, n) AS t + to_months(n::INTEGER)",
    "CREATE MACRO _raydo_start(part, t) AS date_trunc(part, t)::TIMESTAMP",
    "CREATE MACRO _raydo_weekday(t, n) AS t + to_days(((n - dayofweek(t) + 7) % 7)::INTEGER)",
    "CREATE MACRO _raydo_seconds(t) AS (epoch_us(t) // 1000000)::BIGINT",
    "CREATE MACRO _raydo_julianday(t) AS epoch_us(t) / 86400000000.0::DOUBLE + 2440587.5::DOUBLE",
)
