"""Every snapshot tells the last run that it contains, and past moments are found."""

from __future__ import annotations

from pathlib import Path

import pytest
from pyiceberg.exceptions import CommitFailedException
from support.shelf import DAY_MS, START_MS, Shelf, restored

from raydo.actors.lake_snapshots import (
    added_files,
    commit,
    last_run,
    live_files,
    marks,
    snapshot_at,
    snapshot_of,
    snapshots,
)
from raydo.actors.lake_table import opened


@pytest.fixture
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return restored(tmp_path_factory.getbasetemp(), "two-runs", two_runs)


def two_runs(folder: Path) -> Shelf:
    shelf = Shelf(folder)
    shelf.add(*[(START_MS + day * DAY_MS, f"u{day}") for day in range(6)])
    shelf.run(START_MS + 2 * DAY_MS)
    shelf.run(START_MS + 4 * DAY_MS)
    return shelf


def test_nothing_archived_has_no_snapshots(tmp_path: Path) -> None:
    assert snapshots(Shelf(tmp_path / "empty").lake) == []


def test_snapshots_are_listed_with_their_runs(shelf: Shelf) -> None:
    first, second = snapshots(shelf.lake)

    assert (first.kind, first.run, first.cut_seq, first.rows, first.files) == (
        "archive",
        1,
        6,
        2,
        2,
    )
    assert (second.run, second.before_ms, second.rows) == (2, START_MS + 4 * DAY_MS, 4)
    assert [run.snapshot_id for run in shelf.runs.list()] == [first.snapshot_id, second.snapshot_id]
    assert second.bytes == sum(path.stat().st_size for path in shelf.parquet())


def test_marks_are_carried_on_by_whatever_comes_next(shelf: Shelf) -> None:
    with opened(shelf.lake) as table:
        assert table is not None
        before = marks(table.current_snapshot())
        commit(table, "other", added=(), more={"raydo.more": "1"})
        commit(table, "other", added=())

        assert marks(table.current_snapshot()) == {**before, "raydo.more": "1"}
        assert last_run(table) == 2
        assert snapshots(shelf.lake)[-1].kind == "other"


def test_a_run_is_found_by_the_snapshot_that_brought_it(shelf: Shelf) -> None:
    with opened(shelf.lake) as table:
        assert table is not None
        commit(table, "other", added=())
        first, second, _ = snapshots(shelf.lake)

        for run, info in ((1, first), (2, second)):
            found = snapshot_of(table, run)
            assert found is not None
            assert found.snapshot_id == info.snapshot_id
        assert snapshot_of(table, 3) is None


def test_a_moment_finds_the_snapshot_of_that_moment(shelf: Shelf) -> None:
    first, second = snapshots(shelf.lake)
    with opened(shelf.lake) as table:
        assert table is not None

        assert snapshot_at(table, first.at_ms - 1) is None
        assert snapshot_at(table, first.at_ms) == first
        assert snapshot_at(table, second.at_ms - 1) == first
        assert snapshot_at(table, second.at_ms) == second
        assert snapshot_at(table, second.at_ms + DAY_MS) == second


def test_files_of_one_snapshot_are_told_from_those_before(shelf: Shelf) -> None:
    with opened(shelf.lake) as table:
        assert table is not None
        snapshot = table.current_snapshot()
        assert snapshot is not None

        added = added_files(table, snapshot)
        assert [file.file_path.rpartition("/")[2][:15] for file in added] == [
            "run000002-00000",
            "run000002-00001",
        ]
        assert len(live_files(table, snapshot)) == 4


def test_a_commit_on_an_old_view_of_the_table_is_refused(shelf: Shelf) -> None:
    with opened(shelf.lake) as one, opened(shelf.lake) as two:
        assert one is not None
        assert two is not None
        commit(one, "other", added=())

        with pytest.raises(CommitFailedException):
            commit(two, "other", added=())

    assert len(snapshots(shelf.lake)) == 3


@pytest.mark.slow
def test_many_runs_keep_few_manifests(shelf: Shelf) -> None:
    for _ in range(25):
        shelf.add((START_MS, "late"))
        shelf.run(START_MS + DAY_MS)

    with opened(shelf.lake) as table:
        assert table is not None
        snapshot = table.current_snapshot()
        assert snapshot is not None
        assert len(snapshot.manifests(table.io)) <= 20
        assert snapshots(shelf.lake)[-1].rows == 29
