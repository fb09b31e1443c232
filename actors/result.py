"""The rows of an answer, whatever engine found them: named, typed, and bounded.

The types are SQLite's. What another engine has besides them becomes what SQLite would have stored:
a truth 0 or 1, a date or moment its ISO text, a list or an object its JSON.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final

from raydo.actors.functions import VALUE
from raydo.pipelining.errors import QueryError
from raydo.pipelining.limits import QUERY_BYTES_MAX

Row = dict[str, Any]

VALUE_BYTES: Final = 8  # what a number or a null counts for in the bound on bytes

_TYPES: Final[dict[type, str]] = {int: "INTEGER", float: "REAL", str: "TEXT", bytes: "BLOB"}
_EXACT: Final = 2**53  # up to here a REAL holds every whole number


def collect(
    values: Iterable[Sequence[Any]], names: Sequence[str], rows_max: int
) -> tuple[list[Row], bool]:
    """Take rows until there are enough; tell whether that cut some off."""
    rows: list[Row] = []
    size = 0
    for row in values:
        size += sum(len(v) if isinstance(v, str | bytes) else VALUE_BYTES for v in row)
        if len(rows) == rows_max or size > QUERY_BYTES_MAX:
            return rows, True
        rows.append(dict(zip(names, row, strict=True)))
    return rows, False


def columns(names: Sequence[str], rows: Sequence[Row]) -> list[dict[str, str]]:
    """Name the columns and the type that all their values have."""
    return [{"name": name, "type": _type(row[name] for row in rows)} for name in names]


def distinct(names: Iterable[str]) -> list[str]:
    """Tell columns of the same name apart, as SQLite does: `n`, `n:1`, `n:2`."""
    seen: dict[str, int] = {}
    told_apart = []
    for name in names:
        count = seen.get(name, 0)
        seen[name] = count + 1
        told_apart.append(f"{name}:{count}" if count else name)
    return told_apart


def reader(types: Sequence[str]) -> Callable[[Sequence[Any]], list[Any]]:
    """Make what turns a row of these DuckDB types into one of SQLite's."""
    readers = [_reader(kind) for kind in types]
    return lambda row: [
        None if value is None else read(value) for read, value in zip(readers, row, strict=True)
    ]


def _reader(kind: str) -> Callable[[Any], Any]:
    base = kind.partition("(")[0]
    if kind == VALUE or base == "UNION":
        return _of_value
    if "[" in kind or base in ("STRUCT", "MAP"):
        return _json
    return _READERS.get(base, str)


def _same(value: Any) -> Any:
    return value


def _of_value(value: float | str) -> int | float | str:
    if isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return int(value)
    return value


def _whole(value: int) -> int:
    if not -(2**63) <= value < 2**63:
        raise QueryError("integer overflow.")
    return value


def _moment(value: datetime) -> str:
    text = value.replace(tzinfo=None).isoformat(" ", "milliseconds")
    return text.removesuffix(".000")


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Decimal):
        return float(value)
    return _moment(value) if isinstance(value, datetime) else str(value)


_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), _same),
    **dict.fromkeys(("UTINYINT", "USMALLINT", "UINTEGER"), _same),
    **dict.fromkeys(("UBIGINT", "HUGEINT", "UHUGEINT"), _whole),
    **dict.fromkeys(("FLOAT", "DOUBLE", "DECIMAL"), float),
    **dict.fromkeys(("VARCHAR", "JSON"), _same),
    **dict.fromkeys(("TIMESTAMP", "TIMESTAMP WITH TIME ZONE"), _moment),
    "BLOB": bytes,
    "BOOLEAN": int,
    "DATE": date.isoformat,
    "INTERVAL": timedelta.__str__,
    "TIME": time.isoformat,
}


def _type(values: Iterable[object]) -> str:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int, float}:
        return "REAL"
    return _TYPES.get(kinds.pop(), "ANY") if len(kinds) == 1 else "ANY" if kinds else "NULL"
