"""What SQLite thinks of a statement before anybody runs it: which tables and columns it reads.

The statement is prepared under the same authorizer as a query, and runs for no row. So a question
about rollups or about an object's own tables is known as such at once, whatever engine would have
to answer if it were about events.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from raydo.actors.gate import Gate
from raydo.actors.spelling import tokens

_STEPS_MAX: Final = 20_000  # virtual machine steps: what runs for no row takes a few dozen
_LENGTH_MAX: Final = 4 * 1024 * 1024


class Probe(NamedTuple):
    """What a statement reads, and how SQLite names its columns."""

    names: Sequence[str]
    tables: frozenset[str]  # in lower case; a view is named, and what it reads too
    present: frozenset[str]  # tables named directly, that only know what is now


class _Recorder:
    """An authorizer that remembers what another one let pass."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self.read: set[tuple[str, str, str, str]] = set()

    def __call__(
        self,
        action: int,
        first: str | None,
        second: str | None,
        schema: str | None,
        source: str | None,
    ) -> int:
        if action == sqlite3.SQLITE_READ:
            known = (first or "").lower(), (second or "").lower(), schema or ""
            self.read.add((*known, (source or "").lower()))
        return self._gate(action, first, second, schema, source)


def probe(
    connection: sqlite3.Connection, sql: str, params: Any, tables: set[str], modules: set[str]
) -> Probe | None:
    """Look at a statement, or return None when SQLite would not run it."""
    recorder = _Recorder(Gate(tables, modules))
    length = connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LENGTH_MAX)
    connection.set_progress_handler(lambda: 1, _STEPS_MAX)
    connection.set_authorizer(recorder)
    try:
        # The line ends a comment; a semicolon at the end would not be inside brackets.
        cursor = sqlite3.Cursor(connection)  # not one that a turn watches
        cursor.execute(f"SELECT * FROM (\n{_bare(sql)}\n) LIMIT 0", params)  # noqa: S608
        names = [column[0] for column in cursor.description]
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError):
        return None
    finally:
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, length)
    return Probe(
        names,
        frozenset(name for table, _, _, view in recorder.read for name in (table, view) if name),
        frozenset(read[0] for read in recorder.read if _is_direct(*read)) & tables,
    )


def _is_direct(_table: str, column: str, schema: str, view: str) -> bool:
    """Say whether a table was named itself; for a table without columns SQLite tells no schema."""
    return not view and schema == ("main" if column else "")


def explains(sql: str) -> bool:
    """Say whether a statement asks how SQLite would run another."""
    first = next(iter(tokens(sql[:1_000])), None)
    return first is not None and first.text.upper() == "EXPLAIN"


def _bare(sql: str) -> str:
    """Leave out the semicolons at the end."""
    end = len(sql)
    for token in reversed(tokens(sql)):
        if token.text != ";":
            return sql[:end]
        end = token.start
    return sql
