"""The format of the log's files: names, headers and records, as pure functions over bytes.

A segment is a file of fixed size, made under another name, filled, synced and only then given its
own: a segment that bears its name was whole once, so a header that can't be read is damage, never
a crash. Its parts:

    0                   header, one sector
    512                 records, one behind the other, each chained to the one before
    ... zeros ...
    size - 512          the header once more, so that one bad sector doesn't cost the file

The header names where the predecessor ends (`after`): bytes behind that were written by a process
that had already lost the tenant, and no reader looks at them.

    record = word 4 | length 4 | seq 8 | previous crc 4 | kind 1 | crc 4 | payload

* The crc runs over everything but itself, begins at the header's crc (so over tenant, epoch and
  segment too), and a record holds the crc before it: a record proves itself, and its place.
* `word` is drawn anew for each segment. It lets a reader find the next record behind damage, and
  no payload can hold a forged one, because nobody outside knows it.
* The first record of each write carries BEGINS. A write starts only when the one before it is
  synced, so such a record proves that every byte before it once was: what is broken there was
  damaged, whereas what is broken behind the last proof was torn by a crash. A MARK, written
  without a sync once a write is safe and overwritten by the next, proves the last write as well.
  What no reader can tell from a torn tail is damage that takes the last write and its mark.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from struct import Struct
from typing import TYPE_CHECKING, Final, NamedTuple
from zlib import crc32

from raydo.pipelining.errors import DataUnreadable

if TYPE_CHECKING:
    from raydo.pipelining.noun import Noun

VERSION: Final = 1
MAGIC: Final = b"raydolog"
HEADER_BYTES: Final = 512
_HEADER: Final = Struct("<8sHH4s16sQQQQQQQQI")
_RECORD: Final = Struct("<4sIQIB")
_CRC: Final = Struct("<I")
RECORD_BYTES: Final = _RECORD.size + _CRC.size  # what a record costs beside its payload
TAIL_BYTES: Final = RECORD_BYTES + HEADER_BYTES  # what must fit behind the records: mark, header
BEGINS: Final = 0x80  # beside the kind: this record is the first of its write
MARK: Final = 0x7F  # the kind of a mark
KIND_MAX: Final = MARK - 1  # kinds that a caller may use: 0 to this
_NAME: Final = re.compile(r"log-(\d{10,})-(\d{6,})\.seg((?:\.[a-z]+)*)")


class SegmentId(NamedTuple):
    """Name a segment: who wrote it, and its number among that epoch's."""

    epoch: int
    number: int


class Cut(NamedTuple):
    """Say where a segment's chain ends: its segment, the offset, and the crc reached there."""

    segment: SegmentId
    offset: int
    crc: int


class Record(NamedTuple):
    """One entry of the log."""

    seq: int
    epoch: int
    kind: int
    payload: bytes


class Entry(NamedTuple):
    """A record that waits to be written."""

    seq: int
    kind: int
    payload: bytes


@dataclass(frozen=True, slots=True)
class Header:
    """Describe a segment. `filled` is where the records end that it was made with."""

    tenant: bytes
    id: SegmentId
    size: int
    filled: int
    base_seq: int  # the last seq before this segment's first
    after: Cut | None
    word: bytes
    crc: int = 0


def file_name(segment: SegmentId, suffix: str = "") -> str:
    return f"log-{segment.epoch:010}-{segment.number:06}.seg{suffix}"


def parse_name(name: str) -> tuple[SegmentId, str] | None:
    """Return the segment that a file belongs to and what stands behind its name, if any is ours."""
    match = _NAME.fullmatch(name)
    return match and (SegmentId(int(match[1]), int(match[2])), match[3])


def newest_epoch(names: Iterable[str]) -> int:
    """Return the highest epoch that wrote any of these files, or 0."""
    return max((parsed[0].epoch for name in names if (parsed := parse_name(name))), default=0)


