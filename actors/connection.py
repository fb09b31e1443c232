"""A SQLite connection whose transaction belongs to the turn that it works for.

An object, and sqlite-utils over `self.db`, use it as they would any other. They see one difference:
the transaction is not theirs. Their first statement in a call opens the turn's transaction and the
call's savepoint; their commit changes nothing, since the call's return is the commit; their
rollback takes back what the call wrote.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal, Protocol, Self

from raydo.actors.guard import Guard
from raydo.pipelining.errors import QueryForbidden

_TRANSACTION_VERBS: Final = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK"})


class Turn(Protocol):
    """What the connection tells the turn that it works for."""

    def before_statement(self, _sql: str = "", /) -> None:
        """Open the transaction and the call's savepoint, before the object's next statement."""
        ...

    def take_back(self) -> None:
        """Undo what the present call wrote so far; the call goes on."""
        ...


class Cursor(sqlite3.Cursor):
    """What an object's statements run on."""

    connection: Connection

    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        verb = transaction_verb(sql)
        if verb is not None:
            self.connection.end(verb)
            return self
        self.connection.turn.before_statement(sql)
        with self.connection.guard.explained():
            super().execute(sql, parameters)
        return self

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor:
        self.connection.turn.before_statement(sql)
        with self.connection.guard.explained():
            super().executemany(sql, parameters)
        return self

    def executescript(self, sql: str, /) -> Cursor:
        # The original begins with a COMMIT, which would end the turn's transaction.
        for statement in _statements(sql):
            self.execute(statement)
        return self


class Connection(sqlite3.Connection):
    """A connection whose transaction belongs to the turn."""

    guard: Guard
    turn: Turn

    def cursor(self, factory: Any = None) -> Any:
        return super().cursor(factory or Cursor)

    def own_cursor(self) -> sqlite3.Cursor:
        """Return a cursor that goes past the turn, for raydo's own statements."""
        return super().cursor(sqlite3.Cursor)

    # sqlite3's own three make a plain cursor, whatever `cursor` says.
    def execute(self, sql: str, parameters: Any = (), /) -> Cursor:
        return Cursor(self).execute(sql, parameters)

    def executemany(self, sql: str, parameters: Iterable[Any], /) -> Cursor:
        return Cursor(self).executemany(sql, parameters)

    def executescript(self, sql: str, /) -> Cursor:
        return Cursor(self).executescript(sql)

    def commit(self) -> None:
        self.end("COMMIT")

    def rollback(self) -> None:
        self.end("ROLLBACK")

    def end(self, verb: str) -> None:
        """Do what `verb` means inside a call: only a rollback changes something."""
        if verb == "ROLLBACK":
            self.turn.take_back()
        elif verb == "BEGIN":
            self.turn.before_statement()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> Literal[False]:
        self.end("COMMIT" if kind is None else "ROLLBACK")
        return False


class Outside:
    """The turn of a connection that is in none: nothing may run."""

    def before_statement(self, _sql: str = "", /) -> None:
        raise QueryForbidden(
            "self.sql and self.db work inside a call only, on the thread that runs it."
        )

    def take_back(self) -> None:
        self.before_statement()


def transaction_verb(sql: str) -> str | None:
    """Return BEGIN, COMMIT, END or ROLLBACK when that is all that `sql` says."""
    words = sql.strip().rstrip(";").upper().split(None, 3) if len(sql) < 64 else []
    if not words or words[0] not in _TRANSACTION_VERBS or "TO" in words:
        return None
    return words[0]


def _statements(script: str) -> Iterator[str]:
    """Split a script at the semicolons that end a statement."""
    statement = ""
    for part in script.split(";"):
        statement += part + ";"
        if sqlite3.complete_statement(statement):
            if statement.strip(" \t\r\n;"):
                yield statement
            statement = ""
    if statement.strip(" \t\r\n;"):
        yield statement
