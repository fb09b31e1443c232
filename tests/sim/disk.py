"""A disk in memory that may do all that a real one may do to bytes that were not synced.

It keeps what a process sees (the kernel's cache) apart from what the disk holds. `kill` ends the
process and keeps the cache; `power_loss` keeps the disk, plus whatever part of the rest it likes:
each unsynced sector is lost, kept or torn, each unsynced change of a name undone or not, in any
order. A sync that failed leaves the bytes in the cache, clean, and off the disk. What the disk did
is decided by the seed alone.

A crash comes at a step that the code names (`crash_at`) or at the n-th operation (`crash_after`),
in the middle of it too. From then on every operation raises `Crashed`, until `kill` or
`power_loss` stands for the restart.

Folders are not made here. With a `root`, the names of those below it count as lost in a power cut,
with all that is in them, until their parents were synced.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from sim.disk_file import Change, DiskFile, keep_some


class Crashed(BaseException):
    """The process is gone. No code of ours may catch it."""


class SimDisk:
    def __init__(
        self, random: Random, room: int | None = None, *, root: Path | None = None
    ) -> None:
        self.random = random
        self.root = root
        self.on_crash: Callable[[], None] = lambda: None  # called when the process dies
        self.on_step: Callable[[str], None] = lambda label: None
        self.room = room  # bytes that files may still grow by; None is endless
        self.steps: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()  # at which steps
        self.syncs = 0
        self.crash_at: tuple[str, int] | None = None
        self.crash_after: int | None = None
        self.failures: dict[str, list[int]] = {}  # operation -> errnos that its next calls raise
        self._dead = False
        self._files: dict[int, DiskFile] = {}
        self._now: dict[Path, int] = {}
        self._durable: dict[Path, int] = {}
        self._changes: list[Change] = []
        self.lost: list[Path] = []  # folders that the last power cut took
        self._named: set[Path] = set()  # folders whose own names were synced
        self._handles: dict[int, int] = {}
        self._locks: dict[int, int] = {}
        self._next = 100

    # What the code under test calls

    def step(self, label: str) -> None:
        self._alive()
        self.steps[label] += 1
        if self.crash_at is not None and self.crash_at[0] == label:
            self.crash_at = (label, self.crash_at[1] - 1)
            if self.crash_at[1] <= 0:
                self.crashes[label] += 1
                self._die()
        self.on_step(label)

    def names(self, folder: Path) -> list[str]:
        self._enter("names")
        names = [path.name for path in self._now if path.parent == folder]
        self.random.shuffle(names)
        return names

    def create(self, path: Path) -> int:
        self._enter("create")
        if path in self._now:
            raise FileExistsError(errno.EEXIST, "exists", str(path))
        inode = self._number()
        self._files[inode] = DiskFile()
        self._change(path.parent, None, path, inode)
        return self._open(inode)

    def open(self, path: Path) -> int:
        self._enter("open")
        if path not in self._now:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        return self._open(self._now[path])

    def size(self, handle: int) -> int:
        self._enter("size")
        return len(self._file(handle).cache)

    def linked(self, handle: int) -> bool:
        self._enter("linked")
        return self._handles[handle] in self._now.values()

    def read(self, handle: int, size: int, offset: int) -> bytes:
        self._enter("read")
        return bytes(self._file(handle).cache[offset : offset + size])

    def map(self, handle: int) -> memoryview:
        self._enter("map")
        return memoryview(bytes(self._file(handle).cache))

    def write(self, handle: int, data: bytes, offset: int) -> None:
        file = self._file(handle)
        part = data[: self.random.randrange(len(data) + 1)] if data else b""
        try:
            self._enter("write")
        except BaseException:
            file.put(part, offset)  # what an interrupted write had done by then
            raise
        growth = max(0, offset + len(data) - len(file.cache))
        if self.room is not None and growth > self.room:
            file.put(part, offset)
            raise OSError(errno.ENOSPC, "no space")
        self._take_room(growth)
        file.put(data, offset)

    def preallocate(self, handle: int, size: int) -> None:
        self._enter("preallocate")
        file = self._file(handle)
        self._take_room(max(0, size - len(file.cache)))
        file.put(bytes(max(0, size - len(file.cache))), len(file.cache))

    def sync(self, handle: int) -> None:
        file = self._file(handle)
        self.syncs += 1
        try:
            self._enter("sync")
        except OSError:
            file.dirty.clear()  # the kernel gave up on these bytes and calls them clean
            raise
        file.sync()

    def lock(self, handle: int) -> bool:
        self._enter("lock")
        return self._locks.setdefault(self._handles[handle], handle) == handle

    def close(self, handle: int) -> None:
        self._enter("close")
        inode = self._handles.pop(handle)
        if self._locks.get(inode) == handle:
            del self._locks[inode]

    def rename(self, old: Path, new: Path) -> None:
        self._enter("rename")
        if old not in self._now:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(old))
        self._change(old.parent, old, new, self._now[old])

    def unlink(self, path: Path) -> None:
        self._enter("unlink")
        if path not in self._now:
            raise FileNotFoundError(errno.ENOENT, "no such file", str(path))
        self._change(path.parent, path, None, self._now[path])

    def sync_folder(self, folder: Path) -> None:
        self.syncs += 1
        self._enter("sync_folder")
        if self.root is not None:
            with os.scandir(folder) as entries:
                self._named.update(Path(each.path) for each in entries if each.is_dir())
        for change in self._changes:
            if change.folder == folder:
                change.apply(self._durable)
        self._changes = [change for change in self._changes if change.folder != folder]

    # What a test calls

    def kill(self) -> None:
        """End the process and start anew: handles and locks are gone, the kernel's cache isn't."""
        self._handles.clear()
        self._locks.clear()
        self._dead = False
        self.crash_at = self.crash_after = None

    def power_loss(self) -> None:
        """Lose the cache; of what wasn't synced, keep what the seed says."""
        keep_some(self._changes, self._durable, self.random)
        self._changes.clear()
        self._lose_folders()
        self._now = dict(self._durable)
        for inode in self._files.keys() - self._now.values():
            del self._files[inode]
        for file in self._files.values():
            file.lose_power(self.random)
        self.kill()

    def crash(self) -> None:
        """End the process between two operations.

        Raises:
            Crashed: always, as any other crash does.
        """
        self._die()

    def fail(self, operation: str, *errnos: int) -> None:
        """Let the next calls of an operation raise these; 0 lets one through."""
        self.failures.setdefault(operation, []).extend(errnos)

    def content(self, path: Path) -> bytes:
        return bytes(self._files[self._now[path]].cache)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Make or change a file behind everybody's back, cache and disk alike."""
        if path not in self._now:
            self._now[path] = self._durable[path] = self._number()
            self._files[self._now[path]] = DiskFile()
        file = self._files[self._now[path]]
        file.cache[:] = file.disk[:] = data
        file.dirty.clear()

    def unlock(self) -> None:
        """Forget all locks, as a file system does that only pretends to have them."""
        self._locks.clear()

    def paths(self) -> list[Path]:
        return sorted(self._now)

    def open_handles(self) -> int:
        return len(self._handles)

    # How it works

    def _alive(self) -> None:
        if self._dead:
            raise Crashed

    def _die(self) -> None:
        if not self._dead:
            self._dead = True
            self.on_crash()
        raise Crashed

    def _enter(self, operation: str) -> None:
        self._alive()
        if self.crash_after is not None:
            self.crash_after -= 1
            if self.crash_after <= 0:
                self._die()
        if (waiting := self.failures.get(operation)) and (code := waiting.pop(0)):
            raise OSError(code, os.strerror(code))

    def _number(self) -> int:
        self._next += 1
        return self._next

    def _open(self, inode: int) -> int:
        handle = self._number()
        self._handles[handle] = inode
        return handle

    def _file(self, handle: int) -> DiskFile:
        self._alive()
        if handle not in self._handles:
            raise OSError(errno.EBADF, "bad handle")
        return self._files[self._handles[handle]]

    def _change(self, folder: Path, remove: Path | None, add: Path | None, inode: int) -> None:
        change = Change(folder, remove, add, inode)
        change.apply(self._now)
        self._changes.append(change)

    def _take_room(self, size: int) -> None:
        if self.room is not None:
            if size > self.room:
                raise OSError(errno.ENOSPC, "no space")
            self.room -= size

    def _lose_folders(self) -> None:
        folders = sorted(self.root.rglob("*/")) if self.root is not None else []
        unnamed = [folder for folder in folders if folder not in self._named]
        self.lost = [folder for folder in unnamed if self.random.random() < 0.5]
        if self.lost:
            lost = set(self.lost)
            kept = {path: n for path, n in self._durable.items() if lost.isdisjoint(path.parents)}
            self._durable = kept
            self._named = {each for each in self._named if lost.isdisjoint((each, *each.parents))}


if TYPE_CHECKING:
    from raydo.actors.disk import Disk

    _conforms: Disk = SimDisk(Random(0))
