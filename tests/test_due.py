from __future__ import annotations

import random
from pathlib import Path

from raydo.actors import tenant
from raydo.actors.disk import OsDisk
from raydo.actors.due import Dues, read_due, scan, write_due
from raydo.pipelining.noun import Noun


def noun(number: int) -> Noun:
    return Noun("Analytics", f"t{number}")


def test_objects_wake_in_the_order_of_their_latest_due_times() -> None:
    dues, expected, source = Dues(), {}, random.Random(1)
    for _ in range(10_000):
        which, at_ms = noun(source.randrange(300)), source.randrange(1_000)
        expected[which] = at_ms
        dues.set(which, at_ms)
        if source.random() < 0.2:
            gone = noun(source.randrange(300))
            expected.pop(gone, None)
            dues.set(gone, None)
    assert len(dues) == len(expected)
    assert len(dues._heap) < 2 * 300 + 2_000  # what no longer holds is bounded

    assert dues.next_ms() == min(expected.values())
    taken = dues.take(499, 1_000)
    assert [expected[each] for each in taken] == sorted(t for t in expected.values() if t <= 499)
    assert dues.take(499, 1_000) == []


def test_no_more_are_taken_than_asked_for() -> None:
    dues = Dues()
    for number in range(5):
        dues.set(noun(number), 10 - number)
    assert dues.take(100, 2) == [noun(4), noun(3)]
    assert len(dues) == 3


def test_a_folder_says_when_it_must_wake(tmp_path: Path) -> None:
    disk = OsDisk()
    for number in range(3):
        tenant.create(tenant.folder(tmp_path, noun(number)), noun(number))
    folder = tenant.folder(tmp_path, noun(1))
    assert read_due(disk, folder) is None
    write_due(disk, folder, 5)
    write_due(disk, folder, 7)
    assert read_due(disk, folder) == 7
    assert list(scan(tmp_path)) == [(noun(1), 7)]
    write_due(disk, folder, None)
    write_due(disk, folder, None)
    assert list(scan(tmp_path)) == []


def test_a_file_that_cannot_be_read_wakes_its_object_at_once(tmp_path: Path) -> None:
    folder = tenant.folder(tmp_path, noun(1))
    tenant.create(folder, noun(1))
    (folder / "due").write_text("soon")
    assert list(scan(tmp_path)) == [(noun(1), 0)]
