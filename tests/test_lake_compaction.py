"""Merging files changes how many there are, and no answer of any moment."""

from __future__ import annotations

import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from support.shelf import (
    CRASHING,
    DAY_MS,
    RUNS,
    START_MS,
    Crash,
    CrashAt,
    CrashingIO,
    Shelf,
    merged,
    restored,
    scattered,
)

from raydo.actors import lake_compaction
from raydo.actors.lake_snapshots import commit, snapshot_at, snapshots
from raydo.actors.lake_table import opened

pytestmark = pytest.mark.slow


@pytest.fixture
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return restored(tmp_path_factory.getbasetemp(), "scattered", scattered)


def test_a_days_small_files_become_one_in_one_snapshot(shelf: Shelf) -> None:
    before = shelf.events()

    done = merged(shelf)

    assert done is not None
    assert (done.before, done.after) == (RUNS, 1)
    assert shelf.events() == before
    *_, last = snapshots(shelf.lake)
    assert (last.kind, last.run, last.files, last.rows) == ("compaction", RUNS, 2, len(before))
    assert last.snapshot_id == done.snapshot_id
    assert len(snapshots(shelf.lake)) == RUNS + 1


def test_merged_rows_are_sorted(shelf: Shelf) -> None:
    merged(shelf)

    [file] = [path for path in shelf.parquet() if path.name.startswith("merged")]
    table = pq.read_table(file)
    rows = list(zip(table["timestamp"].to_pylist(), table["seq"].to_pylist(), strict=True))
    assert rows == sorted(rows)


def test_no_as_of_answer_changes_at_any_snapshots_millisecond(shelf: Shelf) -> None:
    known = snapshots(shelf.lake)
    moments = [START_MS + day * DAY_MS - 1 for day in range(RUNS + 1)]
    answers = [shelf.as_of(moment_ms) for moment_ms in moments]
    at_ids = {each.snapshot_id: shelf.archived(each.snapshot_id) for each in known}
    at_times = {}
    with opened(shelf.lake) as table:
        assert table is not None
        for each in known:
            for moment_ms in (each.at_ms - 1, each.at_ms, each.at_ms + 1):
                at_times[moment_ms] = snapshot_at(table, moment_ms)
    time.sleep(0.005)  # a snapshot made now is of a later millisecond than those

    merged(shelf)

    assert [shelf.as_of(moment_ms) for moment_ms in moments] == answers
    assert len({len(answer) for answer in answers}) == RUNS + 1
    for snapshot_id, rows in at_ids.items():
        assert shelf.archived(snapshot_id) == rows
    with opened(shelf.lake) as table:
        assert table is not None
        for moment_ms, found in at_times.items():
            assert snapshot_at(table, moment_ms) == found


def test_few_files_are_left_alone(shelf: Shelf) -> None:
    assert merged(shelf, files_min=RUNS + 1) is None
    assert merged(shelf) is not None
    assert merged(shelf) is None


def test_large_files_are_left_alone(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lake_compaction, "LAKE_SMALL_FILE_BYTES", 100)

    assert merged(shelf) is None


def test_a_merge_is_no_larger_than_its_bound(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    before = shelf.events()
    size = max(path.stat().st_size for path in shelf.parquet())
    monkeypatch.setattr(lake_compaction, "LAKE_MERGE_BYTES_MAX", 2 * size)

    done = merged(shelf)

    assert done is not None
    assert (done.before, done.after) == (4, 2)
    assert shelf.events() == before


def test_nothing_is_merged_while_a_run_is_not_settled(shelf: Shelf) -> None:
    shelf.add((START_MS, "late"))
    run = shelf.plan()
    assert run is not None
    shelf.archive(run)

    assert merged(shelf) is None
    shelf.run()
    assert merged(shelf) is not None


def test_a_tenant_without_an_archive_has_nothing_to_merge(tmp_path: Path) -> None:
    assert merged(Shelf(tmp_path / "empty")) is None
    assert not (tmp_path / "empty" / "lake").exists()


def test_when_somebody_else_commits_the_merge_is_dropped(shelf: Shelf) -> None:
    before, files = shelf.events(), shelf.parquet()

    def meanwhile(label: str) -> None:
        if label == "compact.before":
            with opened(shelf.lake) as table:
                assert table is not None
                commit(table, "other", added=())

    assert merged(shelf, step=meanwhile) is None

    assert shelf.events() == before
    assert shelf.parquet() == files
    assert merged(shelf) is not None
    assert shelf.events() == before


@pytest.mark.parametrize("label", ["compact.file", "compact.before", "compact.after"])
def test_a_crash_at_any_step_changes_no_row(shelf: Shelf, label: str) -> None:
    before = shelf.events()

    with pytest.raises(Crash):
        merged(shelf, step=CrashAt(label))
    assert shelf.events() == before
    merged(shelf)

    assert shelf.events() == before
    assert snapshots(shelf.lake)[-1].files == 2


def test_a_crash_before_any_file_is_made_changes_no_row(tmp_path: Path) -> None:
    shelf = scattered(tmp_path / "acme", CRASHING)
    before = shelf.events()

    crashes = 0
    while True:
        CrashingIO.left = crashes
        try:
            merged(shelf)
            break
        except Crash:
            crashes += 1
            CrashingIO.left = None
            assert shelf.events() == before
    CrashingIO.left = None

    assert crashes >= 4
    assert shelf.events() == before
    assert snapshots(shelf.lake)[-1].files == 2


def test_late_events_after_a_merge_are_archived_and_merged_again(shelf: Shelf) -> None:
    merged(shelf)
    shelf.add((START_MS + 7, "later"))
    before = shelf.events()
    shelf.run()

    assert merged(shelf, files_min=2) is not None
    assert shelf.events() == before
    assert snapshots(shelf.lake)[-1].files == 2
