"""The answer to one statement over all of a tenant's history: the archive and SQLite as one table.

`events` is a view over the files of a pinned snapshot and an Arrow table of what SQLite has beside
them. Whoever reads rollups, or the object's own tables, gets them as they are in the same read
transaction.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from raydo.actors import fault, local_time, result
from raydo.actors.functions import DEFINITIONS
from raydo.actors.guard import EVENT_TABLE
from raydo.actors.moments import MOMENT_DEFINITIONS, Scalar
from raydo.actors.pin import File, Pinned, Run, within
from raydo.actors.question import PRESENT, Question
from raydo.actors.recent import COLUMNS, merged_ids, recent_events, table_of
from raydo.actors.sandbox import Sandbox
from raydo.actors.schema import ROLLED_UP
from raydo.actors.span import EVENTS
from raydo.actors.statement import DATE, PERSON, Statement
from raydo.actors.stop import Stop
from raydo.actors.tree import render, walk
from raydo.pipelining.limits import QUERY_ROWS_MAX

_RECENT: Final = "_raydo_recent"
_MERGED: Final = "_raydo_merged"
_SQL_TYPES: Final = {"int64": "BIGINT", "int32": "INTEGER", "string": "VARCHAR"}
_USER: Final = "user_id"
_MOMENTS: Final = ("timestamp", "received_at")
_ROWS_PER_FETCH: Final = 1_000
_YEARS_MS: Final = 366 * 86_400_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# What the tables of rollups are at a moment of the past: computed, from the events of then.
_ROLLUPS_THEN: Final = {
    "daily_metrics": """CREATE VIEW daily_metrics AS
        SELECT date, count(DISTINCT person_id) AS dau, count(*) AS events FROM events GROUP BY date""",
    "hourly_events": """CREATE VIEW hourly_events AS
        SELECT _raydo_local_hour("timestamp") AS hour, event, count(*) AS count FROM events
        GROUP BY ALL""",
    "retention": """CREATE VIEW retention AS WITH seen AS (
            SELECT DISTINCT person_id,
                CAST(date_trunc('week', CAST(date AS DATE) + {shift}) AS DATE) - {shift} AS week
            FROM events WHERE person_id IS NOT NULL
        ), begun AS (SELECT person_id, min(week) AS cohort FROM seen GROUP BY person_id)
        SELECT CAST(cohort AS VARCHAR) AS cohort, (week - cohort) // 7 AS week,
            count(*) AS retained
        FROM seen JOIN begun ON begun.person_id = seen.person_id GROUP BY 1, 2""",
}
_SHIFTS: Final = {"monday": 0, "sunday": 1}  # days from a week's start to Monday


@dataclass(frozen=True, slots=True)
class History:
    """Answer one statement that was understood, over what was pinned for it."""

    sandbox: Sandbox
    connection: sqlite3.Connection
    question: Question
    statement: Statement
    pinned: Pinned
    runs: Sequence[Run]

    @property
    def files(self) -> list[File]:
        """The files that the statement can need."""
        return within(self.pinned.files, *self.statement.span)

    def answer(self, names: Sequence[str] | None, stop: Stop) -> dict[str, Any]:
        """Run the statement; `names` are what SQLite would call its columns.

        Raises:
            QueryError, QueryForbidden, QueryLimit: it does not run, or not all of it.
        """
        import duckdb

        started_s = time.monotonic()
        engine, statement = self.sandbox.engine, self.statement
        sql = render(engine, statement.tree)
        self._prepare(sql)
        stop.attach(engine.interrupt)
        try:
            cursor = self.sandbox.run(sql, self._bound())
            reply = self._reply(cursor, names)
        except duckdb.Error as error:
            if stop.requested:
                raise stop.error() from None
            raise fault.of_engine(error, sql, statement.tree, engine, statement.spelling) from None
        finally:
            stop.detach()
        return {
            **reply,
            "elapsed_ms": round((time.monotonic() - started_s) * 1000, 3),
            "snapshot_id": str(self.pinned.snapshot_id),
            "read": self._read(),
        }

    def _read(self) -> dict[str, int]:
        """Tell what the answer took; of files elsewhere, no more is known than their size."""
        files, reading = self.files, self.sandbox.reading()
        size = sum(file.size for file in files)
        return {
            "files": len(files),
            "files_pruned": len(self.pinned.files) - len(files),
            "bytes": size if reading.bytes is None else reading.bytes,
            "row_groups": reading.row_groups,
        }

    def _reply(self, cursor: Any, names: Sequence[str] | None) -> dict[str, Any]:
        described = cursor.description
        if names is None or len(names) != len(described):
            names = result.distinct(column[0] for column in described)
        read = result.reader([str(column[1]) for column in described])
        rows_max = self.question.limit or QUERY_ROWS_MAX
        rows, truncated = result.collect(map(read, _fetched(cursor)), names, rows_max)
        if truncated:
            self.sandbox.engine.abort()
        recent = () if self.question.as_of.snapshot_id is not None else ("L2",)
        return {
            "columns": result.columns(names, rows),
            "rows": rows,
            "layer": "L3",
            "layers": [*recent, "L3"],
            "truncated": truncated,
        }

    def _bound(self) -> dict[str, Scalar]:
        used = {
            node["identifier"]
            for node in walk(self.statement.tree)
            if node.get("class") == "PARAMETER"
        }
        return {name: value for name, value in self.statement.parameters.items() if name in used}

    def _prepare(self, sql: str) -> None:
        """Make the tables that the statement names."""
        tables = self.statement.named.tables
        past = self.question.as_of != PRESENT
        reads_events = EVENTS in tables or (past and tables & set(ROLLED_UP))
        for name in sorted(tables - {EVENTS} - (set(ROLLED_UP) if past else set())):
            self.sandbox.add(name, table_of(self.connection, name))
        views = []
        if reads_events:
            self.sandbox.add(_RECENT, self._recent())
            views.append(self._view())
        if past:
            shift = _SHIFTS[self.question.week_start]
            names = sorted(tables & set(ROLLED_UP))
            views += (_ROLLUPS_THEN[name].format(shift=shift) for name in names)
        dates = local_time.definitions(self.question.zone, *self._moments())
        self.sandbox.define_for((*DEFINITIONS, *MOMENT_DEFINITIONS, *dates), sql, *views)
        self.sandbox.lock()
        self.sandbox.define(*views)
        self.connection.rollback()

    def _recent(self) -> Any:
        snapshot = self.question.as_of.snapshot_id is not None
        return recent_events(
            self.connection,
            self._read_columns(),
            [run for run in self.runs if run.run <= self.pinned.run and run.state != "deleted"],
            first_ms=self.statement.span.first_ms,
            last_ms=self.statement.span.first_ms - 1 if snapshot else self.statement.span.last_ms,
            as_of_ms=self.question.as_of.ms,
        )

    def _read_columns(self) -> set[str]:
        """Name the columns that must be read, those included that others are computed from."""
        columns = set(self.statement.columns)
        columns.update(_MOMENTS[:1] if DATE in columns else ())
        columns.update((_USER,) if PERSON in columns else ())
        return columns

    def _moments(self) -> tuple[int, int]:
        """Return the first and last moment whose local date may be asked for."""
        now_ms = int(time.time() * 1000)
        ends = self.connection.execute(
            "SELECT min(timestamp), max(timestamp) FROM main.raw_events"
        ).fetchone()
        known = [now_ms - _YEARS_MS, now_ms + _YEARS_MS, *(end for end in ends if end is not None)]
        for file in self.files:
            known += (us // 1000 for us in (file.first_us, file.last_us) if us is not None)
        return min(known), max(known)

    def _view(self) -> str:
        sides = [f"SELECT {_recent_columns(self._read_columns())} FROM {_RECENT}"]  # noqa: S608
        if self.files:
            archive = self.sandbox.add_files([file.location for file in self.files], self.pinned.io)
            columns = _archive_columns()
            sides.insert(0, f"SELECT {columns} FROM {archive} AS f{self._conditions()}")  # noqa: S608
        return f"CREATE VIEW {EVENTS} AS {self._with_persons(' UNION ALL '.join(sides))}"

    def _with_persons(self, events: str) -> str:
        """Add who each event's user is now, whenever the event was."""
        merged = merged_ids(self.connection) if PERSON in self.statement.columns else None
        if not merged:
            person = _USER if PERSON in self.statement.columns else "NULL::VARCHAR"
            return f"SELECT *, {person} AS {PERSON} FROM ({events})"  # noqa: S608
        self.sandbox.add(_MERGED, merged)
        return (
            f"SELECT e.*, coalesce(m.person_id, e.{_USER}) AS {PERSON} FROM ({events}) AS e"  # noqa: S608
            f" LEFT JOIN {_MERGED} AS m ON m.id = e.{_USER}"
        )

    def _conditions(self) -> str:
        span, as_of_ms = self.statement.span, self.question.as_of.ms
        first, last = _literal(span.first_ms), _literal(span.last_ms + 1)
        conditions = [
            f'f."timestamp" >= {first}' if first else "",
            f'f."timestamp" < {last}' if last else "",
            f"f.appended_ms <= {as_of_ms}" if as_of_ms is not None else "",
        ]
        kept = " AND ".join(filter(None, conditions))
        return f" WHERE {kept}" if kept else ""


