"""The one module that syncs files, as a seam that the simulation replaces.

`Disk` holds the few operations that the log and the epoch file are made of. `OsDisk` is the
machine's; the simulated one loses, tears and reorders whatever was not synced. What a caller may
rely on, and nothing more:

* after `sync(handle)` the file's bytes and its size survive a power cut;
* after `sync_folder(folder)` the names in it do; before that, each creation, renaming or removal
  may be undone on its own, in any order;
* an overwritten sector holds the old bytes, the new ones, or a prefix of the new: bytes that an
  interrupted write leaves as they were are not harmed;
* a `sync` that failed is never to be tried again on the same bytes: the kernel may have thrown
  them away and call them clean. Only writing them anew helps.

The code names its moments by `step(label)`: there the simulation ends the process. `OsDisk`
ignores them.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
import os
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Protocol

from raydo.actors.histogram import Histogram

if TYPE_CHECKING:
    from pathlib import Path

DRAFT_SUFFIX: Final = ".new"  # a file that is still being made; after a crash it is litter
ZEROS_BYTES: Final = 256 * 1024


class Disk(Protocol):
    """Do the file operations of the log; every one may raise OSError."""

    def step(self, label: str) -> None:
        """Name the moment that the caller has come to."""

    def names(self, folder: Path) -> list[str]:
        """List a folder, in no order; a folder that isn't there has no names."""
        ...

    def create(self, path: Path) -> int:
        """Make an empty file and open it; FileExistsError when there is one."""
        ...

    def open(self, path: Path) -> int:
        """Open a file for reading and writing."""
        ...

    def size(self, handle: int) -> int: ...

    def linked(self, handle: int) -> bool:
        """Tell whether the open file still has a name."""
        ...

    def read(self, handle: int, size: int, offset: int) -> bytes:
        """Read `size` bytes, fewer only at the file's end."""
        ...

    def map(self, handle: int) -> memoryview:
        """Return a file that is not empty, to read from without reading it; outlives the handle."""
        ...

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of `data`; on an error a part of it may stand."""

    def preallocate(self, handle: int, size: int) -> None:
        """Make the file `size` bytes of zeros that later writes need no further room for."""

    def sync(self, handle: int) -> None: ...

    def lock(self, handle: int) -> bool:
        """Take the file's exclusive lock without waiting; tell whether it worked."""
        ...

    def close(self, handle: int) -> None: ...

    def rename(self, old: Path, new: Path) -> None: ...

    def unlink(self, path: Path) -> None: ...

    def sync_folder(self, folder: Path) -> None: ...


class OsDisk:
    """The operating system's files; counts its syncs, and how long those of files take."""

    def __init__(self) -> None:
        self.syncs = 0
        self.sync_s = Histogram()

    def step(self, label: str) -> None:
        """Do nothing: only the simulation stops here."""

    def names(self, folder: Path) -> list[str]:
        try:
            return [entry.name for entry in folder.iterdir()]
        except FileNotFoundError:
            return []

    def create(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)

    def open(self, path: Path) -> int:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)

    def size(self, handle: int) -> int:
        return os.fstat(handle).st_size

    def linked(self, handle: int) -> bool:
        return os.fstat(handle).st_nlink > 0

    def read(self, handle: int, size: int, offset: int) -> bytes:
        data = os.pread(handle, size, offset)
        if len(data) == size:
            return data
        parts = [data]
        while data and (missing := size - sum(map(len, parts))):
            data = os.pread(handle, missing, offset + size - missing)
            parts.append(data)
        return b"".join(parts)

    def map(self, handle: int) -> memoryview:
        return memoryview(mmap.mmap(handle, 0, access=mmap.ACCESS_READ))

    def write(self, handle: int, data: bytes, offset: int) -> None:
        done = os.pwrite(handle, data, offset)
        while done < len(data):  # a signal or a nearly full disk cuts a write short
            done += os.pwrite(handle, memoryview(data)[done:], offset + done)

    def preallocate(self, handle: int, size: int) -> None:
        if sys.platform == "darwin" or not _allocate(handle, size):
            for offset in range(0, size, ZEROS_BYTES):
                self.write(handle, bytes(min(ZEROS_BYTES, size - offset)), offset)

    def sync(self, handle: int) -> None:
        self.syncs += 1
        began_s = time.perf_counter()
        if sys.platform == "darwin":  # fsync there leaves the bytes in the drive's cache
            _full_sync(handle)
        else:
            os.fdatasync(handle)
        self.sync_s.observe(time.perf_counter() - began_s)

    def lock(self, handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def close(self, handle: int) -> None:
        os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def sync_folder(self, folder: Path) -> None:
        self.syncs += 1
        handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def read_file(disk: Disk, path: Path) -> bytes:
    """Read a file whole."""
    handle = disk.open(path)
    try:
        return disk.read(handle, disk.size(handle), 0)
    finally:
        disk.close(handle)


def write_file(disk: Disk, path: Path, data: bytes) -> None:
    """Put `data` at `path`, on disk at return; after a crash the file is the old or the new one."""
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    with suppress(FileNotFoundError):
        disk.unlink(draft)
    handle = disk.create(draft)
    try:
        disk.write(handle, data, 0)
        disk.sync(handle)
    finally:
        disk.close(handle)
    disk.step("disk.write_file.before_rename")
    disk.rename(draft, path)
    disk.step("disk.write_file.before_sync_folder")
    disk.sync_folder(path.parent)


def _allocate(handle: int, size: int) -> bool:
    try:
        os.posix_fallocate(handle, 0, size)
    except OSError as error:
        if error.errno not in {errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS}:
            raise
        return False  # not on this file system; zeros do as well
    return True


def _full_sync(handle: int) -> None:
    full_sync: int = fcntl.F_FULLFSYNC  # type: ignore[attr-defined,unused-ignore]
    try:
        fcntl.fcntl(handle, full_sync)
    except OSError as error:
        if error.errno not in {errno.ENOTSUP, errno.EINVAL, errno.ENOTTY}:
            raise
        os.fsync(handle)  # a network file system knows no more than this


if TYPE_CHECKING:
    _conforms: Disk = OsDisk()
