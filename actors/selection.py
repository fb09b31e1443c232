"""Which events a metric counts, as a condition in SQL: the property, event and user filters.

A filter is written `name:value` or `name!:value`. Several of one name with `:` are alternatives;
everything else must hold together. A property is compared as text: a text as it is, anything else
as its JSON, so `5`, `true` and `"5"` are `5`, `true` and `5`. What an event lacks, or has as null,
equals nothing, so `name!:value` takes it in.

Nothing that a caller sends becomes a part of a statement: values and paths are bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from raydo.actors.event import BOT
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import (
    FILTER_VALUE_BYTES_MAX,
    FILTERS_MAX,
    PROPERTY_NAME_BYTES_MAX,
)

PERSON: Final = "person_id"  # the column of `events` that says whose event it is
EXPLICIT: Final = "properties."  # before a property that has the name of a dimension
HUMANS: Final = f"flags & {BOT} = 0"
# Names that stand for the first of several properties that an event has: each vendor has its own.
ALIASES: Final[Mapping[str, Sequence[str]]] = {
    "page": ("page", "path", "$pathname", "url", "$current_url"),
    "source": ("utm_source", "referrer", "$referrer"),
}
_COLUMNS: Final = {"event": "event", "user": PERSON}
_UNQUOTABLE: Final = frozenset('"\\*\0')  # what the engines' paths understand differently


class Bindings:
    """The values of a statement, each under a name."""

    def __init__(self) -> None:
        self.values: dict[str, str | int] = {}
        self._names: dict[str | int, str] = {}

    def add(self, value: str | int) -> str:
        """Bind a value, and return what stands for it in the statement."""
        name = self._names.setdefault(value, f"p{len(self._names)}")
        self.values[name] = value
        return f":{name}"


class Filter(NamedTuple):
    """One condition: that what an event has under a name is a value, or is not."""

    name: str
    value: str
    negated: bool


def parse_filters(texts: Iterable[str] | None) -> list[Filter]:
    """Read filters.

    Raises:
        InvalidArgument: one is no `name:value`, or they are too many.
    """
    if isinstance(texts, str):
        texts = [texts]
    filters = [_filter(text) for text in texts or ()]
    if len(filters) > FILTERS_MAX:
        raise InvalidArgument(f"There are at most {FILTERS_MAX} filters.")
    return filters


def condition(filters: Sequence[Filter], bindings: Bindings) -> str:
    """Write what all filters together ask of a row of `events`."""
    alternatives: dict[str, list[str]] = {}
    parts = []
    for name, value, negated in filters:
        bound = bindings.add(value)
        if negated:
            found = dimension(name, bindings)
            parts.append(f"({found} IS NULL OR {found} <> {bound})")
        else:
            alternatives.setdefault(name, []).append(bound)
    for name, values in alternatives.items():
        parts.append(f"{dimension(name, bindings)} IN ({', '.join(values)})")
    return " AND ".join(parts) or "1 = 1"


def dimension(name: object, bindings: Bindings) -> str:
    """Write the text that an event has under a name; NULL when it has none.

    Raises:
        InvalidArgument: no event can have a property of this name.
    """
    checked = check_property(name)
    if checked in _COLUMNS:
        return _COLUMNS[checked]
    if checked in ALIASES:
        found = ", ".join(_property(each, bindings) for each in ALIASES[checked])
        return f"coalesce({found})"
    return _property(checked.removeprefix(EXPLICIT), bindings)


def check_property(name: object) -> str:
    """Refuse what cannot be the name of a property.

    Raises:
        InvalidArgument: it cannot.
    """
    if not isinstance(name, str) or not name or _UNQUOTABLE & set(name):
        raise InvalidArgument(f'A property has a name without ", \\ and *, not {name!r:.80}.')
    if len(name.encode(errors="replace")) > PROPERTY_NAME_BYTES_MAX:
        raise InvalidArgument(f"A property's name has at most {PROPERTY_NAME_BYTES_MAX} bytes.")
    return name


def _filter(text: object) -> Filter:
    name, colon, value = text.partition(":") if isinstance(text, str) else ("", "", "")
    negated = name.endswith("!")
    name = name.removesuffix("!")
    if not colon or not name:
        raise InvalidArgument(f"A filter is name:value or name!:value, not {text!r:.80}.")
    if len(value.encode(errors="replace")) > FILTER_VALUE_BYTES_MAX:
        raise InvalidArgument(f"A filter's value has at most {FILTER_VALUE_BYTES_MAX} bytes.")
    return Filter(check_property(name), value, negated)


def _property(name: str, bindings: Bindings) -> str:
    path = bindings.add(f'$."{name}"')
    return (
        f"CASE json_type(properties, {path}) WHEN 'text' THEN '' || (properties ->> {path})"
        f" WHEN 'null' THEN NULL ELSE properties -> {path} END"
    )
