"""The one connection that writes a tenant's database, inside the transaction that its turn owns.

The object's statements come by `sql` and `utils`, and are its call's; raydo's own come by `run` and
`run_many`, past the guard and past the call. SQLite syncs the write-ahead log at each commit (`synchronous=FULL`), so what is committed here
survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.connection import Connection, Outside, Turn
from raydo.actors.guard import CALL_SAVEPOINT, Guard
from raydo.pipelining.errors import QueryError, QueryForbidden

if TYPE_CHECKING:
    from sqlite_utils import Database as Utils

WAL_KEPT_BYTES: Final = 16 * 1024 * 1024  # a write-ahead log that once grew is cut back to this
STATEMENTS_KEPT: Final = 256
BUSY_S: Final = 1.0  # how long a turn waits for a foreign reader or writer of its file

# sqlite3 keeps prepared statements by their text, and a kept one is not shown to the authorizer
# again. With this mark an object's COMMIT can never be the one that raydo prepared.
_OWN: Final = " -- raydo"


class Rows(list[dict[str, Any]]):
    """The rows of one statement, each a dict."""

    def first(self) -> dict[str, Any] | None:
        """Return the first row, or None when there is none."""
        return self[0] if self else None

    def one(self) -> dict[str, Any]:
        """Return the only row.

        Raises:
            QueryError: there are none, or several.
        """
        if len(self) != 1:
            raise QueryError(f"one() expects exactly one row; there are {len(self)}.")
        return self[0]


class Database:
    """Hold the writing connection of one tenant; `path` None is a database in memory."""

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.guard = Guard()
        self._connection = sqlite3.connect(
            ":memory:" if path is None else path,
            isolation_level=None,
            check_same_thread=False,
            timeout=BUSY_S,
            cached_statements=STATEMENTS_KEPT,
            factory=Connection,
        )
        self._connection.guard = self.guard
        self._connection.turn = Outside()
        self._own = self._connection.own_cursor()
        self._own_changes = 0
        self._stamp = (0, 0)
        self._utils: Utils | None = None
        self.watch()
        self.writes = 0  # calls that changed something by SQL of their own
        for pragma in _PRAGMAS:
            self.run(pragma)

    def watch(self) -> None:
        """Ask the guard before each statement that is not raydo's own."""
        self._connection.set_authorizer(self.guard)

    def serve(self, turn: Turn) -> None:
        """Let the object's statements run as part of `turn`."""
        self._connection.turn = turn

    # What the object uses

    def sql(self, query: str, *params: Any) -> Rows:
        """Run one statement of the object, with `?` for each of `params` or one mapping by name.

        Raises:
            QueryForbidden: it would end the transaction or touch what is raydo's own.
            sqlite3.Error: SQLite refuses it.
        """
        verb = query.lstrip()[:9].partition(" ")[0].rstrip(";").upper()
        if verb in _TRANSACTION_WORDS:
            raise QueryForbidden(f"Each call is one transaction already: {verb} is not for sql().")
        cursor = self._connection.cursor()
        named = len(params) == 1 and isinstance(params[0], Mapping)
        cursor.execute(query, params[0] if named else params)
        if cursor.description is None:
            return Rows()
        names = [column[0] for column in cursor.description]
        return Rows(dict(zip(names, row, strict=True)) for row in cursor)

    @property
    def utils(self) -> Utils:
        """The same connection as a `sqlite_utils.Database`."""
        if self._utils is None:
            from sqlite_utils import Database as Utils

            self._utils = Utils(self._connection, execute_plugins=False)
        return self._utils

    # What raydo uses

    def run(self, sql: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run one statement of raydo's own."""
        with self._trusted():
            return self._own.execute(sql + _OWN, params).fetchall()

    def run_many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        """Run one statement of raydo's own for each row, inside the transaction."""
        self.begin()
        with self._trusted():
            self._own.executemany(sql + _OWN, rows)

    @contextmanager
    def lent(self) -> Iterator[Connection]:
        """Lend the connection to a reader that brings an authorizer of its own."""
        self._connection.set_authorizer(None)
        try:
            yield self._connection
        finally:
            self.watch()

    @property
    def connection(self) -> Connection:
        """The connection itself, to define functions on."""
        return self._connection

    @property
    def in_transaction(self) -> bool:
        return self._connection.in_transaction

    def begin(self) -> None:
        """Open the turn's transaction unless it is open."""
        if not self._connection.in_transaction:
            self.run("BEGIN")

    def commit(self) -> None:
        """Commit the turn's transaction and sync it to disk."""
        if self._connection.in_transaction:
            self.run("COMMIT")

    def rollback(self) -> None:
        """End the turn's transaction as if it had not been."""
        if self._connection.in_transaction:
            self.run("ROLLBACK")

    def savepoint(self) -> None:
        """Mark where the present call begins."""
        self.begin()
        self.run(f"SAVEPOINT {CALL_SAVEPOINT}")
        self._stamp = self._changes()

    def keep(self) -> None:
        """End the present call: what it wrote belongs to the turn's transaction."""
        self.run(f"RELEASE {CALL_SAVEPOINT}")
        if self.wrote():
            self.writes += 1

    def note_write(self) -> None:
        """Count the present call among those that wrote, for what raydo wrote for it."""
        self.writes += 1

    def wrote(self) -> bool:
        """Tell whether the present call has changed something by SQL."""
        return self._changes() != self._stamp

    def take_back(self) -> None:
        """Undo what the present call wrote, and stay in it."""
        self.run(f"ROLLBACK TO {CALL_SAVEPOINT}")
        self._own_changes = self._connection.total_changes - self._stamp[0]

    def checkpoint(self) -> bool:
        """Move SQLite's write-ahead log into the file and empty it; False when a reader is in it."""
        blocked: int = self.run("PRAGMA wal_checkpoint(TRUNCATE)")[0][0]
        return not blocked

    def wal_bytes(self) -> int:
        """Return how long SQLite's write-ahead log is."""
        if self.path is None:
            return 0
        with suppress(FileNotFoundError):
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        return 0

    def close(self) -> None:
        """Close without committing."""
        # A cursor that is still referred to keeps a closed connection's transaction, and its lock.
        with suppress(sqlite3.Error):
            self.rollback()
        self._connection.close()

    @contextmanager
    def _trusted(self) -> Iterator[None]:
        self.guard.trusted = True
        before = self._connection.total_changes
        try:
            yield
        finally:
            self.guard.trusted = False
            self._own_changes += self._connection.total_changes - before

    def _changes(self) -> tuple[int, int]:
        """Count the rows that the object changed, and the schema's version."""
        schema: int = self.run("PRAGMA schema_version")[0][0]
        return self._connection.total_changes - self._own_changes, schema


_PRAGMAS: Final = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    f"PRAGMA journal_size_limit={WAL_KEPT_BYTES}",
    "PRAGMA wal_autocheckpoint=0",  # `Storage` decides when, since it has files to delete then
    "PRAGMA foreign_keys=ON",
)
_TRANSACTION_WORDS: Final = frozenset(
    {"BEGIN", "COMMIT", "END", "RELEASE", "ROLLBACK", "SAVEPOINT"}
)
