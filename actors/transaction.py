"""The one transaction that an activation has at a time, and what must be in it.

It begins with everything that was acknowledged and is not in the database yet, so whoever reads by
SQL sees it, and the database never has a later turn without an earlier one. It ends with the
watermarks that it covers, and only while the lease is still ours.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from raydo.actors.drain import Ground, forget_sessions, write
from raydo.actors.failure import full, is_full
from raydo.actors.idset import IdSet
from raydo.actors.ledger import Ledger
from raydo.actors.rollups import Rollups
from raydo.actors.tail import Tail
from raydo.pipelining.errors import StorageFull
from raydo.pipelining.limits import SESSIONS_PER_TIDY

if TYPE_CHECKING:
    from pathlib import Path

    from raydo.actors.database import Database
    from raydo.actors.disk import Disk
    from raydo.actors.effects import Effects
    from raydo.actors.epoch import Lease


class Transaction:
    """Begin with the tail, write turns, commit with the watermarks or roll back."""

    def __init__(self, disk: Disk, folder: Path, database: Database, lease: Lease | None) -> None:
        self.database = database
        self.rollups = Rollups(database)
        self.ids = IdSet(database, disk, folder)
        self.ground = Ground(database, self.rollups, self.ids)
        self.tail = Tail()
        self.ledger = Ledger(database)
        self.drained_seq, self.last_seq = watermarks(database)
        self._disk = disk
        self._lease = lease
        self._changed = False  # whether there is more in it than the object's SQL
        self._since_tidy = SESSIONS_PER_TIDY

    def begin(self) -> None:
        """Open it, with everything in it that was acknowledged."""
        if self.database.in_transaction:
            return
        with self.rolling_back():
            self.database.begin()
            if self.tail:
                self._disk.step("storage.fill")
                self._changed = True
                write(self.ground, self.tail.turns)

    def touch(self) -> None:
        """Say that it holds something to keep, though no effect."""
        self._changed = True

    def write(self, turns: Sequence[Effects]) -> None:
        """Write the effects of turns that are not in the log."""
        self._changed = True
        write(self.ground, turns)
        self._since_tidy += sum(len(effects.sessions) for effects in turns)

    def hold(self, effects: Effects, size: int) -> None:
        """Keep a turn that the log has, in a record of `size` bytes, for the next one."""
        self.tail.add(effects, size)
        self._since_tidy += len(effects.sessions)

    def end_read(self, *, strict: bool = False) -> None:
        """End it for a turn without effects; keep what it drained, if there is room.

        Raises:
            StorageFull: there is none, and `strict`.
        """
        if self._lease is not None:
            self._lease.check()  # nor may a reader hear of what has been since a takeover
        if not self._changed or self._lease is None:
            self.rollback()
            return
        try:
            with self.rolling_back():
                self.commit(self.last_seq)
        except StorageFull:
            if strict:
                raise

    def commit(self, last_seq: int) -> None:
        """Commit it, with `last_seq` as the last that was given out."""
        if self._since_tidy >= SESSIONS_PER_TIDY:
            forget_sessions(self.database)
            self._since_tidy = 0
        self.ledger.spend(syncs=1)
        self.ledger.write()
        drained_seq = self.tail.turns[-1].seq if self.tail else self.drained_seq
        self.database.run(
            "UPDATE _raydo_log SET drained_seq = ?, last_seq = ?", (drained_seq, last_seq)
        )
        if self._lease is not None:
            self._lease.check()
        self._disk.step("storage.commit.before")
        self.database.commit()
        self._disk.step("storage.commit.after")
        self.ids.committed()
        self.ledger.committed()
        self.tail.clear()
        self.drained_seq, self.last_seq = drained_seq, last_seq
        self._changed = False

    def rollback(self) -> None:
        """End it as if it had not been."""
        self.database.rollback()  # SQLite may have done it by itself, on a full disk
        if self._changed:
            self.ids.rolled_back()
        self._changed = False

    @contextmanager
    def rolling_back(self) -> Iterator[None]:
        """Roll it back when what happens inside raises, and name a full disk."""
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
