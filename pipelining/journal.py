"""Casts on this machine's disk from the moment they are made until their object has answered.

`connect(outbox=PATH)` keeps one SQLite file. A cast is a row of it before `track()` returns. When a
frame is made of casts, it takes their place, with its session and number, before it is sent; it goes
when it is answered. What a killed process leaves is sent by the next one: a frame again under its
old number, so that an object which had applied it does not do so again, and the rest as new.

    casts    not in a frame yet, in their order          frames    sent, perhaps applied
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections import defaultdict, deque
from pathlib import Path
from typing import Any, Final

from raydo.pipelining.errors import DataInUse, OutboxFull
from raydo.pipelining.kept import KeptCast, KeptFrame
from raydo.pipelining.noun import Noun

logger: Final = logging.getLogger("raydo")
_TABLES: Final = """
    CREATE TABLE IF NOT EXISTS casts (
        id INTEGER PRIMARY KEY AUTOINCREMENT, cls TEXT, tenant TEXT, name TEXT, op BLOB);
    CREATE TABLE IF NOT EXISTS frames (
        id INTEGER PRIMARY KEY AUTOINCREMENT, cls TEXT, tenant TEXT, session BLOB, n INTEGER,
        program BLOB, casts INTEGER, bytes INTEGER, UNIQUE (session, n));
"""


class Journal:
    """Keep casts in a file; whoever calls holds the outbox's lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=0.0
        )
        try:
            self._run("PRAGMA locking_mode = EXCLUSIVE")
            self._run("PRAGMA journal_mode = WAL")
            self._run("PRAGMA synchronous = FULL")
            self._database.executescript(_TABLES)
        except sqlite3.DatabaseError as error:
            self._database.close()
            if isinstance(error, sqlite3.OperationalError):
                raise DataInUse(
                    f"The outbox {path} is in use by another connection ({error}); give each its own."
                ) from None
            raise DataInUse(f"{path} is no outbox: {error}.") from None
        self._waiting: defaultdict[Noun, deque[int]] = defaultdict(deque)  # ids, in order

    def close(self) -> None:
        self._database.close()

    # What an earlier process left

    def frames(self) -> list[KeptFrame]:
        """List the frames that have not been answered, in their order."""
        rows = self._run(
            "SELECT cls, tenant, session, n, program, casts, bytes FROM frames ORDER BY id"
        )
        return [KeptFrame(Noun(cls, tenant), *rest) for cls, tenant, *rest in rows]

    def casts(self) -> list[KeptCast]:
        """List the casts that were in no frame, in their order."""
        rows = self._run("SELECT id, cls, tenant, name, op FROM casts ORDER BY id")
        return [KeptCast(id_, Noun(cls, tenant), name, op) for id_, cls, tenant, name, op in rows]

    def queued_again(self, kept: KeptCast) -> None:
        """Take note that a kept cast is in its object's queue once more."""
        self._waiting[kept.noun].append(kept.id)

    # What this one does

    def add(self, noun: Noun, name: str, op: bytes) -> None:
        """Write a cast down, before it is queued.

        Raises:
            OutboxFull: the disk does not take it.
        """
        try:
            cursor = self._database.execute(
                "INSERT INTO casts (cls, tenant, name, op) VALUES (?, ?, ?, ?)", (*noun, name, op)
            )
        except sqlite3.Error as error:
            raise OutboxFull(f"The outbox {self.path} cannot be written: {error}.") from error
        assert cursor.lastrowid is not None
        self._waiting[noun].append(cursor.lastrowid)

    def frame(self, frame: KeptFrame, written: int) -> None:
        """Put a frame in the place of the first `written` casts, before it is sent.

        Raises:
            OutboxFull: the disk does not take it; the casts stay for the next process.
        """
        try:
            self._frame(frame, written)
        except sqlite3.Error as error:
            raise OutboxFull(f"The outbox {self.path} cannot be written: {error}.") from error

    def _frame(self, frame: KeptFrame, written: int) -> None:
        waiting = self._waiting[frame.noun]
        ids = [waiting.popleft() for _ in range(written)]
        with self._transaction():
            self._run(
                "INSERT INTO frames (cls, tenant, session, n, program, casts, bytes)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*frame.noun, *frame[1:]),
            )
            self._database.executemany("DELETE FROM casts WHERE id = ?", [(id_,) for id_ in ids])
        if not waiting:
            del self._waiting[frame.noun]

    def answered(self, session: bytes, n: int) -> None:
        """Forget a frame: its casts are durable at their object, or were refused."""
        try:
            self._run("DELETE FROM frames WHERE session = ? AND n = ?", (session, n))
        except sqlite3.Error as error:  # it is sent again, and applied no second time
            logger.warning("The outbox %s cannot be written: %s", self.path, error)

    def _transaction(self) -> sqlite3.Connection:
        self._run("BEGIN IMMEDIATE")
        return self._database  # a context that commits, or rolls back

    def _run(self, sql: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        return self._database.execute(sql, parameters).fetchall()
