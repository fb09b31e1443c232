"""The one segment that is being written: made whole or not at all, then filled write by write.

A segment is made with its first records inside: draft, fill, sync, rename, sync the folder. So
whoever finds a segment under its own name knows that this much of it was synced.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Self

from raydo.actors.disk import DRAFT_SUFFIX, Disk
from raydo.actors.recovery import Recovered, Segment
from raydo.actors.segment import (
    HEADER_BYTES,
    TAIL_BYTES,
    Cut,
    Entry,
    Header,
    SegmentId,
    decode_header,
    draw_word,
    encode,
    encode_header,
    encode_mark,
    encoded_bytes,
    file_name,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class SegmentMaker:
    """Make the segments of one epoch, each twice the size of the one before up to a bound."""

    disk: Disk
    folder: Path
    tenant: bytes
    epoch: int
    random: Callable[[int], bytes]
    segment_bytes: tuple[int, int]  # the first and the largest; a larger batch gets what it needs
    tried: int = 0
    made: int = 0

    def make(self, batch: Sequence[Entry], *, base_seq: int, after: Cut | None) -> SegmentWriter:
        """Make the next segment, with `batch` in it, behind the cut `after`."""
        filled = HEADER_BYTES + encoded_bytes(batch)
        first, largest = self.segment_bytes
        self.tried += 1  # the number of a segment that could not be finished is not used again
        plan = Header(
            tenant=self.tenant,
            id=SegmentId(self.epoch, self.tried),
            size=max(min(first << min(self.made, 32), largest), filled + TAIL_BYTES),
            filled=filled,
            base_seq=base_seq,
            after=after,
            word=draw_word(self.random(4)),
        )
        writer = SegmentWriter.create(self.disk, self.folder, plan, batch)
        self.made += 1
        return writer


class _End(NamedTuple):
    offset: int
    crc: int
    seq: int


class SegmentWriter:
    """Write one segment; `write` and `create` return when the records are on disk.

    A write that raised may be tried again with the same records first: all its bytes, and no
    others, are then written anew where they were.
    """

    def __init__(self, disk: Disk, path: Path, handle: int, header: Header, end: _End) -> None:
        self.disk = disk
        self.path = path
        self.header = header
        self._handle = handle
        self._end = end  # replaced as one, so that a reader on another thread sees a whole one

    @classmethod
    def create(cls, disk: Disk, folder: Path, plan: Header, batch: Sequence[Entry]) -> Self:
        """Make a segment that holds `batch`; `plan` is its header."""
        path = folder / file_name(plan.id)
        draft = folder / file_name(plan.id, DRAFT_SUFFIX)
        disk.step("writer.create.before_draft")
        handle = disk.create(draft)
        try:
            header, end = _fill(disk, handle, plan, batch)
            disk.step("writer.create.before_sync")
            disk.sync(handle)
            disk.step("writer.create.before_rename")
            disk.rename(draft, path)
            disk.step("writer.create.before_sync_folder")
            disk.sync_folder(folder)
        except OSError:
            with suppress(OSError):
                disk.close(handle)
            with suppress(OSError):  # if it stays, it is litter
                disk.unlink(draft)
            raise
        disk.step("writer.create.after_sync_folder")
        return cls(disk, path, handle, header, end)

    @property
    def cut(self) -> Cut:
        return Cut(self.header.id, self._end.offset, self._end.crc)

    @property
    def last_seq(self) -> int:
        return self._end.seq

    def fits(self, batch: Sequence[Entry]) -> bool:
        return encoded_bytes(batch) <= self.header.size - TAIL_BYTES - self._end.offset

    def write(self, batch: Sequence[Entry]) -> None:
        offset, crc, _ = self._end
        data, crc = encode(batch, self.header, crc)
        end = _End(offset + len(data), crc, batch[-1].seq)
        self.disk.step("writer.write.before_write")
        self.disk.write(self._handle, data, offset)
        self.disk.step("writer.write.before_sync")
        self.disk.sync(self._handle)
        self.disk.step("writer.write.before_mark")
        self.disk.write(self._handle, encode_mark(self.header, crc, end.seq), end.offset)
        self.disk.step("writer.write.after_mark")
        self._end = end

    def sealed(self) -> Segment:
        """Describe what is written so far, for a reader."""
        end = self._end
        spans = ((HEADER_BYTES, end.offset),) if end.offset > HEADER_BYTES else ()
        return Segment(self.header.id, self.path, self.header, spans, end.seq)

    def close(self) -> None:
        self.disk.close(self._handle)


def settle(disk: Disk, folder: Path, found: Recovered) -> None:
    """Put on disk what a killed process may have left unsynced, before anybody sees it.

    The last write's bytes are written once more, as they are: after a sync that failed they may
    stand in the kernel's memory only, called clean, and another sync alone would do nothing.
    """
    start, stop = found.unproven
    if start < stop:
        handle = disk.open(found.segments[-1].path)
        try:
            disk.write(handle, disk.read(handle, stop - start, start), start)
            disk.step("writer.settle.before_sync")
            disk.sync(handle)
        finally:
            disk.close(handle)
    if found.names_unsynced:
        disk.step("writer.settle.before_sync_folder")
        disk.sync_folder(folder)


def _fill(disk: Disk, handle: int, plan: Header, batch: Sequence[Entry]) -> tuple[Header, _End]:
    block = encode_header(plan)
    header = decode_header(block)
    assert header is not None, "a header must be read back as it was written"
    data, crc = encode(batch, header, header.crc)
    end = _End(plan.filled, crc, batch[-1].seq if batch else plan.base_seq)
    assert HEADER_BYTES + len(data) == plan.filled
    disk.preallocate(handle, plan.size)
    disk.step("writer.create.after_preallocate")
    disk.write(handle, block + data + encode_mark(header, crc, end.seq), 0)
    disk.write(handle, block, plan.size - HEADER_BYTES)
    return header, end
