"""Files hold whole days in order, are bounded, and are described as they are."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support.shelf import DAY_MS, NAMESPACE, START_MS, row, rows_of

from raydo.actors import lake_writer
from raydo.actors.lake import Lake
from raydo.actors.lake_rows import COLUMNS, batch_of
from raydo.actors.lake_snapshots import read
from raydo.actors.lake_table import created
from raydo.actors.lake_writer import Writer, days_of


def batch(*moments: int, first: int = 1) -> pa.RecordBatch:
    rows = [row(seq, moment, f"u{seq}", moment) for seq, moment in enumerate(moments, first)]
    return batch_of([(*r[:7], r[11], r[7], r[8], r[10], r[9]) for r in rows])


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    with created(Lake(tmp_path, NAMESPACE)) as table:
        yield Writer(table, "run000001", wrote=lambda: None)


def test_each_utc_day_has_a_file_of_its_own(writer: Writer) -> None:
    moments = [START_MS, START_MS + DAY_MS - 1, START_MS + DAY_MS, START_MS + 5 * DAY_MS]

    files = writer.write([batch(*moments[:3]), batch(moments[3], first=4)])

    assert [file.record_count for file in files] == [2, 1, 1]
    assert [file.partition[0] * DAY_MS for file in files] == [
        START_MS,
        START_MS + DAY_MS,
        START_MS + 5 * DAY_MS,
    ]
    assert "/timestamp_day=2025-10-09/run000001-00000-" in files[0].file_path
    assert [file.file_path for file in files] == writer.paths


@pytest.mark.parametrize("moment", [0, 1, 86_399_999, 86_400_000, 253_402_300_799_000], ids=str)
def test_days_are_whole_from_1970_to_9999(writer: Writer, moment: int) -> None:
    assert days_of(batch(moment)).to_pylist() == [moment // DAY_MS]
    [file] = writer.write([batch(moment)])
    assert file.partition[0] == moment // DAY_MS


def test_files_and_row_groups_are_bounded_by_rows(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lake_writer, "LAKE_GROUP_ROWS", 4)
    monkeypatch.setattr(lake_writer, "LAKE_FILE_ROWS", 8)
    batches = [batch(START_MS + n, first=n + 1) for n in range(21)]

    files = writer.write(batches)

    assert [file.record_count for file in files] == [8, 8, 5]
    groups = pq.read_metadata(files[0].file_path)
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [4, 4]
    read_back = list(rows_of(read(writer._table.io, writer.paths)))
    assert [each[0] for each in read_back] == list(range(1, 22))


def test_files_and_row_groups_are_bounded_by_bytes(
    writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = batch(START_MS).nbytes
    monkeypatch.setattr(lake_writer, "LAKE_GROUP_BYTES", size)
    monkeypatch.setattr(lake_writer, "LAKE_FILE_BYTES", 3 * size)

    files = writer.write([batch(START_MS + n, first=n + 1) for n in range(9)])

    assert len(files) > 1
    assert sum(file.record_count for file in files) == 9


def test_a_file_tells_its_size_its_bounds_and_its_nulls(writer: Writer) -> None:
    [file] = writer.write([batch(*[START_MS + n for n in range(10)])])

    assert file.file_size_in_bytes == Path(file.file_path).stat().st_size
    assert int.from_bytes(file.lower_bounds[1], "little") == 1
    assert int.from_bytes(file.upper_bounds[1], "little") == 10
    assert int.from_bytes(file.upper_bounds[6], "little") == (START_MS + 9) * 1_000
    assert file.null_value_counts[5] == 3
    assert 9 not in file.lower_bounds  # of no JSON: it prunes nothing and is user data


def test_columns_carry_icebergs_numbers_and_the_rows_come_back(writer: Writer) -> None:
    source = batch(START_MS, START_MS + 1, START_MS + 2)

    [file] = writer.write([source])

    schema = pq.read_schema(file.file_path)
    numbers = [int(field.metadata[b"PARQUET:field_id"]) for field in schema]
    assert numbers == list(range(1, 13))
    assert pq.read_table(file.file_path).cast(COLUMNS).to_batches() == [source]


def test_ids_and_users_have_bloom_filters_and_json_has_none(writer: Writer) -> None:
    [file] = writer.write([batch(START_MS, START_MS + 1)])

    group: Any = pq.read_metadata(file.file_path).row_group(0)
    filtered = {
        group.column(n).path_in_schema for n in range(12) if group.column(n).bloom_filter_offset
    }
    assert filtered == {"id", "user_id", "anonymous_id"}


def test_nothing_makes_no_file(writer: Writer) -> None:
    assert writer.write([]) == []
    assert writer.paths == []


def test_a_source_that_fails_leaves_paths_to_delete_and_no_open_file(writer: Writer) -> None:
    def failing() -> Iterator[pa.RecordBatch]:
        yield batch(START_MS)
        yield batch(START_MS + DAY_MS, first=2)
        yield batch(START_MS + 2 * DAY_MS, first=3)
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        writer.write(failing())

    assert len(writer.paths) == 2
    assert all(Path(path).exists() for path in writer.paths)
