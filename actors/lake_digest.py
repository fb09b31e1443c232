"""A fingerprint of rows in their order, the same however they are cut into batches and files.

It is taken while rows leave SQLite and once more while the archive is read again; only when both
agree may the rows be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

DIGEST_BYTES: Final = 16
NULL_LENGTH: Final = -1


class Tally:
    """Count rows, keep their extremes, and digest them column by column."""

    def __init__(self) -> None:
        self.rows = 0
        self._columns: dict[str, tuple[blake2b, blake2b]] = {}
        self._extremes: dict[str, tuple[int, int]] = {}

    def add(self, batch: pa.RecordBatch) -> None:
        """Take in the next rows."""
        if not batch.num_rows:
            return
        self.rows += batch.num_rows
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self._digest(name, column)
        for name in ("seq", "timestamp"):
            found = pc.min_max(batch.column(name).cast(pa.int64()))
            low, high = found["min"].as_py(), found["max"].as_py()
            known = self._extremes.get(name, (low, high))
            self._extremes[name] = (min(known[0], low), max(known[1], high))

    @property
    def digest(self) -> str:
        """The digest of all rows taken in up to now."""
        whole = blake2b(str(self.rows).encode(), digest_size=DIGEST_BYTES)
        for name, parts in sorted(self._columns.items()):
            whole.update(name.encode() + b"\0" + b"".join(part.digest() for part in parts))
        return whole.hexdigest()

    @property
    def seqs(self) -> tuple[int, int] | tuple[None, None]:
        """The least and the greatest seq."""
        return self._extremes.get("seq", (None, None))

    @property
    def times_ms(self) -> tuple[int, int] | tuple[None, None]:
        """The least and the greatest timestamp."""
        times = self._extremes.get("timestamp")
        return (None, None) if times is None else (times[0] // 1_000, times[1] // 1_000)

    def _digest(self, name: str, column: pa.Array) -> None:
        lengths, values = self._columns.setdefault(name, (blake2b(), blake2b()))
        if pa.types.is_integer(column.type) or pa.types.is_timestamp(column.type):
            values.update(_numbers(column.cast(pa.int64())))
            return
        text = column.cast(pa.string())
        size = pc.fill_null(pc.binary_length(text), NULL_LENGTH)
        lengths.update(_numbers(size.cast(pa.int64())))
        values.update(_bytes(text.drop_null()))


def tally(batches: Iterable[pa.RecordBatch]) -> Tally:
    """Take in all batches of an iterable."""
    whole = Tally()
    for batch in batches:
        whole.add(batch)
    return whole


def _numbers(column: pa.Array) -> memoryview:
    assert not column.null_count, "a number is missing"
    start = column.offset * 8
    return memoryview(column.buffers()[1])[start : start + len(column) * 8]


def _bytes(column: pa.StringArray) -> memoryview:
    if not len(column):
        return memoryview(b"")
    offsets = memoryview(column.buffers()[1]).cast("i")
    first, last = offsets[column.offset], offsets[column.offset + len(column)]
    data = column.buffers()[2]
    return memoryview(data)[first:last] if data is not None else memoryview(b"")
