"""An erased user is nowhere in the folder, and all others are where they were."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from pyiceberg.avro.file import AvroFile
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io.pyarrow import PyArrowFileIO
from support.shelf import START_MS, Crash, CrashAt, Shelf, merged, restored, scattered_and_merged

from raydo.actors.lake_erasure import Erased, erase
from raydo.actors.lake_expiry import expire
from raydo.actors.lake_snapshots import commit, snapshots
from raydo.actors.lake_table import opened
from raydo.pipelining.errors import Unavailable

pytestmark = pytest.mark.slow

USER = "u4"  # the last in order, so also a bound in manifests
USERS = {USER, f"anon-{USER}"}
TRACE = re.compile(rb"\bu4\b")


@pytest.fixture
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return restored(tmp_path_factory.getbasetemp(), "merged", scattered_and_merged)


def others(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [row for row in rows if not {row[3], row[4]} & USERS]


def erased(shelf: Shelf, **options: Any) -> Erased:
    return erase(shelf.lake, USERS, settled_run=shelf.runs.settled, **options)


def traces(shelf: Shelf) -> list[str]:
    """List the archive's files that mention the user, decoded."""
    found = []
    for path in shelf.files():
        if path.suffix == ".parquet":
            content = repr(pq.read_table(path).to_pylist()).encode() + path.read_bytes()
        elif path.suffix == ".avro":
            with AvroFile(PyArrowFileIO().new_input(str(path))) as records:
                content = b"".join(repr(each._data).encode() for each in walk(list(records)))
        else:
            content = path.read_bytes()
            content = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
        if TRACE.search(content):
            found.append(path.name)
    return found


def walk(records: list[Any]) -> list[Any]:
    """List records and the records inside them."""
    inner = [each for record in records for each in record._data if hasattr(each, "_data")]
    return [*records, *walk(inner)] if inner else records


def test_traces_are_found_where_they_are(shelf: Shelf) -> None:
    kinds = {name.partition("-")[0][:3] + Path(name).suffix for name in traces(shelf)}

    assert {"run.parquet", "mer.parquet"} <= kinds
    assert any(kind.endswith(".avro") for kind in kinds)  # as bounds


@pytest.mark.parametrize("keep_history", [True, False])
def test_no_byte_of_the_user_is_left_and_every_other_row_is(
    shelf: Shelf, keep_history: bool
) -> None:
    before = shelf.events()
    answers = {each.snapshot_id: shelf.archived(each.snapshot_id) for each in snapshots(shelf.lake)}
    moments = {row[7]: shelf.as_of(row[7]) for row in before}

    done = erased(shelf, keep_history=keep_history)

    gone = len(before) - len(others(before))
    assert gone > 0
    assert done.rows == gone
    assert traces(shelf) == []
    assert shelf.events() == others(before)
    left = {row[0] for row in others(before)}
    for moment_ms, seqs in moments.items():
        assert shelf.as_of(moment_ms) == [seq for seq in seqs if seq in left]
    if keep_history:
        assert {each.snapshot_id for each in snapshots(shelf.lake)} == answers.keys()
        for snapshot_id, rows in answers.items():
            assert shelf.archived(snapshot_id) == others(rows)
    else:
        assert len(snapshots(shelf.lake)) == 1


def test_snapshots_count_what_is_left(shelf: Shelf) -> None:
    erased(shelf)

    for each in snapshots(shelf.lake):
        assert each.rows == len(shelf.archived(each.snapshot_id))
    *_, last = snapshots(shelf.lake)
    live = [path for path in shelf.parquet() if path.name.startswith("erased")]
    assert last.bytes <= sum(path.stat().st_size for path in shelf.parquet())
    assert live


@pytest.mark.parametrize("keep_history", [True, False])
def test_the_archive_goes_on_afterwards(shelf: Shelf, keep_history: bool) -> None:
    erased(shelf, keep_history=keep_history)
    shelf.add((START_MS + 9, "later"))
    before = shelf.events()

    shelf.run()
    merged(shelf, files_min=2)
    expire(shelf.lake, 2**50)
    expire(shelf.lake, 2**51)

    assert shelf.events() == before
    assert traces(shelf) == []
    assert snapshots(shelf.lake)[-1].rows == len(before)


def test_a_user_in_every_row_of_a_day_leaves_no_file_of_it(tmp_path: Path) -> None:
    shelf = Shelf(tmp_path / "acme")
    shelf.add(*[(START_MS, USER)] * 4)
    shelf.run()

    assert erased(shelf) == Erased(rows=4, files=1)

    assert shelf.events() == []
    assert shelf.parquet() == []
    shelf.add((START_MS, "other"))
    shelf.run()
    assert len(shelf.archived()) == 1


def test_a_user_who_is_not_there_changes_no_file(shelf: Shelf) -> None:
    before = shelf.events()
    files = {path: path.stat().st_mtime_ns for path in shelf.parquet()}

    assert erase(shelf.lake, {"nobody"}, settled_run=shelf.runs.settled) == Erased()

    assert shelf.events() == before
    assert {path: path.stat().st_mtime_ns for path in shelf.parquet()} == files


def test_what_a_crashed_run_left_goes_too(shelf: Shelf) -> None:
    shelf.add((START_MS, USER))
    with pytest.raises(Crash):
        shelf.run(step=CrashAt("archive.files"))
    shelf.run()

    erased(shelf)

    assert traces(shelf) == []


def test_bounds_of_files_that_are_gone_already_go_too(shelf: Shelf) -> None:
    """A merge's manifest names the files that it replaced, with the least and greatest user."""
    expire(shelf.lake, 2**50)
    expire(shelf.lake, 2**51)
    [last] = snapshots(shelf.lake)
    before = shelf.archived(last.snapshot_id)

    erased(shelf)

    assert traces(shelf) == []
    assert shelf.archived(last.snapshot_id) == others(before)


STEPS = ["erase.file", "erase.before", "erase.after", "erase.before_sweep"]


@pytest.mark.parametrize("keep_history", [True, False])
@pytest.mark.parametrize("label", STEPS)
def test_a_crash_at_any_step_is_gone_over_again(
    shelf: Shelf, label: str, keep_history: bool
) -> None:
    before = shelf.events()

    with pytest.raises(Crash):
        erased(shelf, step=CrashAt(label), keep_history=keep_history)
    assert shelf.events() in (before, others(before))
    erased(shelf, keep_history=keep_history)

    assert traces(shelf) == []
    assert shelf.events() == others(before)


@pytest.mark.parametrize("keep_history", [True, False])
def test_a_commit_that_comes_in_between_is_not_undone(shelf: Shelf, keep_history: bool) -> None:
    before = shelf.events()

    def meanwhile(label: str) -> None:
        if label == "erase.before":
            with opened(shelf.lake) as table:
                assert table is not None
                commit(table, "other", added=())

    with pytest.raises(CommitFailedException):
        erased(shelf, step=meanwhile, keep_history=keep_history)

    assert snapshots(shelf.lake)[-1].kind == "other"
    assert shelf.events() == before
    erased(shelf, keep_history=keep_history)
    assert traces(shelf) == []
    assert shelf.events() == others(before)


def test_nobody_is_erased_while_a_run_is_not_settled(shelf: Shelf) -> None:
    shelf.add((START_MS, "late"))
    run = shelf.plan()
    assert run is not None
    shelf.archive(run)

    with pytest.raises(Unavailable):
        erased(shelf)


def test_a_tenant_without_an_archive_has_nothing_to_erase(tmp_path: Path) -> None:
    assert erased(Shelf(tmp_path / "empty")) == Erased()