def tenant_hash(noun: Noun) -> bytes:
    return blake2b(f"{noun.cls}\0{noun.id}".encode(), digest_size=16).digest()


def draw_word(random: bytes) -> bytes:
    """Make a segment's word of four random bytes; none of it is zero, so zeros never hold it."""
    return bytes(byte | 1 for byte in random)


def encode_header(header: Header) -> bytes:
    """Write a header as one sector; its crc stands at the end."""
    segment, offset, crc = header.after or Cut(SegmentId(0, 0), 0, 0)
    fixed = _HEADER.pack(
        *(MAGIC, VERSION, 0, header.word, header.tenant, *header.id, header.size, header.filled),
        *(header.base_seq, *segment, offset, crc),
    )
    block = fixed.ljust(HEADER_BYTES - _CRC.size, b"\0")
    return block + _CRC.pack(crc32(block))


def decode_header(block: bytes) -> Header | None:
    """Read a header; None when the bytes are not a whole one.

    Raises:
        DataUnreadable: a later version of raydo wrote it.
    """
    if len(block) != HEADER_BYTES or not block.startswith(MAGIC):
        return None
    (crc,) = _CRC.unpack_from(block, HEADER_BYTES - _CRC.size)
    if crc32(block[: -_CRC.size]) != crc:
        return None
    _, version, _, word, tenant, epoch, number, size, filled, base_seq, *cut = _HEADER.unpack_from(
        block
    )
    if version != VERSION:
        raise DataUnreadable(
            f"This log has version {version}; this raydo reads {VERSION}. Use a later raydo."
        )
    after = Cut(SegmentId(cut[0], cut[1]), cut[2], cut[3]) if cut[0] else None
    return Header(tenant, SegmentId(epoch, number), size, filled, base_seq, after, word, crc)


def encoded_bytes(batch: Sequence[Entry]) -> int:
    """Return what `encode` will make of a batch, in bytes."""
    return sum(len(entry.payload) for entry in batch) + RECORD_BYTES * len(batch)


def encode(batch: Iterable[Entry], header: Header, crc: int) -> tuple[bytes, int]:
    """Write a batch as one write's records behind the chain's `crc`; return the new crc too."""
    parts: list[bytes] = []
    flag = BEGINS
    for seq, kind, payload in batch:
        head = _RECORD.pack(header.word, len(payload), seq, crc, kind | flag)
        crc = crc32(payload, crc32(head, header.crc))
        parts += (head, _CRC.pack(crc), payload)
        flag = 0
    return b"".join(parts), crc


def encode_mark(header: Header, crc: int, seq: int) -> bytes:
    """Write the proof that everything up to here, and up to `seq`, is synced."""
    return encode((Entry(seq, MARK, b""),), header, crc)[0]


class Found(NamedTuple):
    """A record whose own crc is right, wherever it stands."""

    end: int
    seq: int
    previous: int
    kind: int
    begins: bool
    crc: int


def find(data: bytes, header: Header, offset: int, stop: int) -> Found | None:
    """Read the record at `offset` if it is whole and ends at `stop` or before."""
    body = offset + RECORD_BYTES
    if body > stop:
        return None
    word, length, seq, previous, kind = _RECORD.unpack_from(data, offset)
    end = body + length
    if word != header.word or end > stop:
        return None
    (stored,) = _CRC.unpack_from(data, offset + _RECORD.size)
    crc = crc32(data[body:end], crc32(data[offset : offset + _RECORD.size], header.crc))
    if crc != stored:
        return None
    return Found(end, seq, previous, kind & ~BEGINS, bool(kind & BEGINS), crc)


def records(data: bytes, header: Header, span: tuple[int, int]) -> Iterator[Record]:
    """Read the records of a stretch that was checked before."""
    offset, stop = span
    while offset < stop:
        _, length, seq, _, kind = _RECORD.unpack_from(data, offset)
        body = offset + RECORD_BYTES
        offset = body + length
        yield Record(seq, header.id.epoch, kind & ~BEGINS, data[body:offset])
