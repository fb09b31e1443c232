"""SQL from outside that can only read, only its tenant, and only so much.

Whoever sends this SQL may be hostile. Five independent guards stand around it: a connection that
was opened read-only and is told to stay so; an authorizer that allows SELECT over public tables
and a list of functions, and nothing else; SQLite's own limits on the size of everything; a
deadline that a progress handler checks; and bounds on the rows and bytes that leave.
"""

from __future__ import annotations

import difflib
import re
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from raydo.actors.gate import FUNCTIONS, Gate
from raydo.actors.guard import VIEWS, hidden
from raydo.actors.result import collect, columns, distinct
from raydo.actors.schema import VIEW_COLUMNS, use_calendar
from raydo.actors.schema import VIEWS as VIEW_STATEMENTS
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import InvalidArgument, QueryError, QueryForbidden, QueryLimit
from raydo.pipelining.limits import (
    QUERY_ROWS_MAX,
    QUERY_S_MAX,
    QUERY_SQL_BYTES_MAX,
)

Stopwatch = Callable[[], float]

STEPS_PER_CHECK: Final = 1_000  # virtual machine steps between two looks at the deadline: < 0.1 ms

# Durable Objects' own bounds, except where a comment says otherwise.
_LIMITS: Final = {
    sqlite3.SQLITE_LIMIT_LENGTH: 4 * 1024 * 1024,
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: QUERY_SQL_BYTES_MAX,
    sqlite3.SQLITE_LIMIT_COLUMN: 100,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 100,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 5,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 127,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 100,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 10,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}
_TOO_MUCH: Final = re.compile(
    r"too (big|large|many|complex|long)|maximum depth|overflow", re.IGNORECASE
)
_UNKNOWN: Final = re.compile(r"no such (column|table|function): (?:.*\.)?\"?([^\s\"]+)")


def query(
    path: Path,
    calendar: Calendar,
    sql: str,
    params: object = None,
    *,
    limit: int | None = None,
    seconds: float = QUERY_S_MAX,
    cpu_s: float | None = None,
    stopwatch: Stopwatch = time.monotonic,
) -> dict[str, Any]:
    """Run one SELECT over a tenant's file, on a connection that cannot write.

    Raises:
        QueryError: it does not run, with SQLite's reason and the names that are near.
        QueryForbidden: it may not run.
        QueryLimit: it is over a limit of time or size.
    """
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=1)
    try:
        connection.isolation_level = None
        connection.execute("PRAGMA trusted_schema=OFF")
        # Two connections that checkpoint at once can corrupt a file before SQLite 3.51.3.
        connection.execute("PRAGMA wal_autocheckpoint=0")
        use_calendar(connection, calendar)
        for statement in VIEW_STATEMENTS:
            connection.execute(statement)
        return read(
            connection, sql, params, limit=limit, seconds=seconds, cpu_s=cpu_s, stopwatch=stopwatch
        )
    finally:
        connection.close()


def read(
    connection: sqlite3.Connection,
    sql: str,
    params: object = None,
    *,
    limit: int | None = None,
    seconds: float = QUERY_S_MAX,
    cpu_s: float | None = None,
    stopwatch: Stopwatch = time.monotonic,
) -> dict[str, Any]:
    """Run one SELECT under every guard but the read-only file; the authorizer is left off."""
    bound = check(sql, params, limit)
    cursor = sqlite3.Cursor(connection)
    tables = _names(cursor, "SELECT name FROM sqlite_schema")
    gate = Gate(tables, _names(cursor, "SELECT name FROM pragma_module_list"))
    watch = _Watch(stopwatch, seconds, cpu_s)
    try:
        with _guarded(connection, cursor, gate, watch):
            cursor.execute(sql, bound)
            if cursor.description is None:
                raise QueryError("There is no statement to run.")
            names = distinct(column[0] for column in cursor.description)
            rows, truncated = collect(cursor, names, limit or QUERY_ROWS_MAX)
    except (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeError) as error:
        raise _explain(error, gate, watch, cursor, tables) from error
    return {
        "columns": columns(names, rows),
        "rows": rows,
        "layer": "L2",
        "layers": ["L2"],
        "truncated": truncated,
        "elapsed_ms": watch.elapsed_ms(),
    }


