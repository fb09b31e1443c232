"""What a crash leaves of a SQLite database whose connection is ours to watch.

SQLite itself is trusted to survive a crash; what is tried here is raydo's use of it. The end of a
process leaves both files as the kernel has them. A power cut leaves the write-ahead log as far as
SQLite has synced it, and of the rest what chance says: with `synchronous` FULL each commit syncs
it, with less none does, and the connection is asked what it is. A checkpoint syncs both files.

The files are copied at the moment of the crash, before anything can close the connection and tidy
up, and the copies are put back once all its connections are closed.
"""

from __future__ import annotations

import sqlite3
from contextlib import suppress
from pathlib import Path
from random import Random
from struct import Struct
from typing import Any, ClassVar, NamedTuple

from sim.disk import SimDisk
from sim.disk_file import SECTOR

from raydo.actors.connection import Connection

COMMIT_STEP = "sqlite.commit"  # a crash in the middle of it
FULL = 2
_HEADER = Struct(">4I8s8x")
_FRAME = Struct(">II8s8x")


class _Wal(NamedTuple):
    """How far the write-ahead log is committed, and since which reset."""

    salt: bytes = b""
    end: int = 0


class Watched(Connection):
    """A connection that tells what it commits."""

    files: ClassVar[SqliteFiles]

    def __init__(self, database: str | Path, **settings: Any) -> None:
        super().__init__(database, **settings)
        self.on_disk = database != ":memory:"
        self.files.connections.append(self)

    def own_cursor(self) -> sqlite3.Cursor:
        return _Own(self) if self.on_disk else super().own_cursor()

    def ask(self, pragma: str) -> Any:
        """Run a pragma past the guard."""
        trusted, self.guard.trusted = self.guard.trusted, True
        try:
            return sqlite3.Cursor(self).execute(f"PRAGMA {pragma}").fetchone()[0]
        finally:
            self.guard.trusted = trusted


class _Own(sqlite3.Cursor):
    connection: Watched

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        if sql.startswith("COMMIT"):
            return self.connection.files.commit(self, sql)
        return super().execute(sql, parameters)

    def run(self, sql: str) -> Any:
        return super().execute(sql)


class SqliteFiles:
    """The database and its write-ahead log, at one path for good."""

    def __init__(self, path: Path, disk: SimDisk, random: Random) -> None:
        self.connections: list[Watched] = []
        self.fail_commit: int | None = None  # the code with which commits fail
        self._path = path
        self._wal_path = path.with_name(path.name + "-wal")
        self._disk = disk
        self._random = random
        self._known = _Wal()
        self._synced = _Wal()
        self._hole: _Wal | None = None  # where bytes begin that a failed sync left off the disk
        self._copy: tuple[bytes | None, bytes] = (None, b"")
        self._before: bytes | None = None  # the write-ahead log when a commit began that crashed

    def commit(self, cursor: _Own, sql: str) -> Any:
        """Commit, or crash in the middle of it."""
        dying = self._disk.crash_at == (COMMIT_STEP, 1)
        if dying:
            self._observe()
            self._before = _read(self._wal_path) or b""
        else:
            self._disk.step(COMMIT_STEP)
        if self.fail_commit == sqlite3.SQLITE_FULL:
            raise _error("database or disk is full", sqlite3.SQLITE_FULL)
        cursor.run(sql)
        if dying:
            self._disk.step(COMMIT_STEP)
        if self.fail_commit is not None:  # its sync fails: nobody knows what it has done
            before, found = self._known, self._scan()
            start = before.end if before.salt == found.salt else 0
            self._hole = self._hole or _Wal(found.salt, start)
            self._observe()
            raise _error("disk I/O error", self.fail_commit)
        self._observe()
        return cursor

    def open(self) -> list[Watched]:
        """List the connections to the file that are open."""
        return [each for each in self.connections if each.on_disk and _is_open(each)]

    def limit_pages(self, more: int | None) -> None:
        """Let the database grow by so many pages at most; None ends it."""
        for connection in self.open():
            pages = connection.ask("page_count") + more if more is not None else 1 << 30
            connection.ask(f"max_page_count={pages}")

    def in_transaction(self) -> bool:
        return any(connection.in_transaction for connection in self.open())

    # The crash

    def copy(self) -> None:
        """Take what the kernel has: to be called when the process dies."""
        if self._before is None:
            self._observe()
        self._copy = (_read(self._path), _read(self._wal_path) or b"")

    def close(self) -> None:
        """Close whatever is open, as nothing but the end of a process does."""
        for connection in self.connections:
            with suppress(sqlite3.Error):
                sqlite3.Connection.close(connection)
        self.connections.clear()

    def put_back(self, *, power: bool) -> None:
        """Put the copies where they were, or what a power cut leaves of them."""
        database, wal = self._copy
        before, self._before = self._before, None
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        if database is not None:
            synced = self._synced.end if wal[16:24] == self._synced.salt else 0
            if power:
                wal = self._torn(wal, before or b"", synced)
            elif before is not None and self._random.random() < 0.3:
                cut = self._random.randrange(len(wal) + 1)
                wal = wal[:cut] + before[cut:]
            self._path.write_bytes(database)
            if wal:
                self._wal_path.write_bytes(wal)
        self._known = _Wal()
        self._known = self._scan()
        if power:  # else what a killed process wrote may still be in the kernel's memory only
            self._synced, self._hole = self._known, None

    def vanish(self) -> None:
        """Lose everything with the folder that it was in."""
        self._copy, self._before = (None, b""), None

    def _torn(self, wal: bytes, before: bytes, synced: int) -> bytes:
        fate = self._random.choice(("all", "none", "mixed", "mixed"))
        if fate == "all":
            return wal
        torn = bytearray(wal[:synced])
        for start in range(synced, len(wal), SECTOR):
            end = min(start + SECTOR, len(wal))
            choice = self._random.choice(("new", "old", "torn")) if fate == "mixed" else "old"
            cut = {"new": end, "old": start, "torn": self._random.randrange(start, end + 1)}[choice]
            torn += wal[start:cut] + before[cut:end].ljust(end - cut, b"\0")
        if not before and self._random.random() < 0.5:
            del torn[self._random.randrange(synced, len(torn) + 1) :]
        return bytes(torn)

    # What is committed and synced

    def _observe(self) -> None:
        found = self._scan()
        if found == self._known:
            return
        self._known = found
        if self._hole is not None and self._hole.salt != found.salt:
            self._hole = None  # a checkpoint has moved all of it
        if all(connection.ask("synchronous") >= FULL for connection in self.open()):
            self._synced = self._hole or found

    def _scan(self) -> _Wal:
        try:
            with self._wal_path.open("rb") as file:
                header = file.read(_HEADER.size)
                if len(header) < _HEADER.size:
                    return _Wal()
                _, _, page_bytes, _, salt = _HEADER.unpack(header)
                end = at = self._known.end if self._known.salt == salt else _HEADER.size
                while True:
                    file.seek(at)
                    frame = file.read(_FRAME.size)
                    if len(frame) < _FRAME.size:
                        return _Wal(salt, end)
                    _, pages, frame_salt = _FRAME.unpack(frame)
                    if frame_salt != salt:
                        return _Wal(salt, end)
                    at += _FRAME.size + page_bytes
                    end = at if pages else end
        except FileNotFoundError:
            return _Wal()


def _error(text: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


def _is_open(connection: sqlite3.Connection) -> bool:
    try:
        return connection.total_changes >= 0
    except sqlite3.ProgrammingError:
        return False


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
