"""A crash anywhere in a run loses no row and doubles none, and two archivers are as one."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from support.shelf import (
    CRASHING,
    DAY_MS,
    START_MS,
    Crash,
    CrashAt,
    CrashingIO,
    Shelf,
)

from raydo.actors.lake_archive import archive
from raydo.actors.lake_compaction import compact
from raydo.actors.lake_rows import TenantRows
from raydo.actors.lake_runs import COMMITTED, PLANNED, Committed, Run
from raydo.actors.lake_snapshots import commit, snapshots
from raydo.actors.lake_table import opened
from raydo.pipelining.errors import ArchiveMismatch, StorageFull, Unavailable

DAYS = 3
EVENTS = [(START_MS + n * DAY_MS * DAYS // 17, f"u{n % 4}") for n in range(17)]
STEPS = [
    "planned",
    "archive.opened",
    "archive.file",
    "archive.files",
    "archive.commit.before",
    "archive.commit.after",
    "archive.read_again",
    "archived",
    "marked",
    "settled some",
    "cleared some",
]


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    shelf = Shelf(tmp_path / "acme")
    shelf.add(*EVENTS)
    return shelf


def planned(shelf: Shelf) -> Run:
    run = shelf.plan()
    assert run is not None
    return run


def check(shelf: Shelf, expected: list[tuple[object, ...]]) -> None:
    """Every row is there once, and the archive has each of its own once."""
    assert shelf.events() == expected
    archived = [row[0] for row in shelf.archived()]
    assert len(archived) == len(set(archived))


def test_a_run_moves_the_rows_and_changes_no_answer(shelf: Shelf) -> None:
    before = shelf.events()

    committed = shelf.run(START_MS + DAY_MS)

    assert committed is not None
    assert (committed.rows, committed.first_seq, committed.last_seq) == (6, 1, 6)
    assert (committed.min_ts, committed.max_ts) == (EVENTS[0][0], EVENTS[5][0])
    assert len(shelf.archived()) == 6
    assert shelf.database.run("SELECT count(*) FROM raw_events") == [(11,)]
    check(shelf, before)


def test_the_steps_are_these(shelf: Shelf) -> None:
    step = CrashAt()

    shelf.run(step=step)

    assert list(dict.fromkeys(step.passed)) == STEPS
    assert step.passed.count("archive.file") == DAYS


@pytest.mark.parametrize("label", [*STEPS, "archive.file 3"])
def test_a_crash_at_any_step_loses_nothing_and_doubles_nothing(shelf: Shelf, label: str) -> None:
    before = shelf.events()
    step, _, nth = label.partition(" ") if label[-1].isdigit() else (label, "", "1")
    crash = CrashAt(step, int(nth))

    with pytest.raises(Crash):
        shelf.run(step=crash)
    shelf = shelf.restart()
    check(shelf, before)
    while shelf.runs.settled == 0:
        shelf.run()

    check(shelf, before)
    assert len(shelf.archived()) == len(EVENTS)
    assert shelf.database.run("SELECT count(*) FROM raw_events") == [(0,)]
    assert [each.kind for each in snapshots(shelf.lake)] == ["archive"]


@pytest.fixture
def crashing_io() -> Iterator[type[CrashingIO]]:
    CrashingIO.left = None
    yield CrashingIO
    CrashingIO.left = None


def test_a_crash_before_any_file_is_made_loses_nothing_and_doubles_nothing(
    tmp_path: Path, crashing_io: type[CrashingIO]
) -> None:
    shelf = Shelf(tmp_path / "acme", CRASHING)
    shelf.add(*EVENTS)
    before = shelf.events()
    run = planned(shelf)

    crashes = 0
    while True:
        crashing_io.left = crashes
        try:
            committed = shelf.archive(run)
            break
        except Crash:
            crashes += 1
            crashing_io.left = None
            check(shelf, before)
    crashing_io.left = None
    shelf.settle(committed)

    # The table; then each time a file a day, a manifest, a list of manifests, the metadata.
    assert crashes == DAYS + 3
    check(shelf, before)
    assert [each.rows for each in snapshots(shelf.lake)] == [len(EVENTS)]


KILLED = """
import os, sys
from pathlib import Path
from support.shelf import Shelf

