"""What a log has lost, and the files that keep it known until somebody accepts the loss.

A damaged segment is renamed `*.seg.damaged`, never deleted, and beside it lies
`*.seg.damage.json` with the seqs that may be gone: later, when the neighbours that tell these
bounds are drained and deleted, nothing else knows them. A segment that is gone altogether has the
second file only. `*.seg.receipt.json` takes the place of both once `repair` accepted the loss.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from raydo.actors.disk import DRAFT_SUFFIX, Disk, read_file, write_file
from raydo.actors.segment import SegmentId, file_name, parse_name

if TYPE_CHECKING:
    from pathlib import Path

DAMAGED: Final = ".damaged"
NOTE: Final = ".damage.json"
RECEIPT: Final = ".receipt.json"
SEQ_MAX: Final = 2**63 - 1
BEFORE_ALL: Final = SegmentId(0, 0)  # stands for a segment whose name nothing tells


@dataclass(frozen=True, slots=True)
class Damage:
    """Bytes that were synced and can't be read, and the seqs that they may have held.

    The bounds are tight, but a seq between them may never have been in the log: a call that went
    straight to the database took one too. `last_seq` is None when nothing tells; it is below
    `first_seq` when no record is missing (a spare header, unused room).
    """

    segment: str
    offset: int
    bytes: int
    first_seq: int
    last_seq: int | None

    @property
    def lost_max(self) -> int | None:
        """Return how many records can be gone at most, or None when nothing tells."""
        return None if self.last_seq is None else max(0, self.last_seq - self.first_seq + 1)


@dataclass(frozen=True, slots=True)
class Note:
    """What is remembered of one damaged segment; no record of it lies above `end_seq`."""

    end_seq: int
    damage: tuple[Damage, ...]


@dataclass(frozen=True, slots=True)
class Shelf:
    """The log's files in a folder, by what they are."""

    segments: dict[SegmentId, Path]
    notes: dict[SegmentId, Note]
    receipts: frozenset[SegmentId]
    litter: tuple[Path, ...]

    def quarantined(self, segment: SegmentId) -> bool:
        return self.segments[segment].suffix == DAMAGED

    def known(self, segment: SegmentId) -> bool:
        """Tell whether this segment's loss is on record already."""
        return segment in self.notes or segment in self.receipts


def read_shelf(disk: Disk, folder: Path) -> Shelf:
    """List the log's files."""
    names = disk.names(folder)
    shelf = Shelf({}, {}, frozenset(_receipts(names)), ())
    litter: list[Path] = []
    for name in names:
        if (parsed := parse_name(name)) is None:
            continue
        segment, suffix = parsed
        if suffix == RECEIPT:
            continue
        if suffix.endswith(DRAFT_SUFFIX) or segment in shelf.receipts:
            litter.append(folder / name)
        elif suffix in {"", DAMAGED}:
            shelf.segments[segment] = folder / name
        elif suffix == NOTE:
            shelf.notes[segment] = _read_note(disk, folder / name, segment)
    return Shelf(shelf.segments, shelf.notes, shelf.receipts, tuple(litter))


def left_over(disk: Disk, folder: Path, epoch: int) -> list[Path]:
    """List the segments and drafts of earlier epochs that lie in the folder now."""
    found = ((name, parse_name(name)) for name in disk.names(folder))
    return [
        folder / name
        for name, parsed in found
        if parsed and parsed[0].epoch < epoch and parsed[1] in {"", DRAFT_SUFFIX}
    ]


def quarantine(disk: Disk, folder: Path, segment: SegmentId, note: Note) -> None:
    """Write down what a damaged segment lost, then put it aside.

    In this order a segment that bears the name `damaged` always has its note; after a crash
    between the two, the next start finds the same damage and does it again.
    """
    path = folder / file_name(segment)
    write_file(disk, path.with_name(path.name + NOTE), json.dumps(asdict(note), indent=1).encode())
    disk.step("damage.quarantine.before_rename")
    with suppress(FileNotFoundError):  # a segment that is missing, or was put aside before
        disk.rename(path, path.with_name(path.name + DAMAGED))
    disk.step("damage.quarantine.before_sync_folder")
    disk.sync_folder(folder)


def _receipts(names: Iterable[str]) -> Iterable[SegmentId]:
    parsed = (parse_name(name) for name in names)
    return (found[0] for found in parsed if found and found[1] == RECEIPT)


def _read_note(disk: Disk, path: Path, segment: SegmentId) -> Note:
    try:
        wire = json.loads(read_file(disk, path))
        return Note(wire["end_seq"], tuple(Damage(**damage) for damage in wire["damage"]))
    except (ValueError, TypeError, KeyError):
        # The note has been damaged too: then nothing tells what is gone, and so it says.
        return Note(SEQ_MAX, (Damage(file_name(segment), 0, 0, 1, None),))
