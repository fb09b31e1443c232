"""Rows as Parquet files of one UTC day each, described as Iceberg wants them.

The rows come by `(timestamp, seq)` and leave so: a file holds a stretch of that order, and its name
carries its place in it. What is in memory is one row group. Ids and users get Bloom filters, since
in files sorted by time nothing else tells that a user is not there.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table.locations import load_location_provider

from raydo.actors.lake_rows import COLUMNS
from raydo.pipelining.limits import (
    LAKE_FILE_BYTES,
    LAKE_FILE_ROWS,
    LAKE_GROUP_BYTES,
    LAKE_GROUP_ROWS,
)

if TYPE_CHECKING:
    from pyiceberg.table import Table

DAY_US: Final = 86_400_000_000
BLOOM_COLUMNS: Final = ("id", "user_id", "anonymous_id")
BLOOM_MISTAKES: Final = 0.01  # of the row groups that are read for nothing; 10 bits a value
_RISING: Final = ("seq", "timestamp", "received_at", "appended_ms")  # differences are tiny
_REPEATED: Final = [name for name in COLUMNS.names if name not in (*_RISING, "id")]
_SORTING: Final = [pq.SortingColumn(COLUMNS.get_field_index(name)) for name in ("timestamp", "seq")]


class Writer:
    """Write data files of a table; the caller commits them, or deletes what is in `paths`."""

    def __init__(self, table: Table, prefix: str, *, wrote: Callable[[], None]) -> None:
        self.paths: list[str] = []
        self._table = table
        self._prefix = prefix
        self._wrote = wrote
        self._id = uuid.uuid4()

    def write(self, batches: Iterable[pa.RecordBatch]) -> list[DataFile]:
        """Write all batches and return the files, in order."""
        files: list[DataFile] = []
        file: _File | None = None
        try:
            for day, rows in _groups(batches):
                if file is not None and (file.day != day or file.full):
                    files.append(self._end(file))
                    file = None
                if file is None:
                    file = self._begin(day, rows)
                file.add(rows)
            if file is not None:
                files.append(self._end(file))
                file = None
        finally:
            if file is not None:
                file.abandon()
        return files

    def _begin(self, day: int, rows: pa.Table) -> _File:
        key = _partition(self._table, day)
        name = f"{self._prefix}-{len(self.paths):05d}-{self._id}.parquet"
        metadata = self._table.metadata
        places = load_location_provider(metadata.location, metadata.properties)
        self.paths.append(places.new_data_location(name, key))
        return _File(self._table, self.paths[-1], day, key, rows)

    def _end(self, file: _File) -> DataFile:
        done = file.close()
        self._wrote()
        return done


class _File:
    """One Parquet file under way."""

    def __init__(
        self, table: Table, location: str, day: int, key: PartitionKey, sample: pa.Table
    ) -> None:
        self.day = day
        self._table = table
        self._location = location
        self._key = key
        self._rows = self._bytes = 0
        self._metadata: list[Any] = []
        self._stream: Any = table.io.new_output(location).create(overwrite=False)
        self._parquet = pq.ParquetWriter(
            self._stream,
            COLUMNS,
            compression="zstd",
            use_dictionary=_REPEATED,
            column_encoding=dict.fromkeys(_RISING, "DELTA_BINARY_PACKED"),
            sorting_columns=_SORTING,
            bloom_filter_options=_blooms(sample),
            metadata_collector=self._metadata,
        )

    @property
    def full(self) -> bool:
        return self._rows >= LAKE_FILE_ROWS or self._bytes >= LAKE_FILE_BYTES

    def add(self, rows: pa.Table) -> None:
        self._parquet.write_table(rows, row_group_size=max(1, len(rows)))
        self._rows += len(rows)
        self._bytes += rows.nbytes

    def abandon(self) -> None:
        """Let go of a file that will not be whole."""
        for open_part in (self._parquet, self._stream):
            with suppress(Exception):
                open_part.close()

    def close(self) -> DataFile:
        self._parquet.close()
        size = self._stream.tell()
        self._stream.close()
        metadata = self._table.metadata
        schema = metadata.schema()
        statistics = data_file_statistics_from_parquet_metadata(
            parquet_metadata=self._metadata[0],
            stats_columns=compute_statistics_plan(schema, metadata.properties),
            parquet_column_mapping=parquet_path_to_id_mapping(schema),
        )
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=self._location,
            file_format=FileFormat.PARQUET,
            partition=self._key.partition,
            file_size_in_bytes=size,
            sort_order_id=metadata.default_sort_order_id,
            spec_id=metadata.default_spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )


def days_of(batch: pa.RecordBatch) -> pa.Array:
    """Return each row's UTC day, counted from 1970."""
    moments = batch.column("timestamp").cast(pa.timestamp("us"))
    return pc.divide(pc.floor_temporal(moments, unit="day").cast(pa.int64()), DAY_US)


def _groups(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.Table]]:
    """Gather what one row group holds: rows of one day, up to the bounds."""
    held: list[pa.RecordBatch] = []
    rows = size = day = 0
    for next_day, part in _by_day(batches):
        if held and (
            next_day != day or rows + len(part) > LAKE_GROUP_ROWS or size > LAKE_GROUP_BYTES
        ):
            yield day, pa.Table.from_batches(held).combine_chunks()
            held, rows, size = [], 0, 0
        day = next_day
        held.append(part)
        rows += len(part)
        size += part.nbytes
    if held:
        yield day, pa.Table.from_batches(held).combine_chunks()


def _by_day(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    for batch in batches:
        if not batch.num_rows:
            continue
        stretches = pc.run_end_encode(days_of(batch))
        start = 0
        for end, day in zip(
            stretches.run_ends.to_pylist(), stretches.values.to_pylist(), strict=True
        ):
            yield day, batch.slice(start, end - start)
            start = end


def _blooms(sample: pa.Table) -> dict[str, dict[str, float | int]]:
    """Size the filters by the first row group; a column without values needs none."""
    counts = {name: pc.count_distinct(sample.column(name)).as_py() for name in BLOOM_COLUMNS}
    return {name: {"ndv": count, "fpp": BLOOM_MISTAKES} for name, count in counts.items() if count}


def _partition(table: Table, day: int) -> PartitionKey:
    spec, schema = table.metadata.spec(), table.metadata.schema()
    values = [PartitionFieldValue(field, day) for field in spec.fields]
    return PartitionKey(field_values=values, partition_spec=spec, schema=schema)
