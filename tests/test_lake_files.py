"""What a commit refers to is on disk before it is referred to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from raydo.actors import lake_files
from raydo.actors.lake_files import SyncedFileIO, make_folder, stored


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note what is synced, in order, by name."""
    names: list[str] = []
    sync, sync_folder = os.fdatasync, os.fsync

    def name(handle: int) -> str:
        return Path(f"/proc/self/fd/{handle}").readlink().name

    monkeypatch.setattr(os, "fdatasync", lambda fd: (names.append(name(fd)), sync(fd))[1])
    monkeypatch.setattr(os, "fsync", lambda fd: (names.append(name(fd)), sync_folder(fd))[1])
    return names


def test_a_file_is_synced_before_its_folder_when_it_is_closed(
    tmp_path: Path, synced: list[str]
) -> None:
    with SyncedFileIO().new_output(str(tmp_path / "file")).create() as stream:
        stream.write(b"bytes")
        assert synced == []

    assert synced == ["file", tmp_path.name]
    assert (tmp_path / "file").read_bytes() == b"bytes"


def test_each_new_folder_is_synced_into_the_one_above(tmp_path: Path, synced: list[str]) -> None:
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")

    assert synced == [tmp_path.name, "a"]


def test_a_file_that_is_there_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    output = SyncedFileIO().new_output(str(tmp_path / "file"))
    with output.create() as stream:
        stream.write(b"old and long")

    with pytest.raises(FileExistsError):
        output.create()
    with output.create(overwrite=True) as stream:
        stream.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"new"


def test_a_failed_sync_fails_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = SyncedFileIO().new_output(str(tmp_path / "file")).create()
    stream.write(b"bytes")

    def broken(_handle: int) -> None:
        raise OSError(5, "the disk is gone")

    monkeypatch.setattr(os, "fdatasync", broken)

    with pytest.raises(OSError, match="the disk is gone"):
        stream.close()


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_files_are_listed_by_the_location_that_names_them(tmp_path: Path, scheme: str) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "file").write_bytes(b"four")

    [found] = stored(SyncedFileIO(), f"{scheme}{tmp_path}/a")

    assert found.location == f"{scheme}{tmp_path}/a/b/file"
    assert found.size == 4
    assert abs(found.modified_ms - (tmp_path / "a" / "b" / "file").stat().st_mtime * 1000) < 2


def test_a_folder_that_is_not_there_has_no_files(tmp_path: Path) -> None:
    assert list(stored(SyncedFileIO(), str(tmp_path / "none"))) == []


def test_deleting_what_is_gone_is_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert lake_files.delete(SyncedFileIO(), [str(tmp_path / "file"), str(tmp_path / "no")]) == 1
    assert not (tmp_path / "file").exists()
