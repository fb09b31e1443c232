"""What one segment still holds: a pure reader that tells a torn tail from damage.

A crash may tear the last write, which nobody was told is safe: such a tail ends the log. Broken
bytes that were provably synced are something else: they are reported as a `Gap` with the seqs
that they can have held, and reading goes on behind them. The proofs, see `segment`: the
successor's cut, a later record that begins a write, a mark, and the header's `filled`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from raydo.actors.segment import HEADER_BYTES, MARK, Found, Header, find


class Limit(NamedTuple):
    """Where the successor says that this segment ends: offset, crc there, and the last seq."""

    offset: int
    crc: int
    seq: int


class Gap(NamedTuple):
    """Bytes that were synced and are damaged, and the seqs that may have stood there.

    `last_seq` is None when nothing behind the gap tells; it is below `first_seq` when no record
    can be missing.
    """

    start: int
    end: int
    first_seq: int
    last_seq: int | None


@dataclass(frozen=True, slots=True)
class Scan:
    """What was found: stretches of whole records, gaps between them, and the chain's end."""

    spans: tuple[tuple[int, int], ...]
    gaps: tuple[Gap, ...]
    end: int
    crc: int
    last_seq: int  # of the records and proofs seen; lost records have none above it
    proven: int  # bytes before this were synced
    torn_bytes: int


def scan(data: bytes, header: Header, limit: Limit | None) -> Scan:
    """Read a segment's bytes; with a `limit`, none behind it."""
    scanner = _Scanner(data, header, limit)
    scanner.run()
    while (proof := scanner.next_proof()) is not None:
        scanner.skip_to(proof)
        scanner.run()
    return scanner.result()


class _Scanner:
    def __init__(self, data: bytes, header: Header, limit: Limit | None) -> None:
        self.data = data
        self.header = header
        self.limit = limit
        stop = limit.offset if limit else header.size - HEADER_BYTES
        self.stop = min(stop, len(data))
        self.proven = stop if limit else header.filled
        self.offset = HEADER_BYTES  # the chain's end so far
        self.tail = HEADER_BYTES  # and where the bytes begin that are not part of it
        self.crc = header.crc
        self.seq = header.base_seq
        self.spans: list[tuple[int, int]] = []
        self.gaps: list[Gap] = []

    def run(self) -> None:
        """Follow the chain until it breaks or a mark ends it."""
        start = self.offset
        while (found := self._at(self.offset)) and found.previous == self.crc:
            if found.kind == MARK:
                break
            if found.begins:
                self.proven = max(self.proven, self.offset)
            self.offset, self.crc, self.seq = found.end, found.crc, found.seq
        self.tail = self.offset
        if found and found.previous == self.crc:  # a mark: it proves, but is no part of the chain
            self.proven, self.seq, self.tail = self.offset, found.seq, found.end
        if start < self.offset:
            self.spans.append((start, self.offset))

    def next_proof(self) -> Limit | None:
        """Return the last place that shows that bytes here were synced; None when none does."""
        if self.limit:
            reached = self.offset >= self.limit.offset and self.crc == self.limit.crc
            return None if reached else self.limit
        at = self.data.rfind(self.header.word, self.tail, self.stop)
        while at >= 0:
            found = self._at(at)
            if found and found.begins:
                last = found.seq if found.kind == MARK else found.seq - 1
                return Limit(at, found.previous, last)
            at = self.data.rfind(self.header.word, self.tail, at + len(self.header.word) - 1)
        if self.offset < self.header.filled:
            return Limit(self.header.filled, 0, -1)
        return None

    def skip_to(self, proof: Limit) -> None:
        """Note the gap that begins here and go to the first whole record behind it, or `proof`."""
        start, first = self.offset, self.seq + 1
        found = None
        at = self.data.find(self.header.word, self.tail, self.stop)
        while 0 <= at <= proof.offset and not (found := self._at(at)):
            at = self.data.find(self.header.word, at + 1, self.stop)
        last: int | None
        if found:
            self.offset, self.crc = at, found.previous
            last = found.seq if found.kind == MARK else found.seq - 1
        else:
            self.offset, self.crc = proof.offset, proof.crc
            last = proof.seq if proof.seq >= 0 else None
        self.seq = max(self.seq, last or 0)
        self.gaps.append(Gap(start, max(start, self.offset), first, last))

    def result(self) -> Scan:
        at_mark = self.tail > self.offset
        if len(self.data) < self.header.size:  # its full size was synced before its first record
            last = self.seq if self.limit or at_mark else None
            self.gaps.append(Gap(len(self.data), self.header.size, self.seq + 1, last))
        torn = b"" if self.limit else self.data[self.tail : self.stop].rstrip(b"\0")
        return Scan(
            spans=tuple(self.spans),
            gaps=tuple(self.gaps),
            end=self.offset,
            crc=self.crc,
            last_seq=self.seq,
            proven=max(self.proven, self.offset) if self.limit else self.proven,
            torn_bytes=len(torn),
        )

    def _at(self, offset: int) -> Found | None:
        found = find(self.data, self.header, offset, self.stop)
        if found is None:
            return None
        in_order = found.seq >= self.seq if found.kind == MARK else found.seq > self.seq
        return found if in_order else None