def _fetched(cursor: Any) -> Iterator[Sequence[Any]]:
    while rows := cursor.fetchmany(_ROWS_PER_FETCH):
        yield from rows


def tables_of(connection: sqlite3.Connection, question: Question) -> set[str]:
    """Name the tables that a statement over history may read."""
    if question.as_of != PRESENT:
        return {EVENTS, *ROLLED_UP}
    rows = connection.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")
    return {name.lower() for (name,) in rows if not name.startswith("sqlite_")} | {
        EVENTS,
        EVENT_TABLE,
    }


def _recent_columns(wanted: Collection[str]) -> str:
    columns = [
        f'"{name}"' if name in wanted else f'NULL::{_SQL_TYPES[kind]} AS "{name}"'
        for name, kind in COLUMNS.items()
    ]
    date = '_raydo_local_date("timestamp")' if DATE in wanted else "NULL::VARCHAR"
    return ", ".join([*columns, f'{date} AS "{DATE}"'])


def _archive_columns() -> str:
    columns = [
        f'epoch_ms(f."{name}") AS "{name}"' if name in _MOMENTS else f'f."{name}"'
        for name in COLUMNS
    ]
    return ", ".join([*columns, f'_raydo_local_date(epoch_ms(f."timestamp")) AS "{DATE}"'])


def _literal(moment_ms: int) -> str | None:
    """Write a moment as the archive has it, or None when it bounds nothing."""
    try:
        moment = _EPOCH + timedelta(milliseconds=moment_ms)
    except OverflowError:
        return None
    return f"TIMESTAMPTZ '{moment:%Y-%m-%d %H:%M:%S.%f}+00'" if moment.year >= 1000 else None
