"""One sorted file of message-id hashes: written once, then only read.

    keys | filter | index | block checksums | footer

The keys are 16 bytes each, in order. The filter is a Bloom filter of two probes and 8 to 16 bits a
key; fewer than one key in 20 that is not in the file passes it. The index holds the first 8 bytes
of every block of 64 keys, so that a key which passes costs a bisection and one block. All of it is
mapped, not read: the machine's page cache decides what stays in memory, and a tenant that sleeps
holds nothing.

A file gets its name after its bytes are on disk, so a name stands for a whole file. What was
damaged later is found before it can answer: filter and index by a checksum at opening, keys by
their block's at each look.
"""

from __future__ import annotations

import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from struct import Struct
from typing import Final
from zlib import crc32

from raydo.actors.disk import DRAFT_SUFFIX, Disk
from raydo.pipelining.errors import DataUnreadable

KEY_BYTES: Final = 16
BLOCK_KEYS: Final = 64
BLOCK_BYTES: Final = BLOCK_KEYS * KEY_BYTES

_FILTER_BITS_A_KEY: Final = 8  # at least; the size is the next power of two
_WORD_BITS: Final = 32
_CHUNK_KEYS: Final = 4_096  # keys that a merge sorts at once: a millisecond, then others may run
_KEY: Final = Struct("16s")
_MAGIC: Final = b"raydoid1"
_FOOTER: Final = Struct("<8sqqIII")  # magic, day, keys, filter's bits, its and index's crc, own crc

# Index and filter are used as they lie in the file, and files move between machines.
assert sys.byteorder == "little", "raydo's files are little-endian"


Probe = tuple[bytes, int, int, int]  # a key, its first word, the bit to look at for it, its second


def probes(keys: Sequence[bytes]) -> list[Probe]:
    """Prepare a batch of keys to be asked of any number of files."""
    first, second = _words(b"".join(keys))
    return [
        (key, one, 1 << (one & 7), two) for key, one, two in zip(keys, first, second, strict=True)
    ]


