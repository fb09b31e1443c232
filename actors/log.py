"""The pipeline's log: what is synced here is never lost, what isn't was never promised.

One log belongs to one activation and lies in its tenant's folder. A turn calls `append`, which
only remembers; a writer calls `sync`, which makes everything appended so far safe by one write
and one fdatasync; only then may a reply leave. Turns go on meanwhile: `append`, `sync` and
`forget` may run at once, each on a thread of its own. A folder without a log gets no file before
the first `sync` or `claim`, and an open log holds one file open at most.

What the owner does when something fails:

* StorageFull: nothing of that `sync` was promised and the log is as before it. Either call `sync`
  again when there is room (the same records go, in the same order), or take back in memory what
  the unsynced records tell and call `give_up`. Until then `append` raises StorageFull.
* ActivationBroken: a write or a sync failed, or a newer epoch has the tenant. This log is broken
  for good; the next activation's recovers from disk.

Each epoch writes only its own segments, and its first one fixes where the predecessor's end. Call
`claim` before an effect of this epoch that isn't in the log, such as a transaction of the
database's own, so that what a frozen predecessor may still write can't come to count beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from threading import Lock
from typing import TYPE_CHECKING

from raydo.actors.damage import left_over
from raydo.actors.disk import Disk
from raydo.actors.failure import failure, is_full
from raydo.actors.recovery import Recovered, Segment, put_aside, recover, refuse_a_database_ahead
from raydo.actors.segment import (
    KIND_MAX,
    RECORD_BYTES,
    Entry,
    Record,
    encoded_bytes,
    newest_epoch,
    tenant_hash,
)
from raydo.actors.writer import SegmentMaker, SegmentWriter, settle
from raydo.pipelining.errors import ActivationBroken, RaydoError, TooLarge
from raydo.pipelining.limits import RECORD_BYTES_MAX, SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.pipelining.noun import Noun


@dataclass(frozen=True, slots=True)
class LogStats:
    """Count what this log wrote since it was opened."""

    fsyncs: int = 0
    bytes: int = 0
    records: int = 0
    segments: int = 0

    def plus(self, fsyncs: int, size: int, records: int, made: int) -> LogStats:
        counts = (self.fsyncs + fsyncs, self.bytes + size, self.records + records)
        return LogStats(*counts, self.segments + made)


class Log:
    """Append, sync, read back, forget."""

    def __init__(
        self,
        disk: Disk,
        maker: SegmentMaker,
        check: Callable[[], None],
        found: Recovered,
        segments: tuple[Segment, ...],
    ) -> None:
        self.recovery = found.recovery
        self._disk = disk
        self._maker = maker
        self._check = check
        self._litter = found.litter
        self._lock = Lock()  # guards what a turn and the writer both touch; held for no I/O
        self._writing = Lock()  # held by whoever writes
        self._sealed = segments
        self._writer: SegmentWriter | None = None
        self._pending: list[Entry] = []
        self.pending_bytes = 0  # what the next `sync` has to write
        self._last_seq = self._synced_seq = found.last_seq
        self._forgotten_seq = 0
        self._broken: BaseException | None = None
        self._full: OSError | None = None
        self._spoilt = False  # behind its end, the segment in use may hold records given up
        self.stats = LogStats()

    @classmethod
    def open(
        cls,
        disk: Disk,
        folder: Path,
        *,
        noun: Noun,
        epoch: int,
        drained_seq: int,
        check: Callable[[], None],
        random: Callable[[int], bytes],
        segment_bytes: tuple[int, int] = (SEGMENT_BYTES_FIRST, SEGMENT_BYTES_MAX),
    ) -> Log:
        """Recover the log in `folder`, of which the database has the records to `drained_seq`.

        That is the seq of a record of this log, not one that the database gave out by itself.
        Whatever is recovered is on disk at return; damage is put aside, and named in `recovery`.
        `check` raises ActivationBroken when a newer epoch has the tenant (`Lease.check`), and
        `random` gives so many random bytes. `segment_bytes` are the first size and the largest.

        Raises:
            ActivationBroken: a newer epoch wrote here, or the disk fails.
            StorageFull: a last write can't be made safe.
            DataUnreadable: not this tenant's, too new, or behind the database (see `recover`).
        """
        maker = SegmentMaker(disk, folder, tenant_hash(noun), epoch, random, segment_bytes)
        try:
            if (newest := newest_epoch(disk.names(folder))) >= epoch:
                raise ActivationBroken(f"{noun} was written by epoch {newest}, not below {epoch}.")
            found = recover(disk, folder, tenant=maker.tenant, drained_seq=drained_seq)
            refuse_a_database_ahead(found, folder, drained_seq)
            settle(disk, folder, found)
            segments = put_aside(disk, folder, found)
        except OSError as error:
            raise failure(str(folder), error) from error
        return cls(disk, maker, check, found, segments)

    @property
    def synced_seq(self) -> int:
        """The last seq that is safe; it only grows."""
        return self._synced_seq

    @property
    def last_seq(self) -> int:
        """The last seq given to this log, safe or not."""
        return self._last_seq

    def append(self, kind: int, seq: int, payload: bytes) -> None:
        """Remember a record for the next `sync`; seqs grow, and may skip some.

        Raises:
            TooLarge: the payload is over RECORD_BYTES_MAX.
            ActivationBroken, StorageFull: see the module.
        """
        if self._broken or self._full:
            raise self._refusal()
        if len(payload) > RECORD_BYTES_MAX:
            raise TooLarge(f"A record has at most {RECORD_BYTES_MAX} bytes, not {len(payload)}.")
        assert 0 <= kind <= KIND_MAX
        with self._lock:
            assert seq > self._last_seq, f"seq {seq} comes after {self._last_seq}"
            self._pending.append(Entry(seq, kind, payload))
            self.pending_bytes += RECORD_BYTES + len(payload)
            self._last_seq = seq

    def sync(self) -> int:
        """Make everything appended before this call safe; return `synced_seq`.

        Raises:
            ActivationBroken, StorageFull: see the module.
        """
        with self._writing:
            with self._lock:
                batch, self._pending = self._pending, []
            if batch or self._broken:
                self._store(batch)
            return self._synced_seq

    def claim(self) -> None:
        """Give this epoch a segment, so that no earlier epoch's can grow any more.

        Raises:
            ActivationBroken, StorageFull: see the module.
        """
        with self._writing:
            if self._writer is None or self._spoilt or self._broken:
                self._store([])

    def give_up(self) -> None:
        """Drop what isn't synced; none of it will count once this log syncs or claims again."""
        with self._writing, self._lock:
            self._pending, self.pending_bytes = [], 0
            self._last_seq = self._synced_seq
            self._spoilt = self._writer is not None
            self._full = None

    def records(self, after_seq: int = 0) -> Iterator[Record]:
        """Read what is safe and above `after_seq`, oldest first, from disk."""
        with self._lock:
            synced_seq = self._synced_seq  # the file may be a step ahead of what is promised
            segments = [*self._sealed, *([self._writer.sealed()] if self._writer else [])]
        for segment in segments:
            if segment.last_seq > after_seq:
                for record in segment.records(self._disk):
                    if after_seq < record.seq <= synced_seq:
                        yield record

    def forget(self, upto_seq: int) -> None:
        """Delete the segments whose records are all `upto_seq` or less, but the one in use.

        Call it only when the database has them on disk. The oldest goes first, each for good
        before the next, so that a crash leaves no hole. Damaged ones stay, for `repair`.

        Raises:
            ActivationBroken: see the module.
        """
        assert upto_seq <= self._synced_seq
        with self._lock:
            self._forgotten_seq = max(self._forgotten_seq, upto_seq)
            doomed = [s.path for s in self._sealed if s.last_seq <= upto_seq and not s.damaged]
            self._sealed = tuple(s for s in self._sealed if s.last_seq > upto_seq)
            doomed[:0], self._litter = self._litter, ()
        try:
            for path in doomed:
                self._delete(path)
        except OSError as error:
            self._broken = self._broken or error
            raise failure(str(self._maker.folder), error) from error

    def close(self) -> None:
        """Let go of the file; what isn't synced is dropped.

        A segment in use that holds only forgotten records is deleted: a tenant asleep has no log.
        """
        with self._writing:
            writer, self._writer = self._writer, None
            self._broken = self._broken or ValueError("it was closed")
            if writer is None:
                return
            with suppress(OSError):
                writer.close()
            kept = [segment for segment in self._sealed if not segment.damaged]
            if not kept and writer.last_seq <= self._forgotten_seq:
                with suppress(OSError):  # what stays, the next activation deletes
                    self._delete_all(writer.path)

    def _store(self, batch: list[Entry]) -> None:
        if self._broken:
            raise self._refusal()
        try:
            fsyncs = self._write(batch)
            self._check()  # a reply of an activation that lost its tenant must not leave
        except OSError as error:
            self._fail(error, batch)
            raise failure(str(self._maker.folder), error) from error
        except BaseException as error:
            self._broken = error
            raise
        size = encoded_bytes(batch)
        with self._lock:
            self._full = None
            self.pending_bytes -= size
            self._synced_seq = batch[-1].seq if batch else self._synced_seq
        self.stats = self.stats.plus(fsyncs, size, len(batch), made=fsyncs > 1)

    def _write(self, batch: list[Entry]) -> int:
        """Put a batch on disk; return how many syncs it took."""
        full = self._writer
        if full and full.fits(batch) and not self._spoilt:
            full.write(batch)
            return 1
        self._check()  # nor may it make files, which nobody would know to be void
        after = full.cut if full else self.recovery.cut
        fresh = self._maker.make(batch, base_seq=self._synced_seq, after=after)
        with self._lock:
            self._sealed += (full.sealed(),) if full else ()
            self._writer, self._spoilt = fresh, False
        if full:
            with suppress(OSError):  # all of it is synced, so a close can't lose anything
                full.close()
        return 2

    def _fail(self, error: OSError, batch: list[Entry]) -> None:
        writer = self._writer
        written = writer and batch and writer.last_seq >= batch[-1].seq
        if not is_full(error) or written:
            self._broken = error
            return
        if batch:  # a claim leaves nothing to be tried again
            with self._lock:
                self._full = error
                self._pending[:0] = batch

    def _refusal(self) -> RaydoError:
        if self._full and not self._broken:
            return failure(str(self._maker.folder), self._full)
        return ActivationBroken(f"The log in {self._maker.folder} can't go on: {self._broken}")

    def _delete_all(self, own: Path) -> None:
        # First what a frozen predecessor may have made since this log was opened: only our own
        # segment shows that it is void.
        for path in left_over(self._disk, self._maker.folder, self._maker.epoch):
            self._delete(path)
        self._delete(own)

    def _delete(self, path: Path) -> None:
        self._disk.step("log.delete.before_unlink")
        with suppress(FileNotFoundError):
            self._disk.unlink(path)
        self._disk.step("log.delete.before_sync_folder")
        self._disk.sync_folder(self._maker.folder)
