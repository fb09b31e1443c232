"""Read a folder's segments back: which of them count, how far, and what they have lost.

The newest segment's header names where its predecessor ends, and so on back to the last one that
holds anything the database hasn't got. What is not on this chain was written by a process that
had already lost the tenant, and is void. Only `put_aside` changes anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

from raydo.actors.damage import BEFORE_ALL, DAMAGED, Damage, Note, Shelf, quarantine, read_shelf
from raydo.actors.disk import Disk, read_file
from raydo.actors.failure import is_full
from raydo.actors.scan import Gap, Limit, Scan, scan
from raydo.actors.segment import (
    HEADER_BYTES,
    Cut,
    Header,
    Record,
    SegmentId,
    decode_header,
    file_name,
    records,
)
from raydo.pipelining.errors import DataUnreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment that is no longer written: where it is, and its stretches of whole records."""

    id: SegmentId
    path: Path
    header: Header | None  # None when nothing in it is worth reading
    spans: tuple[tuple[int, int], ...]
    last_seq: int
    damaged: bool = False

    def records(self, disk: Disk) -> Iterator[Record]:
        """Read its records; they were checked when it was recovered or written."""
        if self.header is not None and self.spans:
            data = read_file(disk, self.path)
            for span in self.spans:
                yield from records(data, self.header, span)


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was found at the start."""

    cut: Cut | None  # where the log ended; None when there was none
    truncated_bytes: int  # of a torn tail: nobody was told that they are safe
    damage: tuple[Damage, ...]  # all of it that `repair` hasn't accepted, old and new


@dataclass(frozen=True, slots=True)
class Recovered:
    """What a log starts from; `segments` stand oldest first."""

    recovery: Recovery
    segments: tuple[Segment, ...]
    last_seq: int  # of everything that was ever synced here, lost or not
    end_seq: int | None  # where the log itself ends; None: there is none, or its end is damaged
    unproven: tuple[int, int]  # a last write, as offsets, that may not be on the disk yet
    names_unsynced: bool  # whether a file's name may not be on the disk yet
    notes: dict[SegmentId, Note]  # damage that isn't on record yet
    litter: tuple[Path, ...]


class _Head(NamedTuple):
    header: Header | None
    size: int
    flaws: tuple[tuple[int, int], ...]  # copies of the header that are not as they were written


class _Piece(NamedTuple):
    id: SegmentId
    header: Header | None
    scan: Scan


def recover(disk: Disk, folder: Path, *, tenant: bytes, drained_seq: int) -> Recovered:
    """Read the log in `folder`, of which the database has every record up to `drained_seq`.

    Raises:
        DataUnreadable: another tenant's, or a later version's.
    """
    shelf = read_shelf(disk, folder)
    # A segment put aside long ago and drained since is only reported, not read again.
    done = {key for key, note in shelf.notes.items() if note.end_seq <= drained_seq}
    ids = [key for key in shelf.segments if not (key in done and shelf.quarantined(key))]
    heads = {key: _read_head(disk, shelf.segments[key], key, tenant) for key in ids}
    chain, missing = _chain(heads, drained_seq)
    pieces = list(_scan(disk, shelf, [(key, heads[key]) for key in chain], drained_seq))

    notes = _new_notes(shelf, heads, pieces, _lost(pieces, missing, drained_seq))
    last = pieces[-1] if pieces else None
    known = {key: note for key, note in shelf.notes.items() if key not in notes}
    damage = [hurt for note in (*known.values(), *notes.values()) for hurt in note.damage]
    return Recovered(
        recovery=Recovery(
            cut=Cut(last.id, last.scan.end, last.scan.crc) if last else None,
            truncated_bytes=last.scan.torn_bytes if last else 0,
            damage=tuple(sorted(damage, key=lambda hurt: (hurt.first_seq, hurt.segment))),
        ),
        segments=(*_drained(shelf, ids, pieces), *(_segment(shelf, notes, p) for p in pieces)),
        last_seq=max([drained_seq, *(piece.scan.last_seq for piece in pieces)]),
        end_seq=_end_seq(shelf, last),
        unproven=(last.scan.proven, last.scan.end) if last else (0, 0),
        names_unsynced=_is_new(last) or bool(shelf.notes or shelf.receipts),
        notes=notes,
        litter=(*shelf.litter, *_void(shelf, ids, chain)),
    )


def refuse_a_database_ahead(found: Recovered, folder: Path, drained_seq: int) -> None:
    """Refuse a log that ends before what was drained from it: its end was lost, not torn.

    Its lost records can't be named, and their seqs would be given a second time.

    Raises:
        DataUnreadable: it does.
    """
    if found.end_seq is not None and found.end_seq < drained_seq:
        raise DataUnreadable(
            f"The database has records up to {drained_seq}, but the log in {folder} ends at "
            f"{found.end_seq}: it has lost some since they were drained. Run `raydo repair`.",
            detail={"drained_seq": drained_seq, "log_seq": found.end_seq},
        )


def put_aside(disk: Disk, folder: Path, found: Recovered) -> tuple[Segment, ...]:
    """Quarantine what is newly damaged; return the segments with the paths that they now have.

    On a full disk it stays where it is, and the next start finds it again: reads must go on.
    """
    aside: set[SegmentId] = set()
    for key, note in found.notes.items():
        try:
            quarantine(disk, folder, key, note)
        except OSError as error:
            if not is_full(error):
                raise
        else:
            aside.add(key)
    return tuple(
        replace(segment, path=folder / file_name(segment.id, DAMAGED))
        if segment.id in aside
        else segment
        for segment in found.segments
    )


def _read_head(disk: Disk, path: Path, key: SegmentId, tenant: bytes) -> _Head:
    handle = disk.open(path)
    try:
        size = disk.size(handle)
        block = disk.read(handle, HEADER_BYTES, 0)
        header = decode_header(block)
        spare_at = (header.size if header else size) - HEADER_BYTES
        spare = disk.read(handle, HEADER_BYTES, max(0, spare_at))
    finally:
        disk.close(handle)
    flaws: tuple[tuple[int, int], ...] = ()
    if header is None:
        header, flaws = decode_header(spare), ((0, HEADER_BYTES),)
    elif spare != block and size >= header.size:  # a file cut short is reported as that
        flaws = ((spare_at, header.size),)
    if header is None or header.id != key:
        return _Head(None, size, ())
    if header.tenant != tenant:
        raise DataUnreadable(f"{path} is the log of another tenant.")
    return _Head(header, size, flaws)


def _chain(
    heads: dict[SegmentId, _Head], drained_seq: int
) -> tuple[list[SegmentId], dict[SegmentId, SegmentId]]:
    """List what must be read, oldest first, and by successor the predecessors that are gone."""
    chain: list[SegmentId] = []
    missing: dict[SegmentId, SegmentId] = {}
    rest = sorted(heads)
    while rest:
        key = rest.pop()
        chain.append(key)
        header = heads[key].header
        if header is None:
            continue  # it can't name its predecessor; the next older one is the best guess
        if header.base_seq <= drained_seq:
            break
        before = header.after.segment if header.after else BEFORE_ALL
        if before not in heads:
            missing[key] = before
        rest = [older for older in rest if older <= before]
    return chain[::-1], missing


def _scan(
    disk: Disk, shelf: Shelf, chain: Sequence[tuple[SegmentId, _Head]], drained_seq: int
) -> Iterator[_Piece]:
    seq = drained_seq
    following = [*(head.header for _, head in chain[1:]), None]
    for (key, (header, size, _)), successor in zip(chain, following, strict=False):
        limit = None
        if successor and successor.after and successor.after.segment == key:
            limit = Limit(successor.after.offset, successor.after.crc, successor.base_seq)
        if header is None:
            last = successor.base_seq if successor else None
            gap = Gap(0, size, seq + 1, last)
            seq = max(seq, last or 0)
            yield _Piece(key, None, Scan((), (gap,), 0, 0, seq, 0, 0))
            continue
        found = scan(read_file(disk, shelf.segments[key]), header, limit)
        seq = found.last_seq
        yield _Piece(key, header, found)


def _is_new(last: _Piece | None) -> bool:
    """Tell whether nothing shows that the last segment's folder was synced after it was named.

    A second write would: it starts after that. A process that is killed in between leaves a name
    that stands in the kernel's memory only.
    """
    return bool(last and last.header and last.scan.end <= last.header.filled)


def _end_seq(shelf: Shelf, last: _Piece | None) -> int | None:
    if last is None or shelf.quarantined(last.id):
        return None
    unknown = any(gap.last_seq is None for gap in last.scan.gaps)
    return None if unknown else last.scan.last_seq


def _lost(
    pieces: Sequence[_Piece], missing: dict[SegmentId, SegmentId], drained_seq: int
) -> Iterator[tuple[SegmentId, Gap]]:
    """Yield the segments that are gone, with the seqs that they can have held."""
    seq = drained_seq
    for piece in pieces:
        if piece.id in missing and piece.header:
            yield missing[piece.id], Gap(0, 0, seq + 1, piece.header.base_seq)
        seq = piece.scan.last_seq


def _new_notes(
    shelf: Shelf,
    heads: dict[SegmentId, _Head],
    pieces: Iterable[_Piece],
    lost: Iterable[tuple[SegmentId, Gap]],
) -> dict[SegmentId, Note]:
    """Return what must be written down: damage that no note or receipt mentions."""
    notes = {
        key: _note(key, (), [gap], gap.last_seq or 0) for key, gap in lost if not shelf.known(key)
    }
    for key, header, found in pieces:
        base = header.base_seq if header else 0
        flaws = [Gap(start, end, base + 1, base) for start, end in heads[key].flaws]
        known = shelf.notes[key].damage if key in shelf.notes else ()
        offsets = {hurt.offset for hurt in known}
        fresh = [gap for gap in (*flaws, *found.gaps) if gap.start not in offsets]
        if fresh or (known and not shelf.quarantined(key)):
            notes[key] = _note(key, known, fresh, found.last_seq)
    return notes


def _note(key: SegmentId, known: Sequence[Damage], gaps: Iterable[Gap], end_seq: int) -> Note:
    name = file_name(key)
    fresh = [Damage(name, start, end - start, first, last) for start, end, first, last in gaps]
    return Note(end_seq, (*known, *fresh))


def _segment(shelf: Shelf, notes: dict[SegmentId, Note], piece: _Piece) -> Segment:
    key, header, found = piece
    damaged = key in notes or key in shelf.notes
    return Segment(key, shelf.segments[key], header, found.spans, found.last_seq, damaged)


def _drained(shelf: Shelf, ids: Iterable[SegmentId], pieces: Sequence[_Piece]) -> Iterator[Segment]:
    """Yield the segments before the chain: the database has them, `forget` may delete them."""
    if not pieces or pieces[0].header is None:
        return
    base_seq = pieces[0].header.base_seq
    for key in sorted(ids):
        if key < pieces[0].id:
            damaged = key in shelf.notes
            yield Segment(key, shelf.segments[key], None, (), base_seq, damaged)


def _void(shelf: Shelf, ids: Iterable[SegmentId], chain: Sequence[SegmentId]) -> Iterator[Path]:
    """Yield the files between the chain's segments: a process that was fenced off wrote them."""
    for key in ids:
        if chain and key > chain[0] and key not in chain:
            yield shelf.segments[key]
