"""A disk in memory that may do all that a real one may do to bytes that were not synced.

It keeps what a process sees (the kernel's cache) apart from what the disk holds. `kill` ends the
process and keeps the cache; `power_loss` keeps the disk, plus whatever part of the rest it likes:
each unsynced sector is lost, kept or torn, each unsynced change of a name undone or not, in any
order. A sync that failed leaves the bytes in the cache, clean, and off the disk. What the disk did
is decided by the seed alone.

A crash comes at a step that the code names (`crash_at`) or at the n-th operation (`crash_after`),
in the middle of it too. From then on every operation raises `Crashed`, until `kill` or
`power_loss` stands for the restart.
"""

from __future__ import annotations

import errno
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

SECTOR = 512


class Crashed(BaseException):
    """The process is gone. No code of ours may catch it."""


@dataclass
class _File:
    cache: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)


@dataclass
class _Change:
    """One change of names that its folder hasn't been synced for."""

    folder: Path
    remove: Path | None
    add: Path | None
    inode: int

    def apply(self, names: dict[Path, int]) -> None:
        if self.remove is not None and names.get(self.remove) == self.inode:
            del names[self.remove]
        if self.add is not None:
            names[self.add] = self.inode


class SimDisk:
    def __init__(self, random: Random, room: int | None = None) -> None:
        self.random = random
        self.room = room  # bytes that files may still grow by; None is endless
        self.steps: Counter[str] = Counter()
        self.crashes: Counter[str] = Counter()  # at which steps
        self.syncs = 0
        self.crash_at: tuple[str, int] | None = None
        self.crash_after: int | None = None
        self.failures: dict[str, list[int]] = {}  # operation -> errnos that its next calls raise
        self._dead = False
        self._files: dict[int, _File] = {}
        self._now: dict[Path, int] = {}
        self._durable: dict[Path, int] = {}
        self._changes: list[_Change] = []
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
        self._files[inode] = _File()
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

    def write(self, handle: int, data: bytes, offset: int) -> None:
        file = self._file(handle)
        part = data[: self.random.randrange(len(data) + 1)] if data else b""
        try:
            self._enter("write")
        except BaseException:
            self._put(file, part, offset)  # what an interrupted write had done by then
            raise
        growth = max(0, offset + len(data) - len(file.cache))
        if self.room is not None and growth > self.room:
            self._put(file, part, offset)
            raise OSError(errno.ENOSPC, "no space")
        self._take_room(growth)
        self._put(file, data, offset)

    def preallocate(self, handle: int, size: int) -> None:
        self._enter("preallocate")
        file = self._file(handle)
        self._take_room(max(0, size - len(file.cache)))
        self._put(file, bytes(max(0, size - len(file.cache))), len(file.cache))

    def sync(self, handle: int) -> None:
        file = self._file(handle)
        self.syncs += 1
        try:
            self._enter("sync")
        except OSError:
            file.dirty.clear()  # the kernel gave up on these bytes and calls them clean
            raise
        _resize(file.disk, len(file.cache))
        for sector in file.dirty:
            at = slice(sector * SECTOR, (sector + 1) * SECTOR)
            file.disk[at] = file.cache[at]
        file.dirty.clear()

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
        self._keep_some_changes()
        self._now = dict(self._durable)
        for inode in self._files.keys() - self._now.values():
            del self._files[inode]
        for file in self._files.values():
            self._keep_some_sectors(file)
        self.kill()

    def fail(self, operation: str, *errnos: int) -> None:
        """Let the next calls of an operation raise these; 0 lets one through."""
        self.failures.setdefault(operation, []).extend(errnos)

    def content(self, path: Path) -> bytes:
        return bytes(self._files[self._now[path]].cache)

    def overwrite(self, path: Path, data: bytes) -> None:
        """Make or change a file behind everybody's back, cache and disk alike."""
        if path not in self._now:
            self._now[path] = self._durable[path] = self._number()
            self._files[self._now[path]] = _File()
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
        self._dead = True
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

    def _file(self, handle: int) -> _File:
        self._alive()
        if handle not in self._handles:
            raise OSError(errno.EBADF, "bad handle")
        return self._files[self._handles[handle]]

    def _change(self, folder: Path, remove: Path | None, add: Path | None, inode: int) -> None:
        change = _Change(folder, remove, add, inode)
        change.apply(self._now)
        self._changes.append(change)

    def _take_room(self, size: int) -> None:
        if self.room is not None:
            if size > self.room:
                raise OSError(errno.ENOSPC, "no space")
            self.room -= size

    def _put(self, file: _File, data: bytes, offset: int) -> None:
        end = offset + len(data)
        _resize(file.cache, max(end, len(file.cache)))
        file.cache[offset:end] = data
        file.dirty.update(range(offset // SECTOR, (end + SECTOR - 1) // SECTOR))

    def _keep_some_changes(self) -> None:
        in_order = self.random.random() < 0.5  # a journal keeps a prefix, others what they like
        left = self.random.randrange(len(self._changes) + 1)
        for change in self._changes:
            if in_order and (left := left - 1) < 0:
                break
            if in_order or self.random.random() < 0.5:
                change.apply(self._durable)
        self._changes.clear()

    def _keep_some_sectors(self, file: _File) -> None:
        if self.random.random() < 0.5:
            _resize(file.disk, len(file.cache))
        fate = self.random.choice(("all", "none", "mixed", "mixed"))
        for sector in sorted(file.dirty):
            start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(file.disk))
            choice = self.random.choice(("all", "none", "torn")) if fate == "mixed" else fate
            if choice == "torn" and start < end:
                end = self.random.randrange(start, end)
            if choice != "none" and start < end:
                file.disk[start:end] = file.cache[start:end]
        file.cache[:] = file.disk
        file.dirty.clear()


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))


if TYPE_CHECKING:
    from raydo.actors.disk import Disk

    _conforms: Disk = SimDisk(Random(0))
