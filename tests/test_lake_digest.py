"""The digest is of the rows and their order, and of nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.shelf import START_MS, row

from raydo.actors.lake_digest import Tally, tally
from raydo.actors.lake_rows import COLUMNS, batch_of

ROWS = [row(seq, START_MS + seq, f"u{seq}", 5) for seq in range(1, 21)]


def as_sqlite(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Put the columns where the archive has them, with no value the same in two rows that meet."""
    return [
        (*each[:7], each[11] + each[0], each[7], each[8], f"{each[10]}{each[0] % 2}", each[9])
        for each in rows
    ]


BATCH = batch_of(as_sqlite(ROWS))


@pytest.mark.slow
@given(st.lists(st.integers(0, 20)))
def test_cuts_between_batches_change_nothing(cuts: list[int]) -> None:
    ends = sorted({*cuts, 0, 20})

    cut = tally(BATCH.slice(start, end - start) for start, end in pairwise(ends))

    assert cut.digest == tally([BATCH]).digest
    assert (cut.rows, cut.seqs, cut.times_ms) == (20, (1, 20), (START_MS + 1, START_MS + 20))


@pytest.mark.parametrize("column", COLUMNS.names)
def test_each_value_counts(column: str) -> None:
    position = COLUMNS.get_field_index(column)
    values = BATCH.columns
    flipped = values[position].take(pa.array([1, 0, *range(2, 20)]))
    assert not flipped.equals(values[position])

    changed = pa.RecordBatch.from_arrays(
        [*values[:position], flipped, *values[position + 1 :]], schema=COLUMNS
    )

    assert tally([changed]).digest != tally([BATCH]).digest


def test_the_order_counts() -> None:
    assert tally([BATCH.take(pa.array(range(19, -1, -1)))]).digest != tally([BATCH]).digest


def test_text_cannot_wander_from_one_row_to_the_next_or_become_none() -> None:
    seen = set()
    for texts in (["ab", "c"], ["a", "bc"], ["abc", ""], ["abc", None], [None, "abc"]):
        pair = [list(each) for each in as_sqlite(ROWS[:2])]
        for one, text in zip(pair, texts, strict=True):
            one[3] = text
        seen.add(tally([batch_of(pair)]).digest)

    assert len(seen) == 5


def test_parquet_gives_back_the_same(tmp_path: Any) -> None:
    pq.write_table(pa.Table.from_batches([BATCH]), tmp_path / "x.parquet", row_group_size=3)

    with pq.ParquetFile(tmp_path / "x.parquet") as parquet:
        assert tally(parquet.iter_batches(4)).digest == tally([BATCH]).digest


def test_nothing_has_a_digest_and_no_extremes() -> None:
    nothing = Tally()
    nothing.add(BATCH.slice(0, 0))

    assert nothing.digest == Tally().digest
    assert (nothing.rows, nothing.seqs, nothing.times_ms) == (0, (None, None), (None, None))