class _Watch:
    """The deadline; `cpu_s` bounds the work itself, however busy the machine is."""

    def __init__(self, stopwatch: Stopwatch, seconds: float, cpu_s: float | None) -> None:
        self.seconds = seconds
        self._cpu_end_s = None if cpu_s is None else time.thread_time() + cpu_s
        self._stopwatch = stopwatch
        self._start_s = stopwatch()

    def over(self) -> bool:
        if self._cpu_end_s is not None and time.thread_time() > self._cpu_end_s:
            return True
        return self._stopwatch() - self._start_s > self.seconds

    def elapsed_ms(self) -> float:
        return round((self._stopwatch() - self._start_s) * 1000, 3)


@contextmanager
def _guarded(
    connection: sqlite3.Connection, cursor: sqlite3.Cursor, gate: Gate, watch: _Watch
) -> Iterator[None]:
    cursor.execute("PRAGMA query_only=1")
    before = {limit: connection.setlimit(limit, value) for limit, value in _LIMITS.items()}
    connection.set_progress_handler(watch.over, STEPS_PER_CHECK)
    connection.set_authorizer(gate)
    try:
        yield
    finally:
        connection.set_authorizer(None)
        connection.set_progress_handler(None, 0)
        for limit, value in before.items():
            connection.setlimit(limit, value)
        cursor.execute("PRAGMA query_only=0")


def _names(cursor: sqlite3.Cursor, select: str) -> set[str]:
    return {name for (name,) in cursor.execute(select)}


def check(sql: object, params: object, limit: object) -> Any:
    """Refuse what cannot be asked; return what stands for `?` (a list) or `:name` (a mapping).

    Raises:
        QueryError, InvalidArgument: it cannot.
    """
    if not isinstance(sql, str) or not sql.strip():
        raise QueryError("sql is the text of one SELECT.")
    if limit is not None and (not isinstance(limit, int) or not 0 < limit <= QUERY_ROWS_MAX):
        raise InvalidArgument(f"limit is a whole number from 1 to {QUERY_ROWS_MAX}.")
    if params is None:
        return ()
    if isinstance(params, Mapping):
        values: Iterable[object] = params.values()
    elif isinstance(params, Sequence) and not isinstance(params, str | bytes):
        values = params
    else:
        raise InvalidArgument("params is a list for ? or an object for :name.")
    for value in values:
        if not isinstance(value, str | int | float | bytes | None):
            raise InvalidArgument(f"A parameter cannot be a {type(value).__name__}.")
    return params


def _explain(
    error: Exception, gate: Gate, watch: _Watch, cursor: sqlite3.Cursor, tables: set[str]
) -> QueryError | QueryForbidden | QueryLimit:
    message = str(error)
    if gate.refusal is not None:
        return QueryForbidden(gate.refusal)
    if watch.over() and "interrupted" in message:
        return QueryLimit(
            f"The query ran for more than {watch.seconds:g} s.",
            detail={"limit": "time", "max": watch.seconds},
        )
    if "one statement at a time" in message:
        return QueryForbidden("A query is one statement.")
    if isinstance(error, UnicodeError):
        return QueryError("The query holds a lone surrogate.")
    if _TOO_MUCH.search(message) and not isinstance(error, OverflowError):
        return QueryLimit(f"The query is over a limit of size: {message}.")
    unknown = _UNKNOWN.match(message)
    near = _near(unknown[1], unknown[2], cursor, tables) if unknown else []
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    return QueryError(f"{message}.{hint}", detail={"near": near} if near else None)


def _near(kind: str, name: str, cursor: sqlite3.Cursor, tables: set[str]) -> list[str]:
    public = [table for table in tables if not hidden(table)]
    if kind == "function":
        known: Iterable[str] = FUNCTIONS
    elif kind == "table":
        known = [*public, *VIEWS]
    else:
        known = set(VIEW_COLUMNS.split())
        for table in public:
            known |= {name for (name,) in cursor.execute(_COLUMNS, (table,))}
    return difflib.get_close_matches(name, known, n=3)


_COLUMNS: Final = "SELECT name FROM pragma_table_info(?)"
