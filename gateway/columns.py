"""How the columns of a CSV file become the fields of an event.

Known names fill the event's own fields, in snake or camel case; every other column becomes a
property. CSV has no types, so a column counts as numbers when a sample of it holds nothing else
(`007` is text). That is decided once for the file: a property that is sometimes text and
sometimes a number would be useless to query.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from raydo.pipelining.errors import InvalidArgument

FIELDS: Final[Mapping[str, tuple[str, ...]]] = {
    "event": ("event", "event_name", "event_type", "name"),
    "userId": ("user_id", "userid", "distinct_id"),
    "anonymousId": ("anonymous_id", "anonymousid"),
    "timestamp": ("timestamp", "time", "ts"),
    "receivedAt": ("received_at", "receivedat"),
    "messageId": ("message_id", "messageid", "insert_id", "uuid", "id"),
}

_NUMBER: Final = re.compile(r"-?(0|[1-9]\d{0,14})(\.\d{1,15})?")
_encode: Final = msgspec.json.Encoder().encode


class Columns:
    """Map rows of one file to events."""

    def __init__(
        self, header: Sequence[str], mapping: Mapping[str, str], tenant_column: str | None
    ) -> None:
        self.width = len(header)
        self._header = [name.strip() for name in header]
        self._tenant = None if tenant_column is None else self._index(tenant_column)
        self._fields = self._find_fields(mapping)
        taken = {self._tenant, *self._fields.values()}
        self._properties = {
            name: index for index, name in enumerate(self._header) if index not in taken
        }
        self._numbers: frozenset[int] = frozenset()
        if "event" not in self._fields:
            raise InvalidArgument(
                f"No column is named `event`; the columns are {', '.join(self._header)}. "
                "Say which one it is with --map event=COLUMN."
            )

    def learn(self, rows: Sequence[Sequence[str]]) -> None:
        """Decide from a sample which properties are numbers."""
        self._numbers = frozenset(
            index for index in self._properties.values() if _is_numbers(rows, index)
        )

    def tenant(self, row: Sequence[str]) -> str:
        assert self._tenant is not None
        return row[self._tenant]

    def event(self, row: Sequence[str]) -> bytes:
        """Write one row as the JSON of an event; empty cells are left out."""
        event: dict[str, Any] = {
            field: _time(row[index]) if field in {"timestamp", "receivedAt"} else row[index]
            for field, index in self._fields.items()
            if row[index]
        }
        event["properties"] = {
            name: _number(row[index]) if index in self._numbers else row[index]
            for name, index in self._properties.items()
            if row[index]
        }
        return _encode(event)

    def _find_fields(self, mapping: Mapping[str, str]) -> dict[str, int]:
        fields: dict[str, int] = {}
        for field, names in FIELDS.items():
            wanted = mapping.get(field) or next((mapping[n] for n in names if n in mapping), None)
            if wanted is not None:
                fields[field] = self._index(wanted)
            else:
                index = self._first(names)
                if index is not None:
                    fields[field] = index
        unknown = set(mapping) - set(FIELDS) - {name for names in FIELDS.values() for name in names}
        if unknown:
            raise InvalidArgument(
                f"--map knows the fields {', '.join(FIELDS)}, not {', '.join(sorted(unknown))}."
            )
        return fields

    def _first(self, names: Sequence[str]) -> int | None:
        lowered = [name.lower() for name in self._header]
        found = (lowered.index(name) for name in names if name in lowered)
        return next((index for index in found if index != self._tenant), None)

    def _index(self, column: str) -> int:
        if column not in self._header:
            raise InvalidArgument(
                f"No column is named {column!r}; the columns are {', '.join(self._header)}."
            )
        return self._header.index(column)


def _is_numbers(rows: Sequence[Sequence[str]], index: int) -> bool:
    cells = [row[index] for row in rows if index < len(row) and row[index]]
    return bool(cells) and all(_NUMBER.fullmatch(cell) for cell in cells)


def _number(cell: str) -> int | float | str:
    if not _NUMBER.fullmatch(cell):
        return cell
    return float(cell) if "." in cell else int(cell)


def _time(cell: str) -> int | str:
    """Pass on epoch milliseconds as a number and everything else as the ISO text it should be."""
    return int(cell) if cell.isdecimal() else cell
