"""Expiry deletes what nobody can be reading, and nothing that somebody can."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from support.shelf import (
    DAY_MS,
    RUNS,
    START_MS,
    Crash,
    CrashAt,
    Shelf,
    restored,
    scattered_and_merged,
)

from raydo.actors import lake_expiry
from raydo.actors.lake_expiry import Expired, expire
from raydo.actors.lake_snapshots import live_files, read, snapshots
from raydo.actors.lake_table import opened

pytestmark = pytest.mark.slow

HOUR_MS = 3_600_000


@pytest.fixture
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Four runs and a merge, so that snapshots differ in their files."""
    return restored(tmp_path_factory.getbasetemp(), "merged", scattered_and_merged)


def now() -> int:
    """Return the clock by which files and snapshots are dated."""
    return time.time_ns() // 1_000_000


def aged(shelf: Shelf, by_s: float) -> None:
    """Let every file look older."""
    for path in shelf.files():
        then = path.stat().st_mtime - by_s
        os.utime(path, (then, then))


def test_snapshots_that_ceased_long_ago_are_dropped_and_the_present_one_stays(
    shelf: Shelf,
) -> None:
    before = shelf.events()

    assert expire(shelf.lake, now(), keep_s=86_400).snapshots == 0
    assert expire(shelf.lake, now() + DAY_MS, keep_s=86_400).snapshots == RUNS

    [left] = snapshots(shelf.lake)
    assert left.kind == "compaction"
    assert shelf.events() == before
    assert expire(shelf.lake, now() + 40 * DAY_MS).snapshots == 0


def test_a_snapshot_is_as_old_as_its_end(shelf: Shelf) -> None:
    """The last run's snapshot may be a month old, and was the present one until the merge."""
    *_, last_run, merge = snapshots(shelf.lake)

    expire(shelf.lake, merge.at_ms, keep_s=0)
    assert last_run in snapshots(shelf.lake)
    expire(shelf.lake, merge.at_ms + 1, keep_s=0)

    assert snapshots(shelf.lake) == [merge]


def test_files_of_a_dropped_snapshot_stay_until_its_readers_have_ended(shelf: Shelf) -> None:
    aged(shelf, 30 * 86_400)  # so that their age alone would let them go
    expired = [path for path in shelf.parquet() if path.name.startswith("run")][:-1]

    dropped = expire(shelf.lake, now() + 1, keep_s=0)
    again = expire(shelf.lake, now() + 1, keep_s=0)
    later = expire(shelf.lake, now() + 2 * HOUR_MS, keep_s=0)

    assert dropped == Expired(snapshots=RUNS)
    assert again == Expired()
    assert later.files >= RUNS + 2 * RUNS
    assert later.bytes > sum(path.stat().st_size for path in expired if path.exists())
    assert {path.name[:6] for path in shelf.parquet()} == {"merged", "run000"}
    assert len(shelf.parquet()) == 2


def test_a_reader_who_planned_before_the_drop_reads_to_the_end(shelf: Shelf) -> None:
    aged(shelf, 30 * 86_400)
    with opened(shelf.lake) as table:
        assert table is not None
        snapshot = table.snapshots()[RUNS - 1]
        batches = read(table.io, [file.file_path for file in live_files(table, snapshot)])
        first = next(batches).num_rows

        expire(shelf.lake, now() + 1, keep_s=0)
        expire(shelf.lake, now() + 1, keep_s=0)

        assert first + sum(batch.num_rows for batch in batches) == len(shelf.events())


def test_young_litter_stays_and_old_litter_goes(shelf: Shelf) -> None:
    litter = shelf.lake.home / "events" / "data" / "timestamp_day=2025-10-09" / "run9.parquet"
    litter.write_bytes(b"half a fi")

    assert expire(shelf.lake, now() + 23 * HOUR_MS).files == 0
    assert litter.exists()
    assert expire(shelf.lake, now() + 25 * HOUR_MS) == Expired(files=1, bytes=9)
    assert not litter.exists()


def test_files_of_a_crashed_run_go_and_those_of_its_repetition_stay(shelf: Shelf) -> None:
    shelf.add((START_MS, "late"))
    with pytest.raises(Crash):
        shelf.run(step=CrashAt("archive.files"))
    shelf.run()
    before, files = shelf.events(), len(shelf.parquet())

    expire(shelf.lake, now() + 2 * DAY_MS)

    assert len(shelf.parquet()) == files - 1
    assert shelf.events() == before


def test_every_kept_snapshot_reads_as_before(shelf: Shelf) -> None:
    answers = {each.snapshot_id: shelf.archived(each.snapshot_id) for each in snapshots(shelf.lake)}
    expire(shelf.lake, now() + 1, keep_s=0)
    for hours in (2, 48, 24 * 365):
        expire(shelf.lake, now() + hours * HOUR_MS)

    for each in snapshots(shelf.lake):
        assert shelf.archived(each.snapshot_id) == answers[each.snapshot_id]


def test_old_metadata_files_go_too(shelf: Shelf) -> None:
    for _ in range(lake_expiry.LAKE_METADATA_KEPT):
        shelf.add((START_MS, "late"))
        shelf.run()
    expire(shelf.lake, now() + 2 * DAY_MS)

    kept = [path for path in shelf.files() if path.name.endswith("metadata.json")]
    assert len(kept) == lake_expiry.LAKE_METADATA_KEPT + 1


def test_when_not_all_recent_metadata_is_known_nothing_is_deleted(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    aged(shelf, 30 * 86_400)
    expire(shelf.lake, now() + 1, keep_s=0)
    monkeypatch.setattr(lake_expiry, "LAKE_METADATA_KEPT", 1)

    assert expire(shelf.lake, now() + 1, grace_s=HOUR_MS) == Expired()


def test_a_crash_between_the_two_halves_harms_nothing(shelf: Shelf) -> None:
    before = shelf.events()
    with pytest.raises(Crash):
        expire(shelf.lake, now() + 40 * DAY_MS, step=CrashAt("expire.swept"))

    assert shelf.events() == before
    assert expire(shelf.lake, now() + 40 * DAY_MS).snapshots == RUNS
    assert shelf.events() == before


def test_a_tenant_without_an_archive_has_nothing_to_expire(tmp_path: Path) -> None:
    assert expire(Shelf(tmp_path / "empty").lake, now()) == Expired()
