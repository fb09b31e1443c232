"""A run takes the rows that are due and no others, once, and its rows leave only when it may."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.shelf import DAY_MS, START_MS, Shelf

from raydo.actors.lake_runs import COMMITTED, DELETED, PLANNED, Committed, weekly_before
from raydo.pipelining.errors import ArchiveMismatch, InvalidArgument

DAYS = [(START_MS + day * DAY_MS, f"u{day}") for day in range(10)]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "acme")
    shelf.add(*DAYS)
    return shelf


def said(run: int, rows: int, digest: str = "d") -> Committed:
    return Committed(run, 7, rows, digest, 1, rows, START_MS, START_MS)


def left(shelf: Shelf) -> list[int]:
    return [seq for (seq,) in shelf.database.run("SELECT seq FROM raw_events ORDER BY seq")]


def test_a_run_is_cut_at_the_last_seq_and_at_the_moment_given(shelf: Shelf) -> None:
    run = shelf.plan(START_MS + 3 * DAY_MS)

    assert run is not None
    assert (run.run, run.cut_seq, run.before_ms) == (1, 10, START_MS + 3 * DAY_MS)
    assert (run.state, run.rows, run.started_ms) == (PLANNED, None, shelf.now_ms)


def test_an_unfinished_run_is_planned_again_as_it_was(shelf: Shelf) -> None:
    run = shelf.plan(START_MS + 3 * DAY_MS)
    shelf.add((START_MS, "late"))

    assert shelf.plan(START_MS + 9 * DAY_MS) == run


def test_too_few_rows_make_no_run(shelf: Shelf) -> None:
    assert shelf.plan(START_MS + 3 * DAY_MS, rows_min=4) is None
    assert shelf.plan(START_MS) is None
    assert shelf.runs.list() == []
    assert shelf.plan(START_MS + 3 * DAY_MS, rows_min=3) is not None


def test_a_tenant_without_events_makes_no_run(tmp_path: Path) -> None:
    assert Shelf(tmp_path / "empty").plan() is None


def test_too_many_rows_are_due_early_and_half_of_the_bound_stays(shelf: Shelf) -> None:
    assert not shelf.runs.overfull(10)
    assert shelf.runs.overfull(9)

    run = shelf.plan(START_MS, recent_max=6)

    assert run is not None
    assert run.before_ms == DAYS[6][0] + 1  # three are younger


def test_rows_of_one_moment_do_not_escape_the_bound(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "acme")
    shelf.add(*[(START_MS, "u")] * 10)

    run = shelf.plan(0, recent_max=6)

    assert run is not None
    assert run.before_ms == START_MS + 1


def test_only_rows_of_a_committed_run_are_deleted(shelf: Shelf) -> None:
    shelf.plan(START_MS + 3 * DAY_MS)

    assert shelf.runs.clear()
    assert left(shelf) == list(range(1, 11))


def test_rows_leave_in_parts_and_the_run_ends_with_the_last(shelf: Shelf) -> None:
    run = shelf.plan(START_MS + 5 * DAY_MS)
    assert run is not None
    shelf.add((START_MS, "late"))

    assert not shelf.runs.settle(said(1, 5), 99, rows=2)
    assert [each.state for each in shelf.runs.list()] == [COMMITTED]
    assert shelf.runs.settled == 0
    assert not shelf.runs.clear(2)
    assert shelf.runs.clear(2)

    assert left(shelf) == [6, 7, 8, 9, 10, 11]
    [done] = shelf.runs.list()
    assert (done.state, done.rows, done.digest, done.snapshot_id) == (DELETED, 5, "d", 7)
    assert (done.committed_ms, done.first_seq, done.last_seq) == (99, 1, 5)
    assert shelf.runs.settled == 1
    assert shelf.runs.clear()


def test_a_late_event_goes_with_the_next_run(shelf: Shelf) -> None:
    shelf.plan(START_MS + 5 * DAY_MS)
    shelf.add((START_MS, "late"))
    shelf.settle(said(1, 5))

    run = shelf.plan(START_MS + 5 * DAY_MS)

    assert run is not None
    assert (run.run, run.cut_seq) == (2, 11)


def test_another_commit_of_the_same_run_is_refused(shelf: Shelf) -> None:
    shelf.plan(START_MS + 5 * DAY_MS)
    shelf.runs.settle(said(1, 5), 99, rows=2)

    with pytest.raises(ArchiveMismatch):
        shelf.runs.settle(said(1, 5, "other"), 99)
    with pytest.raises(ArchiveMismatch):
        shelf.runs.settle(said(2, 5), 99)


def test_settling_again_changes_nothing_but_goes_on(shelf: Shelf) -> None:
    shelf.plan(START_MS + 5 * DAY_MS)
    shelf.runs.settle(said(1, 5), 99, rows=2)

    shelf.runs.settle(said(1, 5), 100, rows=2)
    assert shelf.runs.settle(said(1, 5), 101, rows=2)

    assert shelf.runs.list()[0].committed_ms == 99
    assert shelf.runs.settle(said(1, 5), 102)


def test_a_bound_is_a_positive_number(shelf: Shelf) -> None:
    with pytest.raises(InvalidArgument):
        shelf.plan(rows_min=0)
    with pytest.raises(InvalidArgument):
        shelf.plan(recent_max=0)


def test_a_week_is_counted_in_whole_utc_days() -> None:
    assert weekly_before(START_MS + 7 * DAY_MS + 1) == START_MS
    assert weekly_before(START_MS + 8 * DAY_MS - 1) == START_MS
    assert weekly_before(START_MS + DAY_MS, age_s=3600) == START_MS
