"""What one activation keeps on disk: its lease, its log, its database, and the order among them.

A turn's effects reach the disk in one of two ways. Either as one record of the log, synced, and
waiting in the tail until a drain writes it; or, when the turn ran SQL of its own, in the one
transaction that holds that SQL. A transaction begins with the tail inside it, so whoever reads by
SQL sees everything that was acknowledged, and the database never has a later turn without an
earlier one.

What must hold, and where:

* only what is synced is in the tail, so a drain never passes `synced_seq` (DECISIONS 2);
* `drained_seq` moves in the transaction that it covers;
* the lease is checked inside each transaction, and `claim` comes before one with effects that are
  not in the log, so that what a frozen predecessor still writes cannot count beside it;
* segments go once SQLite has checkpointed what they held, at the end all of them; what a frozen
  predecessor writes after that is void by `closed_epoch`, since no segment of ours shows it.

A tenant that is not born yet has a database in memory and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

from raydo.actors.disk import Disk
from raydo.actors.drain import Ground, forget_sessions, write
from raydo.actors.effects import EFFECTS, Effects, decode, encode
from raydo.actors.epoch import Lease
from raydo.actors.failure import full, is_full
from raydo.actors.idset import IdSet
from raydo.actors.log import Log
from raydo.actors.rollups import Rollups
from raydo.actors.schema import open_database
from raydo.actors.tail import Tail
from raydo.pipelining.errors import StorageFull
from raydo.pipelining.limits import (
    CHECKPOINT_BYTES,
    RECORD_BYTES_MAX,
    SESSIONS_PER_TIDY,
)

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.actors.damage import Damage
    from raydo.actors.database import Database
    from raydo.actors.idrun import Merge
    from raydo.actors.process import Processes
    from raydo.pipelining.noun import Noun

DATABASE_FILE: Final = "tenant.db"

T = TypeVar("T")


class Storage:
    """Save turns, drain them, let go."""

    def __init__(
        self, disk: Disk, folder: Path, database: Database, held: tuple[Lease, Log] | None
    ) -> None:
        self.database = database
        self.rollups = Rollups(database)
        self.ids = IdSet(database, disk, folder)
        self.ground = Ground(database, self.rollups, self.ids)
        self._disk = disk
        self._lease = held[0] if held else None
        self._log = held[1] if held else None
        self._tail = Tail()
        self._changed = False  # whether the open transaction has more in it than the object's SQL
        self._drained_seq, self.last_seq = watermarks(database)
        if self._log is not None:
            self.last_seq = max(self.last_seq, self._log.last_seq)
        self._since_tidy = SESSIONS_PER_TIDY
        self._merge: Merge | None = None
        self._wrote = False  # whether this epoch has saved anything

    @classmethod
    def in_memory(cls, disk: Disk, folder: Path) -> Self:
        """Hold what a tenant who does not exist yet would; no file is made."""
        return cls(disk, folder, open_database(None), None)

    @classmethod
    def open(
        cls,
        disk: Disk,
        folder: Path,
        noun: Noun,
        *,
        host: bool,
        processes: Processes | None,
        random: Callable[[int], bytes],
    ) -> Self:
        """Take the tenant in `folder`; what its log has that its database hasn't is drained.

        Raises:
            DataInUse: another process has it.
            DataUnreadable: a file is not ours, or of a later version, or ends too early.
            ActivationBroken, StorageFull: the disk failed.
        """
        lease = Lease.take(disk, folder, host=host, processes=processes)
        database: Database | None = None
        try:
            database = open_database(folder / DATABASE_FILE)
            if database.wal_bytes():
                # After a kill or a failed sync it may hold commits that no disk has yet.
                database.checkpoint()
            log = Log.open(
                disk,
                folder,
                noun=noun,
                epoch=lease.epoch,
                drained_seq=watermarks(database)[0],
                check=lease.check,
                random=random,
            )
            storage = cls(disk, folder, database, (lease, log))
            storage._recover()
        except BaseException:
            if database is not None:
                database.close()
            lease.release()
            raise
        return storage

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What the log has lost and nobody has accepted yet."""
        return () if self._log is None else self._log.recovery.damage

    # The turn

    def begin(self) -> None:
        """Open the transaction, with everything in it that was acknowledged."""
        if self.database.in_transaction:
            return
        with self._rolling_back():
            self.database.begin()
            if self._tail:
                self._disk.step("storage.fill")
                self._changed = True
                write(self.ground, self._tail.turns)

    def touch(self) -> None:
        """Say that the open transaction holds something to keep, though no effect."""
        self._changed = True

    def save(self, effects: Effects) -> None:
        """Put a turn's effects on disk, with what is in the open transaction.

        Raises:
            StorageFull: nothing of it is on disk, and the transaction is rolled back.
            ActivationBroken, sqlite3.Error: throw this away.
        """
        self._wrote = True
        if not self.database.in_transaction and self._log is not None:
            payload = encode(effects)
            if len(payload) <= RECORD_BYTES_MAX:
                self._append(self._log, effects, payload)
                return
        with self._rolling_back():
            self.begin()
            self._changed = True
            write(self.ground, [effects])
            self._since_tidy += len(effects.sessions)
            if self._log is not None:
                self._log.claim()
            self._commit(effects.seq)

    def end_read(self, *, strict: bool = False) -> None:
        """End the transaction of a turn without effects; keep what it drained, if there is room.

        Raises:
            StorageFull: there is none, and `strict`.
        """
        if self._lease is not None:
            self._lease.check()  # nor may a reader hear of what has been since a takeover
        if not self._changed or self._lease is None:
            self.rollback()
            return
        try:
            with self._rolling_back():
                self._commit(self.last_seq)
        except StorageFull:
            if strict:
                raise

    def rollback(self) -> None:
        """End the transaction as if it had not been."""
        self.database.rollback()  # SQLite may have done it by itself, on a full disk
        if self._changed:
            self.ids.rolled_back()
        self._changed = False

    def apart(self, work: Callable[[], T]) -> T:
        """Do work of raydo's own in a transaction of its own, between two turns.

        Raises:
            StorageFull: nothing of it is on disk.
            ActivationBroken, sqlite3.Error: throw this away.
        """
        with self._rolling_back():
            self.begin()
            result = work()
            if self._log is not None:
                self._log.claim()
            self._commit(self.last_seq)
        return result

    # The drain

    @property
    def drain_due(self) -> bool:
        """Whether the tail has grown so long that the next turns should wait for a drain."""
        return self._tail.due

    @property
    def drained(self) -> bool:
        """Whether the database has everything."""
        return not self._tail

    def drain(self) -> None:
        """Move the tail into the database; checkpoint it when its own log has grown.

        Raises:
            StorageFull: there is no room now; nothing is lost.
            ActivationBroken, sqlite3.Error: throw this away.
        """
        if self._tail:
            with self._rolling_back():
                self.begin()
                if self._merge is not None and self._merge.output is not None:
                    self.ids.adopt(self._merge)
                    self._merge = None
                self._commit(self.last_seq)
        if self.database.wal_bytes() >= CHECKPOINT_BYTES:
            with self._rolling_back():
                self._checkpoint()

    def merge_due(self) -> Merge | None:
        """Return a merge of files of ids, to be run anywhere; a later drain adopts it."""
        if self._merge is None:
            self._merge = self.ids.merge_due()
            return self._merge
        return None

    def close(self) -> None:
        """Drain, checkpoint, and let go: the tenant is its folder, and its log is empty.

        Raises:
            StorageFull, ActivationBroken, sqlite3.Error: not all is drained; nothing is lost.
        """
        try:
            if self._log is not None:
                self.rollback()
                self._end_epoch()
                with self._rolling_back():
                    self._checkpoint()
            self._disk.step("storage.close.before_release")
        finally:
            self.abandon()

    def _end_epoch(self) -> None:
        """Drain, and let nothing count that comes from this epoch or an earlier one later on."""
        if not self._wrote:
            self.drain()
            return
        assert self._lease is not None
        with self._rolling_back():
            self.begin()
            self.database.run("UPDATE _raydo_log SET closed_epoch = ?", (self._lease.epoch,))
            self._commit(self.last_seq)

    def abandon(self) -> None:
        """Let go of everything as it is, as the end of the process would."""
        with suppress(sqlite3.Error):
            self.database.close()
        self.release()

    def release(self) -> None:
        """Let go of the log and the lease, but not of the database."""
        if self._log is not None:
            self._log.close()
        if self._lease is not None:
            self._lease.release()

    def _recover(self) -> None:
        assert self._log is not None
        self.ids.load()
        [(closed_epoch,)] = self.database.run("SELECT closed_epoch FROM _raydo_log")
        for record in self._log.records(after_seq=self._drained_seq):
            if record.epoch <= closed_epoch:
                continue
            effects = decode(record.payload, record.kind)
            self.ids.fresh(effects.seen, effects.day)
            self._hold(effects, len(record.payload))
        if self._tail:
            with self._rolling_back():
                self.begin()
                self._commit(self.last_seq)

    def _append(self, log: Log, effects: Effects, payload: bytes) -> None:
        try:
            log.append(EFFECTS, effects.seq, payload)
            log.sync()
        except StorageFull:
            log.give_up()
            raise
        self._disk.step("storage.log.after_sync")
        self.last_seq = effects.seq
        self._hold(effects, len(payload))

    def _hold(self, effects: Effects, size: int) -> None:
        self._tail.add(effects, size)
        self._since_tidy += len(effects.sessions)

    def _commit(self, last_seq: int) -> None:
        if self._since_tidy >= SESSIONS_PER_TIDY:
            forget_sessions(self.database)
            self._since_tidy = 0
        drained_seq = self._tail.turns[-1].seq if self._tail else self._drained_seq
        self.database.run(
            "UPDATE _raydo_log SET drained_seq = ?, last_seq = ?", (drained_seq, last_seq)
        )
        if self._lease is not None:
            self._lease.check()
        self._disk.step("storage.commit.before")
        self.database.commit()
        self._disk.step("storage.commit.after")
        self.ids.committed()
        self._tail.clear()
        self._drained_seq, self.last_seq = drained_seq, last_seq
        self._changed = False

    def _checkpoint(self) -> None:
        assert self._log is not None
        self._disk.step("storage.checkpoint.before")
        if not self.database.checkpoint():
            return  # somebody reads; the next time will do
        self._disk.step("storage.checkpoint.after")
        self._log.forget(self._drained_seq)
        self.ids.checkpointed()

    @contextmanager
    def _rolling_back(self) -> Iterator[None]:
        """Roll the transaction back when what happens inside raises, and name a full disk."""
        try:
            yield
        except BaseException as error:
            with suppress(sqlite3.Error):
                self.rollback()
            if is_full(error):
                raise full(error) from error
            raise


def watermarks(database: Database) -> tuple[int, int]:
    """Return `drained_seq`, the last record of the log that is here, and the last seq given out."""
    row: tuple[int, int] = database.run("SELECT drained_seq, last_seq FROM _raydo_log")[0]
    return row
