"""The archive's files: each synced when it is closed, and listed or deleted by the table's own IO.

pyiceberg leaves local files to the kernel. But rows leave SQLite, durably, once the archive has
them; so whatever a commit refers to must be on disk before the catalog says so. Object stores keep
what they acknowledge.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from pyarrow.fs import FileSelector, FileType
from pyiceberg.io.pyarrow import PyArrowFile, PyArrowFileIO

from raydo.actors.disk import OsDisk

if TYPE_CHECKING:
    from pyiceberg.io import FileIO, OutputStream

_DISK: Final = OsDisk()


class SyncedFileIO(PyArrowFileIO):
    """pyiceberg's IO over Arrow's file systems, with synced local files."""

    def new_output(self, location: str) -> PyArrowFile:
        scheme, netloc, path = self.parse_location(location, self.properties)
        if scheme != "file":
            return super().new_output(location)
        return SyncedFile(location=location, path=path, fs=self.fs_by_scheme(scheme, netloc))


class SyncedFile(PyArrowFile):
    """A local file that is on disk, with its name, when the stream that made it is closed."""

    def create(self, overwrite: bool = False) -> OutputStream:
        path = Path(self._path)
        make_folder(path.parent)
        return SyncedStream(path, overwrite=overwrite)


class SyncedStream(io.BufferedWriter):
    """A buffered stream whose `close` syncs the bytes and then the name."""

    def __init__(self, path: Path, *, overwrite: bool) -> None:
        super().__init__(io.FileIO(path, "w" if overwrite else "x"))
        self._folder = path.parent

    def close(self) -> None:
        if self.closed:
            return
        try:
            self.flush()
            _DISK.sync(self.fileno())
        finally:
            super().close()
        _DISK.sync_folder(self._folder)


class Stored(NamedTuple):
    """A file as the file system lists it."""

    location: str
    size: int
    modified_ms: int


def make_folder(path: Path) -> None:
    """Make a folder and what lies above it, each name on disk at return."""
    missing = [each for each in (path, *path.parents) if not each.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for made in reversed(missing):
        _DISK.sync_folder(made.parent)


def stored(files: FileIO, location: str) -> Iterator[Stored]:
    """List every file below `location`."""
    assert isinstance(files, PyArrowFileIO), "the archive needs pyiceberg's Arrow IO"
    scheme, netloc, path = files.parse_location(location, files.properties)
    prefix = location.removesuffix(path)
    selector = FileSelector(path, allow_not_found=True, recursive=True)
    for info in files.fs_by_scheme(scheme, netloc).get_file_info(selector):
        if info.type == FileType.File:
            yield Stored(prefix + info.path, info.size, (info.mtime_ns or 0) // 1_000_000)


def delete(files: FileIO, locations: Iterable[str]) -> int:
    """Delete files, whether they are there or not; return how many were."""
    deleted = 0
    for location in locations:
        with suppress(FileNotFoundError):
            files.delete(location)
            deleted += 1
    return deleted