class Run:
    """One file of keys, open for reading."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self.path = path
        handle = disk.open(path)
        try:
            if disk.size(handle) < _FOOTER.size:
                raise self._damaged()
            self._view = disk.map(handle)
        finally:
            disk.close(handle)
        self.day, self.count, bits, tables_crc = self._footer()
        self._shift = _shift(bits)
        tables = self._view[self.count * KEY_BYTES : -_FOOTER.size]
        blocks = -(-self.count // BLOCK_KEYS)
        if len(tables) != (1 << bits) // 8 + blocks * 12 or crc32(tables) != tables_crc:
            raise self._damaged()
        self._filter = tables[: (1 << bits) // 8]
        self._index = tables[(1 << bits) // 8 : len(tables) - blocks * 4].cast("Q")
        self._crcs = tables[len(tables) - blocks * 4 :].cast("I")

    @property
    def size_bytes(self) -> int:
        return len(self._view)

    def known(self, batch: Iterable[Probe]) -> set[bytes]:
        """Return those keys of a batch that stand in this file.

        Raises:
            DataUnreadable: the file is damaged where the answer lies.
        """
        bits, shift = self._filter, self._shift
        return {
            key
            for key, first, bit, second in batch
            if bits[first >> shift] & bit
            and bits[second >> shift] >> (second & 7) & 1
            and self._has(key)
        }

    def keys(self, start: int, stop: int) -> list[bytes]:
        """Return the keys from one position to another."""
        raw = self._view[start * KEY_BYTES : stop * KEY_BYTES]
        return [key for (key,) in _KEY.iter_unpack(raw)]

    def position(self, prefix: int) -> int:
        """Return how many keys are smaller than 8 bytes of `prefix`, which zeros follow."""
        start = max(0, bisect_left(self._index, prefix) - 1) * BLOCK_KEYS
        block = self.keys(start, min(start + BLOCK_KEYS, self.count))
        return start + bisect_left(block, prefix.to_bytes(8, "big"))

    def verify(self) -> None:
        """Check every block.

        Raises:
            DataUnreadable: one does not hold what was written.
        """
        for block in range(len(self._crcs)):
            self._block(block)

    def _has(self, key: bytes) -> bool:
        prefix = int.from_bytes(key[:8], "big")
        block = bisect_right(self._index, prefix) - 1
        while block >= 0:
            if _holds(self._block(block), key):
                return True
            if self._index[block] < prefix:
                return False
            block -= 1  # this block begins with the very prefix, so the one before may end with it
        return False

    def _block(self, block: int) -> bytes:
        end = min((block + 1) * BLOCK_BYTES, self.count * KEY_BYTES)
        raw = bytes(self._view[block * BLOCK_BYTES : end])
        if crc32(raw) != self._crcs[block]:
            raise self._damaged()
        return raw

    def _footer(self) -> tuple[int, int, int, int]:
        raw = self._view[-_FOOTER.size :]
        magic, day, count, bits, tables_crc, own_crc = _FOOTER.unpack(raw)
        if magic != _MAGIC or own_crc != crc32(raw[:-4]):
            raise self._damaged()
        return day, count, bits, tables_crc

    def _damaged(self) -> DataUnreadable:
        return DataUnreadable(f"{self.path} is damaged: it no longer holds the ids written to it.")


def write_run(disk: Disk, path: Path, day: int, count: int, chunks: Iterable[bytes]) -> Run:
    """Write `count` keys that come sorted, in chunks, and open the file they are in."""
    draft = path.with_name(path.name + DRAFT_SUFFIX)
    with suppress(FileNotFoundError):
        disk.unlink(draft)
    handle = disk.create(draft)
    try:
        _Writer(disk, handle, day, count).write(chunks)
        disk.step("idrun.before_sync")
        disk.sync(handle)
    except OSError:
        with suppress(OSError):
            disk.unlink(draft)  # a full disk needs the room, and the next attempt starts anew
        raise
    finally:
        disk.close(handle)
    disk.step("idrun.before_rename")
    disk.rename(draft, path)
    disk.step("idrun.before_sync_folder")
    disk.sync_folder(path.parent)
    disk.step("idrun.written")
    return Run(disk, path)


def merged(runs: Sequence[Run]) -> Iterator[bytes]:
    """Give the keys of several files in order, in chunks."""
    cuts = sum(run.count for run in runs) // _CHUNK_KEYS + 1
    starts = [0] * len(runs)
    for cut in range(1, cuts + 1):
        stops = [run.position((cut << 64) // cuts) for run in runs if cut < cuts]
        stops = stops or [run.count for run in runs]
        chunk = [
            key
            for run, start, stop in zip(runs, starts, stops, strict=True)
            for key in run.keys(start, stop)
        ]
        chunk.sort()
        starts = stops
        yield b"".join(chunk)


@dataclass(slots=True)
class Merge:
    """Files to be made into one. `run` may take seconds, and works on any thread."""

    disk: Disk
    path: Path
    inputs: tuple[Run, ...]
    output: Run | None = None

    def run(self) -> None:
        """Write the one file.

        Raises:
            DataUnreadable: one of the inputs is damaged.
        """
        for run in self.inputs:
            run.verify()
        count = sum(run.count for run in self.inputs)
        day = self.inputs[0].day
        self.output = write_run(self.disk, self.path, day, count, merged(self.inputs))


class _Writer:
    """Lay out one file while its keys pass by."""

    def __init__(self, disk: Disk, handle: int, day: int, count: int) -> None:
        self._disk = disk
        self._handle = handle
        self._day = day
        self._count = count
        self._bits = min(_WORD_BITS, max(3, (count * _FILTER_BITS_A_KEY - 1).bit_length()))
        self._filter = bytearray((1 << self._bits) // 8)
        self._index = array("Q")
        self._crcs = array("I")
        self._offset = 0

    def write(self, chunks: Iterable[bytes]) -> None:
        rest = b""
        for chunk in chunks:
            self._mark(chunk)
            rest += chunk
            whole = len(rest) - len(rest) % BLOCK_BYTES
            self._put_blocks(rest[:whole])
            rest = rest[whole:]
        self._put_blocks(rest)
        assert self._offset == self._count * KEY_BYTES
        tables = b"".join((self._filter, self._index.tobytes(), self._crcs.tobytes()))
        self._put(tables)
        footer = (_MAGIC, self._day, self._count, self._bits, crc32(tables))
        self._put(_FOOTER.pack(*footer, crc32(_FOOTER.pack(*footer, 0)[:-4])))

    def _mark(self, keys: bytes) -> None:
        bits, shift = self._filter, _shift(self._bits)
        for words in _words(keys):
            for word in words:
                bits[word >> shift] |= 1 << (word & 7)

    def _put_blocks(self, keys: bytes) -> None:
        prefixes = array("Q", keys)[:: BLOCK_BYTES // 8]
        prefixes.byteswap()
        self._index += prefixes
        starts = range(0, len(keys), BLOCK_BYTES)
        self._crcs.extend(crc32(keys[start : start + BLOCK_BYTES]) for start in starts)
        self._put(keys)

    def _put(self, data: bytes) -> None:
        self._disk.write(self._handle, data, self._offset)
        self._offset += len(data)


def _words(keys: bytes) -> tuple[array[int], array[int]]:
    """Return the first and the second 4 bytes of each key, as numbers."""
    words = array("I", keys)
    words.byteswap()  # big-endian, so that sorted keys walk the filter in order
    return words[::4], words[1::4]


def _shift(filter_bits: int) -> int:
    """Return what leaves of a word the number of its byte in a filter; its last 3 bits say which bit."""
    return _WORD_BITS - (filter_bits - 3)


def _holds(block: bytes, key: bytes) -> bool:
    at = block.find(key)
    while at >= 0 and at % KEY_BYTES:  # the same bytes across two other keys
        at = block.find(key, at + 1)
    return at >= 0
