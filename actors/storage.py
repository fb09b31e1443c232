"""What one activation keeps on disk: its lease, its log, its database, and the order among them.

A turn's effects reach the disk in one of two ways. Either as one record of the log, synced, and
waiting in the tail until a drain writes it; or, when the turn ran SQL of its own, in the one
transaction that holds that SQL (`transaction`).

What must hold, and where:

* only what is synced is in the tail, so a drain never passes `synced_seq`;
* `drained_seq` moves in the transaction that it covers;
* the lease is checked inside each transaction, and `claim` comes before one with effects that are
  not in the log, so that what a frozen predecessor still writes cannot count beside it;
* segments go once SQLite has checkpointed what they held, at the end all of them; what a frozen
  predecessor writes after that is void by `closed_epoch`, since no segment of ours shows it.

A tenant that is not born yet has a database in memory and nothing else.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Self, TypeVar

from raydo.actors.disk import Disk
from raydo.actors.effects import EFFECTS, Effects, decode, encode
from raydo.actors.epoch import Lease
from raydo.actors.log import Log
from raydo.actors.schema import open_database
from raydo.actors.transaction import Transaction, watermarks
from raydo.pipelining.errors import StorageFull, Unavailable
from raydo.pipelining.limits import (
    CHECKPOINT_BYTES,
    RECORD_BYTES_MAX,
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
        self._disk = disk
        self._lease = held[0] if held else None
        self._log = held[1] if held else None
        self.transaction = Transaction(disk, folder, database, self._lease)
        if self._log is not None:
            self.transaction.last_seq = max(self.transaction.last_seq, self._log.last_seq)
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
    def epoch(self) -> int:
        """The number under which this writes; 0 in memory."""
        return 0 if self._lease is None else self._lease.epoch

    @property
    def damage(self) -> tuple[Damage, ...]:
        """What the log has lost and nobody has accepted yet."""
        return () if self._log is None else self._log.recovery.damage

    # The turn

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
        with self.transaction.rolling_back():
            self.transaction.begin()
            self.transaction.write([effects])
            if self._log is not None:
                self._log.claim()
            self.transaction.commit(effects.seq)

    def apart(self, work: Callable[[], T]) -> T:
        """Do work of raydo's own in a transaction of its own, between two turns.

        Raises:
            StorageFull: nothing of it is on disk.
            ActivationBroken, sqlite3.Error: throw this away.
        """
        self._wrote = True
        with self.transaction.rolling_back():
            self.transaction.begin()
            result = work()
            if self._log is not None:
                self._log.claim()
            self.transaction.commit(self.transaction.last_seq)
        return result

    # The drain

    @property
    def drain_due(self) -> bool:
        """Whether the tail has grown so long that the next turns should wait for a drain."""
        return self.transaction.tail.due

    @property
    def drained(self) -> bool:
        """Whether the database has everything."""
        return not self.transaction.tail

    def drain(self) -> None:
        """Move the tail into the database; checkpoint it when its own log has grown.

        Raises:
            StorageFull: there is no room now; nothing is lost.
            ActivationBroken, sqlite3.Error: throw this away.
        """
        transaction = self.transaction
        if transaction.tail:
            with transaction.rolling_back():
                transaction.begin()
                if self._merge is not None and self._merge.output is not None:
                    transaction.ids.adopt(self._merge)
                    self._merge = None
                transaction.commit(transaction.last_seq)
        if self.database.wal_bytes() >= CHECKPOINT_BYTES:
            with transaction.rolling_back():
                self._checkpoint()

    def rewrite(self) -> None:
        """Write the database anew, so that nothing of deleted rows is left; the log must be empty.

        Raises:
            Unavailable: somebody reads, or the log could not be emptied for that reason.
            StorageFull, sqlite3.Error: see `drain`.
        """
        with self.transaction.rolling_back():
            if self._log is not None and any(self._log.records()):
                raise Unavailable("Somebody reads the database; its log cannot be emptied now.")
            self.database.run("VACUUM")
            if not self.database.checkpoint():
                raise Unavailable("Somebody reads the database, so it cannot be written anew now.")

    def merge_due(self) -> Merge | None:
        """Return a merge of files of ids, to be run anywhere; a later drain adopts it."""
        if self._merge is None:
            self._merge = self.transaction.ids.merge_due()
            return self._merge
        return None

    def close(self) -> None:
        """Drain, checkpoint, and let go: the tenant is its folder, and its log is empty.

        Raises:
            StorageFull, ActivationBroken, sqlite3.Error: not all is drained; nothing is lost.
        """
        try:
            if self._log is not None:
                self.transaction.rollback()
                self._end_epoch()
                with self.transaction.rolling_back():
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
        with self.transaction.rolling_back():
            self.transaction.begin()
            self.database.run("UPDATE _raydo_log SET closed_epoch = ?", (self._lease.epoch,))
            self.transaction.commit(self.transaction.last_seq)

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
        transaction = self.transaction
        transaction.ids.load()
        [(closed_epoch,)] = self.database.run("SELECT closed_epoch FROM _raydo_log")
        for record in self._log.records(after_seq=transaction.drained_seq):
            if record.epoch <= closed_epoch:
                continue
            effects = decode(record.payload, record.kind)
            transaction.ids.fresh(effects.seen, effects.day)
            transaction.ledger.now_ms = effects.now_ms
            transaction.ledger.recovered(events=len(effects.events))
            transaction.hold(effects, len(record.payload))
        if transaction.tail:
            with transaction.rolling_back():
                transaction.begin()
                transaction.commit(transaction.last_seq)

    def _append(self, log: Log, effects: Effects, payload: bytes) -> None:
        try:
            log.append(EFFECTS, effects.seq, payload)
            log.sync()
        except StorageFull:
            log.give_up()
            raise
        self.transaction.ledger.spend(log_bytes=len(payload), syncs=1)
        self._disk.step("storage.log.after_sync")
        self.transaction.last_seq = effects.seq
        self.transaction.hold(effects, len(payload))

    def _checkpoint(self) -> None:
        assert self._log is not None
        self._disk.step("storage.checkpoint.before")
        if not self.database.checkpoint():
            return  # somebody reads; the next time will do
        self._disk.step("storage.checkpoint.after")
        self._log.forget(self.transaction.drained_seq)
        self.transaction.ids.checkpointed()
