"""A copied folder's archive is whole at its new place, history included, and the old one's is too."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from pyiceberg.catalog.sql import SqlCatalog
from support.shelf import (
    CRASHING,
    NAMESPACE,
    START_MS,
    Crash,
    CrashAt,
    CrashingIO,
    Shelf,
    merged,
    restored,
    scattered_and_merged,
)

from raydo.actors.lake_expiry import expire
from raydo.actors.lake_relocation import relocate
from raydo.actors.lake_snapshots import snapshots
from raydo.actors.lake_table import opened
from raydo.pipelining.errors import DataUnreadable


@pytest.fixture
def original(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """Runs and a merge, and an empty log of SQLite's, so that a plain copy is whole."""
    shelf = restored(tmp_path_factory.getbasetemp(), "merged", scattered_and_merged)
    shelf.add((START_MS, "not archived yet"))
    assert shelf.database.checkpoint()
    return shelf


def answers(shelf: Shelf) -> dict[int, list[tuple[Any, ...]]]:
    return {each.snapshot_id: shelf.archived(each.snapshot_id) for each in snapshots(shelf.lake)}


def copied(original: Shelf, to: Path, *, keep: bool = True, **properties: str) -> Shelf:
    if keep:
        shutil.copytree(original.folder, to)
    else:
        original.database.close()
        to.parent.mkdir(parents=True, exist_ok=True)
        original.folder.rename(to)
    return Shelf(to, properties)


@pytest.mark.parametrize("keep", [True, False], ids=["copied", "moved"])
def test_it_answers_everything_as_the_original_did(
    original: Shelf, tmp_path: Path, keep: bool
) -> None:
    events, history, known = original.events(), answers(original), snapshots(original.lake)
    copy = copied(original, tmp_path / "there" / NAMESPACE, keep=keep)

    assert relocate(copy.lake)

    assert copy.events() == events
    assert answers(copy) == history
    assert snapshots(copy.lake) == known
    assert not relocate(copy.lake)


def test_each_file_keeps_its_place_in_the_order_of_commits(original: Shelf, tmp_path: Path) -> None:
    """By these numbers a reader decides which deletes apply to a file, and what is new since when."""
    before = numbers(original)
    copy = copied(original, tmp_path / "there" / NAMESPACE)
    relocate(copy.lake)

    assert numbers(copy) == before
    assert len({number for _, _, _, number in before}) > 1


def numbers(shelf: Shelf) -> list[tuple[int, str, int, int]]:
    with opened(shelf.lake) as table:
        assert table is not None
        return [
            (
                snapshot.snapshot_id,
                f"{entry.status} {Path(entry.data_file.file_path).name}",
                manifest.sequence_number + 1_000 * (manifest.min_sequence_number or 0),
                (entry.sequence_number or 0) + 1_000 * (entry.file_sequence_number or 0),
            )
            for snapshot in table.snapshots()
            for manifest in snapshot.manifests(table.io)
            for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=False)
        ]


def test_nothing_refers_to_the_old_place(original: Shelf, tmp_path: Path) -> None:
    old = str(original.folder).encode()
    copy = copied(original, tmp_path / "there" / NAMESPACE, keep=False)
    relocate(copy.lake)
    expire(copy.lake, 2**50, litter_s=0)

    for path in copy.files():
        if path.suffix != ".avro":  # compressed; read below
            assert old not in path.read_bytes(), path
    assert all(copy.archived(each.snapshot_id) for each in snapshots(copy.lake))


def test_both_go_on_apart(original: Shelf, tmp_path: Path) -> None:
    copy = copied(original, tmp_path / "there" / NAMESPACE)
    copy.add((START_MS, "copy"), (START_MS + 1, "copy"))
    before, after = original.events(), copy.database.run("SELECT count(*) FROM raw_events")

    copy.run()  # an archive run relocates by itself
    merged(copy)
    expire(copy.lake, 2**50)

    assert after == [(3,)]
    assert len(copy.events()) == len(before) + 2
    assert original.events() == before
    original.run()
    assert original.events() == before


def test_pyiceberg_alone_opens_the_copy(original: Shelf, tmp_path: Path) -> None:
    copy = copied(original, tmp_path / "there" / NAMESPACE, keep=False)
    relocate(copy.lake)

    catalog = SqlCatalog("raydo", uri=f"sqlite:///{copy.lake.catalog_path}")
    table = catalog.load_table((NAMESPACE, "events"))
    for snapshot in table.snapshots():
        scan = table.scan(snapshot_id=snapshot.snapshot_id).to_arrow()
        assert scan.num_rows == int(snapshot.summary["total-records"])
    catalog.close()


def test_two_that_relocate_at_once_agree(original: Shelf, tmp_path: Path) -> None:
    events = original.events()
    copy = copied(original, tmp_path / "there" / NAMESPACE)
    barrier = threading.Barrier(2, timeout=20)
    done: list[bool] = []

    def work() -> None:
        done.append(relocate(copy.lake, step=wait))

    def wait(label: str) -> None:
        if label == "relocate.before":
            barrier.wait()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert done == [True, True]
    assert copy.events() == events


@pytest.mark.parametrize("label", ["relocate.before", "relocate.after"])
def test_a_crash_at_any_step_is_gone_over_again(
    original: Shelf, tmp_path: Path, label: str
) -> None:
    events = original.events()
    copy = copied(original, tmp_path / "there" / NAMESPACE)

    with pytest.raises(Crash):
        relocate(copy.lake, step=CrashAt(label))
    relocate(copy.lake)

    assert copy.events() == events


def test_a_crash_before_any_file_is_made_is_gone_over_again(
    original: Shelf, tmp_path: Path
) -> None:
    events = original.events()
    copy = copied(original, tmp_path / "there" / NAMESPACE, **CRASHING)

    crashes = 0
    while True:
        CrashingIO.left = crashes
        try:
            relocate(copy.lake)
            break
        except Crash:
            crashes += 1
            assert copy.lake.displaced_from() is not None
    CrashingIO.left = None

    assert crashes > len(snapshots(copy.lake))
    assert copy.events() == events


def test_a_copy_that_lacks_files_is_not_turned_to(original: Shelf, tmp_path: Path) -> None:
    copy = copied(original, tmp_path / "there" / NAMESPACE)
    next(path for path in copy.files() if path.name.startswith("snap-")).unlink()

    with pytest.raises(FileNotFoundError):
        relocate(copy.lake)
    assert copy.lake.displaced_from() is not None


def test_files_outside_the_folder_are_named(original: Shelf, tmp_path: Path) -> None:
    copy = copied(original, tmp_path / "there" / NAMESPACE)
    [metadata] = [
        path for path in copy.files() if path.name == Path(copy.lake.displaced_from() or "").name
    ]
    text = metadata.read_text()
    location = f'"location":"{original.folder}/lake/events"'
    assert location in text
    metadata.write_text(text.replace(location, '"location":"/elsewhere"'))

    with pytest.raises(DataUnreadable, match="is not in it"):
        relocate(copy.lake)