def step(label):
    if label == sys.argv[2]:
        os._exit(9)

Shelf(Path(sys.argv[1])).run(step=step)
"""


@pytest.mark.parametrize("label", ["archive.files", "archive.commit.after", "settled some"])
def test_a_killed_process_loses_nothing_and_doubles_nothing(shelf: Shelf, label: str) -> None:
    before = shelf.events()
    shelf.database.close()

    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(shelf.folder), label],
        env={"PYTHONPATH": str(Path(__file__).parent)},
        check=False,
    )
    assert killed.returncode == 9
    shelf = shelf.restart()
    check(shelf, before)
    while shelf.runs.settled == 0:
        shelf.run()

    check(shelf, before)
    assert len(shelf.archived()) == len(EVENTS)


def test_running_a_committed_run_again_reads_it_and_commits_nothing(shelf: Shelf) -> None:
    run = planned(shelf)
    first = shelf.archive(run)
    files = shelf.files()

    assert shelf.archive(run) == first
    assert shelf.files() == files


@pytest.mark.parametrize("together", ["archive.opened", "archive.commit.before"])
def test_two_archivers_of_one_run_commit_once_and_agree(shelf: Shelf, together: str) -> None:
    before = shelf.events()
    run = planned(shelf)
    barrier = threading.Barrier(2, timeout=20)
    results: list[Committed] = []

    def both(label: str) -> None:
        if label == together:
            barrier.wait()

    def work() -> None:
        results.append(shelf.archive(run, both))

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(results) == 2
    assert results[0] == results[1]
    assert [each.kind for each in snapshots(shelf.lake)] == ["archive"]
    assert len(shelf.parquet()) == DAYS  # the slower one's are gone
    shelf.settle(results[0])
    check(shelf, before)


def test_an_archiver_that_comes_too_late_is_told_and_changes_nothing(shelf: Shelf) -> None:
    first = planned(shelf)
    shelf.settle(shelf.archive(first))
    shelf.add((START_MS, "late"))
    shelf.run()
    before = shelf.events()

    with pytest.raises(ArchiveMismatch, match="has run 2 already"):
        shelf.archive(first)

    check(shelf, before)


def test_a_commit_that_meets_another_kind_goes_on_with_the_files_that_it_has(
    shelf: Shelf,
) -> None:
    shelf.run(START_MS + DAY_MS)
    before = shelf.events()
    run = planned(shelf)

    def meanwhile(label: str) -> None:
        if label == "archive.commit.before" and len(snapshots(shelf.lake)) == 1:
            with opened(shelf.lake) as table:
                assert table is not None
                commit(table, "other", added=())

    shelf.settle(shelf.archive(run, meanwhile))

    assert [each.kind for each in snapshots(shelf.lake)] == ["archive", "other", "archive"]
    assert [each.run for each in snapshots(shelf.lake)] == [1, 1, 2]
    check(shelf, before)


def test_a_commit_that_always_meets_others_gives_up_for_now(shelf: Shelf) -> None:
    shelf.run(START_MS + DAY_MS)
    before = shelf.events()

    def meanwhile(label: str) -> None:
        if label == "archive.commit.before":
            with opened(shelf.lake) as table:
                assert table is not None
                commit(table, "other", added=())

    with pytest.raises(Unavailable):
        shelf.archive(planned(shelf), meanwhile)

    check(shelf, before)
    shelf.run()
    check(shelf, before)


def test_rows_that_differ_from_the_archives_are_never_deleted(shelf: Shelf) -> None:
    run = planned(shelf)
    shelf.archive(run)
    shelf.database.run("UPDATE raw_events SET properties = '{}' WHERE seq = 3")
    shelf.database.commit()

    with pytest.raises(ArchiveMismatch, match="17 rows in the archive"):
        shelf.archive(run)
    assert [each.state for each in shelf.runs.list()] == [PLANNED]


def test_a_file_that_was_harmed_is_found_before_any_row_is_deleted(shelf: Shelf) -> None:
    run = planned(shelf)

    def harm(label: str) -> None:
        if label == "archive.commit.after":
            file = shelf.parquet()[0]
            other = shelf.parquet()[1]
            shutil.copy(other, file)

    with pytest.raises(ArchiveMismatch):
        shelf.archive(run, harm)


def test_a_tenant_from_an_older_backup_is_told_that_the_archive_is_ahead(shelf: Shelf) -> None:
    assert shelf.database.checkpoint()
    shutil.copy(shelf.folder / "tenant.db", shelf.folder.parent / "backup.db")
    shelf.run()
    shelf.database.close()
    shutil.copy(shelf.folder.parent / "backup.db", shelf.folder / "tenant.db")
    old = Shelf(shelf.folder)

    with pytest.raises(ArchiveMismatch, match="ends elsewhere"):
        old.run(START_MS + DAY_MS)


def test_late_events_are_archived_with_the_next_run(shelf: Shelf) -> None:
    shelf.run(START_MS + 2 * DAY_MS)
    shelf.add((START_MS + 5, "late"), (START_MS + 2 * DAY_MS + 9, "other"))
    before = shelf.events()

    committed = shelf.run(START_MS + 2 * DAY_MS)

    assert committed is not None
    assert committed.rows == 1
    check(shelf, before)
    assert len(shelf.parquet()) == 3


def test_an_event_that_comes_while_its_day_is_archived_stays_for_the_next_run(
    shelf: Shelf,
) -> None:
    def late(label: str) -> None:
        if label in ("archive.opened", "archive.commit.before", "archived"):
            shelf.add((START_MS + 1, label))

    shelf.run(step=late)

    assert shelf.seqs() == list(range(1, 21))
    assert len(shelf.archived()) == 17
    shelf.run()
    assert shelf.seqs() == list(range(1, 21))
    assert len(shelf.archived()) == 20


def test_a_run_without_rows_leaves_no_snapshot(shelf: Shelf) -> None:
    run = planned(shelf)
    shelf.database.run("DELETE FROM raw_events")
    shelf.database.commit()

    committed = shelf.archive(run)
    shelf.settle(committed)

    assert (committed.snapshot_id, committed.rows) == (None, 0)
    assert snapshots(shelf.lake) == []
    assert shelf.runs.settled == 1


def test_a_full_disk_is_named_and_leaves_no_files(shelf: Shelf) -> None:
    run = planned(shelf)
    tenant = TenantRows(shelf.folder / "tenant.db", 5)

    def full(run: Run) -> Iterator[pa.RecordBatch]:
        yield from list(tenant(run))[:3]
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageFull):
        archive(shelf.lake, run, full)

    assert shelf.parquet() == []
    assert shelf.runs.unfinished() == run


def test_a_run_that_took_too_long_commits_nothing(shelf: Shelf) -> None:
    times = iter([0.0, 1e6])

    with pytest.raises(Unavailable):
        shelf.archive(planned(shelf), stopwatch=lambda: next(times))

    assert snapshots(shelf.lake) == []
    assert shelf.parquet() == []


def test_deleting_goes_on_after_a_crash_without_the_archive(shelf: Shelf) -> None:
    with pytest.raises(Crash):
        shelf.run(step=CrashAt("settled some"))
    shelf = shelf.restart()
    [run] = shelf.runs.list()
    assert run.state == COMMITTED

    assert compact(shelf.lake, settled_run=shelf.runs.settled, files_min=2) is None
    assert shelf.run() is None

    assert shelf.runs.settled == 1
