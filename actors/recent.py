"""What SQLite's side contributes to a query over a tenant's history, as Arrow tables.

All of it is read in one transaction, the one in which the archive's runs were read, and only the
columns that the query names.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.pin import Run
from raydo.pipelining.errors import QueryError, QueryLimit
from raydo.pipelining.limits import (
    QUERY_MERGED_IDS_MAX,
    QUERY_RECENT_ROWS_MAX,
    QUERY_TABLE_ROWS_MAX,
)

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS: Final = {
    "seq": "int64",
    "id": "string",
    "event": "string",
    "user_id": "string",
    "anonymous_id": "string",
    "timestamp": "int64",
    "received_at": "int64",
    "properties": "string",
    "context": "string",
    "stream": "string",
    "flags": "int32",
}
_ROWS_PER_BATCH: Final = 20_000
_KINDS: Final[dict[type, str]] = {int: "int64", float: "float64", str: "string", bytes: "binary"}


def recent_events(
    connection: sqlite3.Connection,
    columns: Collection[str],
    runs: Sequence[Run],
    *,
    first_ms: int,
    last_ms: int,
    as_of_ms: int | None,
) -> pa.Table:
    """Read the events that are in SQLite and in none of `runs`.

    Raises:
        QueryLimit: there are too many for one query.
    """
    import pyarrow as pa

    names = [name for name in COLUMNS if name in columns]
    condition, bounds = _condition(runs, first_ms, last_ms, as_of_ms)
    sql = f"SELECT {', '.join(names) or '1'} FROM main.raw_events WHERE {condition} LIMIT ?"  # noqa: S608
    schema = pa.schema([(name, pa.type_for_alias(COLUMNS[name])) for name in names or ["seq"]])
    batches = []
    count = 0
    for rows in _read(connection, sql, [*bounds, QUERY_RECENT_ROWS_MAX + 1]):
        count += len(rows)
        if count > QUERY_RECENT_ROWS_MAX:
            raise _too_many("events that are not archived yet", QUERY_RECENT_ROWS_MAX)
        batches.append(_batch(rows, schema))
    return pa.Table.from_batches(batches, schema)


def merged_ids(connection: sqlite3.Connection) -> pa.Table | None:
    """Read which ids are another person's, or None when none is.

    Raises:
        QueryLimit: there are too many for one query.
    """
    import pyarrow as pa

    schema = pa.schema([("id", pa.string()), ("person_id", pa.string())])
    sql = "SELECT id, person_id FROM main.merged_ids LIMIT ?"
    batches = [_batch(rows, schema) for rows in _read(connection, sql, [QUERY_MERGED_IDS_MAX + 1])]
    if sum(len(batch) for batch in batches) > QUERY_MERGED_IDS_MAX:
        raise _too_many("merged ids", QUERY_MERGED_IDS_MAX)
    return pa.Table.from_batches(batches, schema) if batches else None


def table_of(connection: sqlite3.Connection, name: str) -> pa.Table:
    """Read a whole table or view of the tenant's.

    Raises:
        QueryLimit: it is too large for one query.
        QueryError: a column holds values of several types.
    """
    import pyarrow as pa

    quoted = name.replace('"', '""')
    sql = f'SELECT * FROM main."{quoted}" LIMIT ?'  # noqa: S608
    cursor = connection.execute(sql, (QUERY_TABLE_ROWS_MAX + 1,))
    names = [column[0] for column in cursor.description]
    rows = cursor.fetchall()
    if len(rows) > QUERY_TABLE_ROWS_MAX:
        raise _too_many(f"rows of {name}", QUERY_TABLE_ROWS_MAX)
    values = list(zip(*rows, strict=True)) if rows else [()] * len(names)
    fields = [
        (column, pa.type_for_alias(_kind(name, column, each)))
        for column, each in zip(names, values, strict=True)
    ]
    schema = pa.schema(fields)
    arrays = [pa.array(each, kind) for each, kind in zip(values, schema.types, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema)


def _condition(
    runs: Sequence[Run], first_ms: int, last_ms: int, as_of_ms: int | None
) -> tuple[str, list[int]]:
    parts = ["timestamp BETWEEN ? AND ?"]
    bounds = [first_ms, last_ms]
    for run in runs:
        parts.append("NOT (seq <= ? AND timestamp < ?)")
        bounds += (run.cut_seq, run.before_ms)
    if as_of_ms is not None:
        parts.append("appended_at <= ?")
        bounds.append(as_of_ms)
    return " AND ".join(parts), bounds


def _read(
    connection: sqlite3.Connection, sql: str, bounds: Sequence[int]
) -> Iterator[list[tuple[Any, ...]]]:
    cursor = connection.execute(sql, bounds)
    while rows := cursor.fetchmany(_ROWS_PER_BATCH):
        yield rows


def _batch(rows: Sequence[tuple[Any, ...]], schema: pa.Schema) -> pa.RecordBatch:
    import pyarrow as pa

    arrays = [
        pa.array(values, kind)
        for values, kind in zip(zip(*rows, strict=True), schema.types, strict=True)
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _kind(table: str, column: str, values: Sequence[Any]) -> str:
    kinds = {type(value) for value in values} - {type(None)}
    if kinds == {int, float}:
        return "float64"
    if len(kinds) > 1:
        raise QueryError(
            f"The column {column} of {table} holds values of several types, so {table} cannot be"
            " read together with archived events."
        )
    return _KINDS[kinds.pop()] if kinds else "string"


def _too_many(what: str, most: int) -> QueryLimit:
    return QueryLimit(
        f"The query needs more than {most} {what}.", detail={"limit": "rows", "max": most}
    )
