"""Events in Parquet files: written for an export, read for an import.

The columns are those of `events`; times are timestamps in UTC, properties and context JSON text.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from io import RawIOBase
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from raydo.gateway.exporting import Row, line_of
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import EXPORT_GROUP_ROWS

_MOMENT: Final = pa.timestamp("ms", tz="UTC")
SCHEMA: Final = pa.schema(
    [
        pa.field("seq", pa.int64(), nullable=False),
        pa.field("id", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("anonymous_id", pa.string()),
        pa.field("timestamp", _MOMENT, nullable=False),
        pa.field("received_at", _MOMENT, nullable=False),
        pa.field("properties", pa.string(), nullable=False),
        pa.field("context", pa.string()),
        pa.field("flags", pa.int32(), nullable=False),
    ]
)
_READ_ROWS: Final = 8_192


class Parquet:
    """Write row groups of EXPORT_GROUP_ROWS."""

    def __init__(self) -> None:
        self._sink = _Sink()
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._writer = pq.ParquetWriter(
            pa.PythonFile(self._sink, mode="w"), SCHEMA, compression="zstd"
        )

    def add(self, rows: Sequence[Row]) -> bytes:
        """See `Format`."""
        columns = [pa.array([row[field.name] for row in rows], field.type) for field in SCHEMA]
        self._waiting.append(pa.RecordBatch.from_arrays(columns, schema=SCHEMA))
        self._rows += len(rows)
        if self._rows >= EXPORT_GROUP_ROWS:
            self._flush()
        return self._sink.take()

    def end(self) -> bytes:
        """See `Format`."""
        self._flush()
        self._writer.close()
        return self._sink.take()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_batches(self._waiting, SCHEMA)
            self._writer.write_table(table, row_group_size=max(1, len(table)))
            self._waiting, self._rows = [], 0


class _Sink:
    """Collect what a writer writes, until it is taken."""

    def __init__(self) -> None:
        self.closed = False
        self._pieces: list[bytes] = []
        self._at = 0

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        self._at += len(piece)
        return len(piece)

    def tell(self) -> int:
        return self._at

    def flush(self) -> None: ...

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def lines(source: RawIOBase) -> Iterator[bytes]:
    """Read a file that an export wrote, as the events that they were.

    Raises:
        InvalidArgument: it is no Parquet, or of other columns.
    """
    try:
        with pq.ParquetFile(source) as file:
            missing = [name for name in SCHEMA.names if name not in file.schema_arrow.names]
            if missing:
                raise InvalidArgument(f"This is no export of raydo's: it lacks {missing[0]}.")
            for batch in file.iter_batches(_READ_ROWS, columns=SCHEMA.names):
                table = pa.Table.from_batches([batch])
                for name in ("timestamp", "received_at"):
                    at = table.schema.get_field_index(name)
                    moments = table.column(at).cast(_MOMENT, safe=False).cast(pa.int64())
                    table = table.set_column(at, name, moments)
                yield from map(line_of, table.to_pylist())
    except (pa.ArrowInvalid, OSError) as error:
        raise InvalidArgument(f"This cannot be read as Parquet: {error}.") from None
