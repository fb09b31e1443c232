"""One contract, held by the machine's disk and by the simulated one; and what a crash may do."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from sim.disk import Crashed, SimDisk
from sim.disk_file import SECTOR

from raydo.actors.disk import Disk, OsDisk, read_file, write_file


@pytest.fixture(params=[OsDisk, lambda: SimDisk(Random(1))], ids=["os", "simulated"])
def disk(request: pytest.FixtureRequest) -> Disk:
    make: Callable[[], Disk] = request.param
    return make()


def test_what_is_written_is_read_back(disk: Disk, tmp_path: Path) -> None:
    handle = disk.create(tmp_path / "a")

    disk.write(handle, b"hello world", 3)
    disk.sync(handle)
    disk.sync_folder(tmp_path)

    assert disk.size(handle) == 14
    assert disk.read(handle, 100, 0) == b"\0\0\0hello world"
    assert disk.read(handle, 4, 3) == b"hell"
    disk.close(handle)
    assert read_file(disk, tmp_path / "a") == b"\0\0\0hello world"


def test_a_preallocated_file_is_zeros_of_that_size_and_keeps_what_it_held(
    disk: Disk, tmp_path: Path
) -> None:
    handle = disk.create(tmp_path / "a")

    disk.preallocate(handle, 700_000)

    assert disk.size(handle) == 700_000
    assert not any(disk.read(handle, 700_000, 0))
    disk.close(handle)


def test_create_refuses_a_file_that_is_there(disk: Disk, tmp_path: Path) -> None:
    disk.close(disk.create(tmp_path / "a"))

    with pytest.raises(FileExistsError):
        disk.create(tmp_path / "a")


def test_a_file_that_is_not_there_is_not_found(disk: Disk, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        disk.open(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        disk.unlink(tmp_path / "a")
    with pytest.raises(FileNotFoundError):
        disk.rename(tmp_path / "a", tmp_path / "b")
    assert disk.names(tmp_path / "nowhere") == []


def test_an_open_file_knows_whether_it_still_has_a_name(disk: Disk, tmp_path: Path) -> None:
    handle = disk.create(tmp_path / "a")
    assert disk.linked(handle)

    disk.rename(tmp_path / "a", tmp_path / "b")
    assert disk.names(tmp_path) == ["b"]
    assert disk.linked(handle)

    disk.unlink(tmp_path / "b")
    assert disk.names(tmp_path) == []
    assert not disk.linked(handle)
    disk.close(handle)


def test_a_lock_holds_until_its_file_is_closed(disk: Disk, tmp_path: Path) -> None:
    first = disk.create(tmp_path / "a")
    second = disk.open(tmp_path / "a")

    assert disk.lock(first)
    assert disk.lock(first)
    assert not disk.lock(second)

    disk.close(first)
    assert disk.lock(second)
    disk.close(second)


def test_write_file_replaces_a_file_whole_and_leaves_no_draft(disk: Disk, tmp_path: Path) -> None:
    write_file(disk, tmp_path / "a", b"a long first content")
    write_file(disk, tmp_path / "a", b"short")

    assert read_file(disk, tmp_path / "a") == b"short"
    assert disk.names(tmp_path) == ["a"]


def test_zeros_take_the_place_of_an_allocation_that_the_file_system_refuses(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(handle: int, offset: int, size: int) -> None:
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr("os.posix_fallocate", refuse)
    disk = OsDisk()
    handle = disk.create(tmp_path / "a")

    disk.preallocate(handle, 600_000)

    assert disk.read(handle, 600_001, 0) == bytes(600_000)
    disk.close(handle)


def test_short_writes_and_reads_are_completed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import os

    write, read = os.pwrite, os.pread
    monkeypatch.setattr("os.pwrite", lambda handle, data, at: write(handle, data[:7], at))
    monkeypatch.setattr("os.pread", lambda handle, size, at: read(handle, min(size, 5), at))
    disk = OsDisk()
    handle = disk.create(tmp_path / "a")
    data = bytes(range(100))

    disk.write(handle, data, 11)

    assert disk.read(handle, 100, 11) == data
    assert disk.read(handle, 500, 11) == data
    disk.close(handle)


def crash(seed: int, prepare: Callable[[SimDisk], None]) -> SimDisk:
    disk = SimDisk(Random(seed))
    prepare(disk)
    disk.power_loss()
    return disk


# What the simulated disk may do, so that a test that survives it has shown something.

ROOT = Path("/d")


def content(disk: SimDisk) -> bytes | None:
    return disk.content(ROOT / "a") if ROOT / "a" in disk.paths() else None


def test_what_was_synced_survives_every_power_loss() -> None:
    def prepare(disk: SimDisk) -> None:
        handle = disk.create(ROOT / "a")
        disk.write(handle, b"x" * 2000, 0)
        disk.sync(handle)
        disk.sync_folder(ROOT)

    assert {content(crash(seed, prepare)) for seed in range(50)} == {b"x" * 2000}


def test_unsynced_bytes_are_kept_lost_and_torn() -> None:
    def prepare(disk: SimDisk) -> None:
        handle = disk.create(ROOT / "a")
        disk.preallocate(handle, 3 * SECTOR)
        disk.sync(handle)
        disk.sync_folder(ROOT)
        disk.write(handle, b"y" * 3 * SECTOR, 0)

    found = {content(crash(seed, prepare)) for seed in range(200)}

    assert b"y" * 3 * SECTOR in found
    assert bytes(3 * SECTOR) in found
    assert any(data and data[:SECTOR] == bytes(SECTOR) and any(data) for data in found), "reordered"
    assert any(data and 0 < data[:SECTOR].count(0) < SECTOR for data in found), "torn"


def test_unsynced_names_come_and_go_in_any_order() -> None:
    def prepare(disk: SimDisk) -> None:
        for name in "ab":
            disk.close(disk.create(ROOT / name))

    found = {tuple(path.name for path in crash(seed, prepare).paths()) for seed in range(100)}

    assert found == {(), ("a",), ("b",), ("a", "b")}


def test_a_failed_sync_leaves_clean_bytes_that_a_second_one_does_not_save() -> None:
    def prepare(disk: SimDisk) -> None:
        handle = disk.create(ROOT / "a")
        disk.sync(handle)
        disk.sync_folder(ROOT)
        disk.write(handle, b"lost", 0)
        disk.fail("sync", errno.EIO)
        with pytest.raises(OSError, match="Input/output"):
            disk.sync(handle)
        disk.sync(handle)
        assert disk.read(handle, 4, 0) == b"lost"

    assert {content(crash(seed, prepare)) for seed in range(50)} == {bytes(4)}


def test_a_killed_process_leaves_the_cache_and_drops_locks_and_handles() -> None:
    disk = SimDisk(Random(1))
    handle = disk.create(ROOT / "a")
    disk.write(handle, b"seen", 0)
    assert disk.lock(handle)
    disk.crash_at = ("here", 2)
    disk.step("here")

    with pytest.raises(Crashed):
        disk.step("here")
    with pytest.raises(Crashed):
        disk.names(ROOT)
    disk.kill()

    assert disk.content(ROOT / "a") == b"seen"
    assert disk.lock(disk.open(ROOT / "a"))


def test_a_full_disk_takes_a_part_of_a_write() -> None:
    disk = SimDisk(Random(1), room=10)
    handle = disk.create(ROOT / "a")
    disk.write(handle, b"x" * 8, 0)

    with pytest.raises(OSError, match="no space"):
        disk.write(handle, b"y" * 8, 8)
    disk.write(handle, b"z" * 8, 0)
