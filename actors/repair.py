"""What a damaged log has lost, in words and numbers, and the receipt for accepting it.

Damage stays on record (see `damage`), and the tenant says so, until an operator accepts it. Then
a receipt says for good what is gone, and the damaged files are deleted: what could still be read
of them is in the database, or `accept` refuses.

Call both with the tenant's lease held and no log open on the folder.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from hashlib import blake2b
from typing import TYPE_CHECKING, NamedTuple

from raydo.actors.damage import DAMAGED, NOTE, RECEIPT, Damage, quarantine, read_shelf
from raydo.actors.disk import Disk, read_file, write_file
from raydo.actors.recovery import Recovered, recover
from raydo.actors.segment import SegmentId, file_name, tenant_hash
from raydo.pipelining.errors import InvalidArgument

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.pipelining.noun import Noun

Received = Callable[[int, int | None], tuple[int | None, int | None]]
"""Given the first and last lost seq, return when the last record before them and the first one
behind them were received, in UTC milliseconds, as far as the database knows."""


@dataclass(frozen=True, slots=True)
class Hurt:
    """One damage, and the UTC days on which its records can have been received.

    None: nothing older, or younger, is left to tell. What was lost may carry other timestamps.
    """

    damage: Damage
    first_day: str | None
    last_day: str | None


@dataclass(frozen=True, slots=True)
class Report:
    """What a survey found. `ahead` are seqs that the database has and the log has lost."""

    hurt: tuple[Hurt, ...]
    ahead: tuple[int, int] | None

    @property
    def lost_max(self) -> int | None:
        """Return how many records are gone at most; None when nothing tells."""
        counts = [hurt.damage.lost_max for hurt in self.hurt]
        return None if None in counts else sum(count for count in counts if count)


class Known(NamedTuple):
    """What the tenant's database tells of its log."""

    noun: Noun
    drained_seq: int
    received: Received


def survey(disk: Disk, folder: Path, known: Known) -> Report:
    """Read the log and say what it has lost; changes nothing."""
    noun, drained_seq, received = known
    found = recover(disk, folder, tenant=tenant_hash(noun), drained_seq=drained_seq)
    hurt = tuple(_hurt(damage, received) for damage in found.recovery.damage)
    return Report(hurt, _ahead(found, drained_seq))


def accept(disk: Disk, folder: Path, known: Known, now_ms: int) -> tuple[Path, ...]:
    """Accept every loss: write a receipt for each damaged segment and delete it.

    After a crash call it again; a receipt that stands is not written anew.

    Raises:
        InvalidArgument: records that can still be read are not in the database yet.
        OSError: the disk refused.
    """
    noun, drained_seq, received = known
    found = recover(disk, folder, tenant=tenant_hash(noun), drained_seq=drained_seq)
    _refuse_undrained(disk, found, drained_seq)
    for segment, note in found.notes.items():
        quarantine(disk, folder, segment, note)
    receipts = [
        _accept_one(disk, folder, segment, [_hurt(d, received) for d in note.damage], now_ms)
        for segment, note in sorted(read_shelf(disk, folder).notes.items())
    ]
    if (ahead := _ahead(found, drained_seq)) is not None:
        receipts.append(_accept_ahead(disk, folder, found, ahead, now_ms))
    return tuple(receipts)


def _refuse_undrained(disk: Disk, found: Recovered, drained_seq: int) -> None:
    for segment in found.segments:
        if segment.damaged and any(r.seq > drained_seq for r in segment.records(disk)):
            raise InvalidArgument(
                f"{segment.path} still holds records that the database hasn't got: use the tenant "
                "once, so that it drains them, and accept the loss then."
            )


def _accept_one(
    disk: Disk, folder: Path, segment: SegmentId, hurts: list[Hurt], now_ms: int
) -> Path:
    damaged = folder / file_name(segment, DAMAGED)
    try:
        content: bytes | None = read_file(disk, damaged)
    except FileNotFoundError:
        content = None  # the whole segment was missing
    told = {
        "damage": [wire(hurt) for hurt in hurts],
        "deleted_bytes": len(content) if content is not None else 0,
        "deleted_blake2b": blake2b(content, digest_size=16).hexdigest() if content else None,
    }
    receipt = _write_receipt(disk, folder, segment, told, now_ms)
    _delete(disk, folder, damaged)
    _delete(disk, folder, folder / file_name(segment, NOTE))
    return receipt


def _accept_ahead(
    disk: Disk, folder: Path, found: Recovered, ahead: tuple[int, int], now_ms: int
) -> Path:
    """Start the log anew behind the database; the records that it still has are drained."""
    first, last = ahead
    told = {"lost_after_draining": {"first_seq": first, "last_seq": last}}
    receipt = _write_receipt(disk, folder, found.segments[-1].id, told, now_ms)
    for segment in found.segments:
        _delete(disk, folder, segment.path)
    return receipt


def _write_receipt(
    disk: Disk, folder: Path, segment: SegmentId, told: Mapping[str, object], now_ms: int
) -> Path:
    path = folder / file_name(segment, RECEIPT)
    at = datetime.fromtimestamp(now_ms / 1000, UTC).isoformat(timespec="milliseconds")
    text = json.dumps({"segment": file_name(segment), "accepted_at": at, **told}, indent=1)
    write_file(disk, path, text.encode())
    return path


def _delete(disk: Disk, folder: Path, path: Path) -> None:
    disk.step("repair.delete.before_unlink")
    with suppress(FileNotFoundError):
        disk.unlink(path)
    disk.sync_folder(folder)


def _ahead(found: Recovered, drained_seq: int) -> tuple[int, int] | None:
    if found.end_seq is None or found.end_seq >= drained_seq:
        return None
    return found.end_seq + 1, drained_seq


def _hurt(damage: Damage, received: Received) -> Hurt:
    before, behind = received(damage.first_seq, damage.last_seq)
    return Hurt(damage, _day(before), _day(behind))


def _day(ms: int | None) -> str | None:
    return None if ms is None else datetime.fromtimestamp(ms / 1000, UTC).date().isoformat()


def wire(hurt: Hurt) -> dict[str, object]:
    """Return one damage as a receipt has it."""
    days = {"first_day": hurt.first_day, "last_day": hurt.last_day}
    return {**asdict(hurt.damage), "lost_max": hurt.damage.lost_max, **days}
