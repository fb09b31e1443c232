"""A run's rows on their way out of SQLite: record batches in the table's order.

Each batch is one short read transaction on a connection that cannot write: a long one would keep
SQLite's write-ahead log from being emptied, and every drain would wait for it. Nothing is lost by
that, since the rows of an unfinished run don't change (see `lake_runs`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from raydo.pipelining.limits import LAKE_BATCH_ROWS

if TYPE_CHECKING:
    from raydo.actors.lake_runs import Run

MOMENT: Final = pa.timestamp("us", tz="UTC")


def _column(number: int, name: str, kind: pa.DataType, *, nullable: bool = False) -> pa.Field:
    # By this number Iceberg knows the column in a Parquet file, whatever it is called there.
    return pa.field(name, kind, nullable, metadata={"PARQUET:field_id": str(number)})


COLUMNS: Final = pa.schema(
    [
        _column(1, "seq", pa.int64()),
        _column(2, "id", pa.string()),
        _column(3, "event", pa.string()),
        _column(4, "user_id", pa.string(), nullable=True),
        _column(5, "anonymous_id", pa.string(), nullable=True),
        _column(6, "timestamp", MOMENT),
        _column(7, "received_at", MOMENT),
        _column(8, "appended_ms", pa.int64()),
        _column(9, "properties", pa.string()),
        _column(10, "context", pa.string(), nullable=True),
        _column(11, "stream", pa.string()),
        _column(12, "flags", pa.int32()),
    ]
)
_SELECT: Final = """SELECT seq, id, event, user_id, anonymous_id, timestamp, received_at, appended_at,
    properties, context, stream, flags FROM raw_events INDEXED BY _raydo_by_timestamp WHERE"""
_SAME: Final = f"{_SELECT} timestamp = ? AND seq > ? AND seq <= ? ORDER BY seq LIMIT ?"
_LATER: Final = (
    f"{_SELECT} timestamp > ? AND timestamp < ? AND seq <= ? ORDER BY timestamp, seq LIMIT ?"
)


class RowSource(Protocol):
    """Give a run's rows, by `(timestamp, seq)`; each call begins again."""

    def __call__(self, run: Run, /) -> Iterator[pa.RecordBatch]: ...


@dataclass(frozen=True, slots=True)
class TenantRows:
    """The rows of a tenant's database; `batch_rows` of them at a time."""

    path: Path
    batch_rows: int = LAKE_BATCH_ROWS

    def __call__(self, run: Run) -> Iterator[pa.RecordBatch]:
        with closing(_connect(self.path)) as connection:
            last: tuple[int, int] | None = None
            while rows := self._read(connection, run, last):
                last = (rows[-1][5], rows[-1][0])
                yield batch_of(rows)

    def _read(
        self, connection: sqlite3.Connection, run: Run, last: tuple[int, int] | None
    ) -> list[tuple[Any, ...]]:
        rows = []
        timestamp = -(2**63)
        if last is not None:
            timestamp, seq = last
            # Apart from the later ones, so that a million rows of one moment are walked once.
            rows = connection.execute(
                _SAME, (timestamp, seq, run.cut_seq, self.batch_rows)
            ).fetchall()
        missing = self.batch_rows - len(rows)
        if missing:
            rows += connection.execute(
                _LATER, (timestamp, run.before_ms, run.cut_seq, missing)
            ).fetchall()
        return rows


def batch_of(rows: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """Make a record batch of rows as SQLite has them, with times in milliseconds."""
    columns = [
        _moments(values) if kind.type == MOMENT else pa.array(values, kind.type)
        for kind, values in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    ]
    return pa.RecordBatch.from_arrays(columns, schema=COLUMNS)


def _moments(values: Sequence[int]) -> pa.Array:
    return pc.multiply(pa.array(values, pa.int64()), 1_000).cast(MOMENT)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5)
    connection.isolation_level = None
    # Two connections that checkpoint at once can corrupt a file before SQLite 3.51.3.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    return connection
