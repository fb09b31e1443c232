"""A run's rows leave SQLite once each, in order, in short transactions."""

from __future__ import annotations

import random
import sqlite3
from itertools import chain
from pathlib import Path

import pytest
from support.shelf import DAY_MS, START_MS, Shelf, rows_of

from raydo.actors.lake_rows import COLUMNS, TenantRows
from raydo.actors.lake_runs import Run


def rows(shelf: Shelf, run: Run, batch_rows: int) -> list[tuple[int, int]]:
    batches = TenantRows(shelf.folder / "tenant.db", batch_rows)(run)
    return [(each[5], each[0]) for each in rows_of(batches)]


def planned(shelf: Shelf, before_ms: int | None = None) -> Run:
    run = shelf.plan(before_ms)
    assert run is not None
    return run


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7, 1000])
def test_every_row_comes_once_whatever_moments_they_share(tmp_path: Path, batch_rows: int) -> None:
    shelf = Shelf(tmp_path / "acme")
    source = random.Random(batch_rows)
    shelf.add(*[(START_MS + source.randrange(5), "u") for _ in range(50)])
    expected = sorted((timestamp, seq) for seq, timestamp in pairs(shelf))

    assert rows(shelf, planned(shelf), batch_rows) == expected


def pairs(shelf: Shelf) -> list[tuple[int, int]]:
    return shelf.database.run("SELECT seq, timestamp FROM raw_events")


def test_rows_after_the_cut_and_at_the_moment_stay(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "acme")
    shelf.add((START_MS, "a"), (START_MS + 1, "b"), (START_MS + 2, "c"))
    run = planned(shelf, START_MS + 2)
    shelf.add((START_MS, "late"))

    assert [seq for _, seq in rows(shelf, run, 10)] == [1, 2]


def test_values_arrive_as_they_are(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "acme")
    shelf.add((START_MS, "\u00e9\u4e2d\U0001f600"), (START_MS + 1, "\0nul"))
    expected = shelf.events()

    [batch] = TenantRows(shelf.folder / "tenant.db")(planned(shelf))

    assert batch.schema.equals(COLUMNS, check_metadata=True)
    assert list(rows_of([batch])) == expected


def test_the_log_of_sqlite_can_be_emptied_between_two_batches(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "acme")
    shelf.add(*[(START_MS + n, "u") for n in range(10)])
    run = planned(shelf)
    batches = TenantRows(shelf.folder / "tenant.db", 4)(run)

    first = next(batches)
    shelf.add((START_MS + DAY_MS, "meanwhile"))
    assert shelf.database.checkpoint()

    assert [each[0] for each in rows_of(chain([first], batches))] == list(range(1, 11))


def test_the_rows_are_walked_by_the_index_on_the_timestamp(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "acme")
    statements: list[str] = []
    shelf.add((START_MS, "u"))
    run = planned(shelf)
    connect = sqlite3.connect

    with pytest.MonkeyPatch.context() as patch:

        def traced(*args: object, **options: object) -> sqlite3.Connection:
            connection = connect(*args, **options)  # type: ignore[call-overload]
            connection.set_trace_callback(statements.append)
            return connection  # type: ignore[no-any-return]

        patch.setattr(sqlite3, "connect", traced)
        list(TenantRows(shelf.folder / "tenant.db")(run))

    selects = [each for each in statements if each.startswith("SELECT")]
    assert len(selects) >= 2
    for select in selects:
        [(*_, plan)] = shelf.database.run(f"EXPLAIN QUERY PLAN {select}")
        assert "USING INDEX _raydo_by_timestamp (timestamp" in plan, plan
