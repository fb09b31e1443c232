"""One file and one change of names on the simulated disk: what is cached, and what would be left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR = 512


@dataclass
class DiskFile:
    """A file as processes see it, as the disk holds it, and the sectors that differ."""

    cache: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)

    def put(self, data: bytes, offset: int) -> None:
        end = offset + len(data)
        _resize(self.cache, max(end, len(self.cache)))
        self.cache[offset:end] = data
        self.dirty.update(range(offset // SECTOR, (end + SECTOR - 1) // SECTOR))

    def sync(self) -> None:
        _resize(self.disk, len(self.cache))
        for sector in self.dirty:
            at = slice(sector * SECTOR, (sector + 1) * SECTOR)
            self.disk[at] = self.cache[at]
        self.dirty.clear()

    def lose_power(self, random: Random) -> None:
        """Keep what was synced, and of the rest what chance says."""
        if random.random() < 0.5:
            _resize(self.disk, len(self.cache))
        fate = random.choice(("all", "none", "mixed", "mixed"))
        for sector in sorted(self.dirty):
            start, end = sector * SECTOR, min((sector + 1) * SECTOR, len(self.disk))
            choice = random.choice(("all", "none", "torn")) if fate == "mixed" else fate
            if choice == "torn" and start < end:
                end = random.randrange(start, end)
            if choice != "none" and start < end:
                self.disk[start:end] = self.cache[start:end]
        self.cache[:] = self.disk
        self.dirty.clear()


@dataclass
class Change:
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


def keep_some(changes: Iterable[Change], names: dict[Path, int], random: Random) -> None:
    """Let some of the changes have reached the disk."""
    changes = list(changes)
    in_order = random.random() < 0.5  # a journal keeps a prefix, others what they like
    left = random.randrange(len(changes) + 1)
    for change in changes:
        if in_order and (left := left - 1) < 0:
            break
        if in_order or random.random() < 0.5:
            change.apply(names)


def _resize(data: bytearray, size: int) -> None:
    del data[size:]
    data.extend(bytes(size - len(data)))
