"""What answers a question, inside a process that may be killed at any moment.

SQLite answers whatever it can: everything, while a tenant has no archive; and after that whatever
names no events, or only events that are too young to be archived. The rest needs the archive, and
runs in a thread that the kernel lets write nowhere.
"""

from __future__ import annotations

import sqlite3
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from raydo.actors import reader
from raydo.actors.fault import limited, out_of_memory, placed
from raydo.actors.history import History, tables_of
from raydo.actors.pin import Plans, Run, TooOld, read_runs
from raydo.actors.probe import Probe, explains, probe
from raydo.actors.question import PRESENT, AsOf, Question
from raydo.actors.result import distinct
from raydo.actors.sandbox import Sandbox
from raydo.actors.schema import PERSON, STORED_COLUMNS, VIEWS, use_calendar
from raydo.actors.shapes import shaped
from raydo.actors.span import EVENTS
from raydo.actors.statement import Statement, understand
from raydo.actors.stop import Stop
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import (
    CallerError,
    InvalidArgument,
    QueryError,
    QueryLimit,
    RaydoError,
    Unavailable,
)
from raydo.pipelining.limits import (
    QUERY_PINS_MAX,
    QUERY_ROWS_MAX,
    QUERY_SQL_BYTES_MAX,
    QUERY_SQLITE_BYTES,
)

_BUSY_S: Final = 1.0
_THEN: Final = (
    """CREATE TEMP VIEW events AS SELECT {columns}, local_date(timestamp) AS date,
        {person} AS person_id FROM main.raw_events WHERE appended_at <= {ms}""",
    """CREATE TEMP VIEW daily_metrics AS SELECT date, count(DISTINCT person_id) AS dau,
        count(*) AS events FROM temp.events GROUP BY date""",
    """CREATE TEMP VIEW hourly_events AS SELECT local_hour(timestamp) AS hour, event,
        count(*) AS count FROM temp.events GROUP BY 1, 2""",
    """CREATE TEMP VIEW retention AS WITH seen AS (
            SELECT DISTINCT person_id, date(date, '-6 days', 'weekday {weekday}') AS week
            FROM temp.events WHERE person_id IS NOT NULL
        ), begun AS (SELECT person_id, min(week) AS cohort FROM seen GROUP BY person_id)
        SELECT cohort, CAST((julianday(week) - julianday(cohort)) / 7 AS INTEGER) AS week,
            count(*) AS retained
        FROM seen JOIN begun ON begun.person_id = seen.person_id GROUP BY 1, 2""",
)
_WEEKDAYS: Final = {"monday": 1, "sunday": 0}
_STORED: Final = ", ".join(STORED_COLUMNS.split())


class Answers:
    """Answer questions, one at a time."""

    def __init__(self, confine: Callable[[], object]) -> None:
        self._plans = Plans(OrderedDict())
        self._thread = ThreadPoolExecutor(1, "history", initializer=confine)
        self._spare: Sandbox | None = None
        self._used: Sandbox | None = None

    def answer(self, question: Question, stop: Stop) -> dict[str, Any]:
        """Answer one question.

        Raises:
            CallerError: it cannot be answered, and why.
            Unavailable: not now.
        """
        _check(question)
        try:
            for _ in range(QUERY_PINS_MAX):
                try:
                    return shaped(question.shape, self._answer(question, stop))
                except TooOld:
                    continue
            raise Unavailable("Archive runs end faster than a query can begin.")
        except CallerError as error:
            raise limited(placed(error, question.sql)) from None
        except sqlite3.Error as error:
            # The statement's own errors have names; this is the file, which may be going to sleep.
            raise Unavailable(f"The database cannot be read now: {error}.") from error

    def tidy(self) -> None:
        """Get ready for the next question, while nobody waits."""
        if self._used is not None:
            self._thread.submit(self._renew)

    def close(self) -> None:
        """Throw away what was ready."""
        self._thread.submit(self._drop).result()
        self._thread.shutdown()

    def _answer(self, question: Question, stop: Stop) -> dict[str, Any]:
        calendar = _calendar(question.zone)
        with _opened(question, calendar) as connection:
            runs = read_runs(connection)
            archived = question.lake is not None and any(run.archived for run in runs)
            if not archived and question.as_of == PRESENT:
                return _recent(connection, question, stop)
            if explains(question.sql):
                return _recent(connection, question, stop)
            seen = _probe(connection, question)
            _check_past(question.as_of, seen)
            if question.as_of.snapshot_id is not None:
                if not archived:
                    raise QueryError("There is no archive, so there are no snapshots.")
            elif not archived or (seen is not None and EVENTS not in seen.tables):
                return _recent(connection, question, stop)
            work = _Work(self, question, stop, calendar, connection, runs, seen)
            done = self._thread.submit(work.run).result()
            return _recent(connection, question, stop) if done is None else done

    def sandbox(self) -> Sandbox:
        """Take the sandbox that is ready, or make one."""
        if self._used is not None:
            self._renew()
        if self._spare is None:
            self._spare = Sandbox()
        return self._spare

    def spend(self) -> None:
        """Say that the sandbox was used, so that the next question gets another."""
        self._used, self._spare = self._spare, None

    def pin(self, question: Question, runs: list[Run]) -> Any:
        """Look up the snapshot that a question is about."""
        assert question.lake is not None
        return self._plans.pin(question.lake, runs, question.as_of.snapshot_id)

    def _renew(self) -> None:
        self._drop_used()
        if self._spare is None:
            self._spare = Sandbox()

    def _drop(self) -> None:
        self._drop_used()
        if self._spare is not None:
            self._spare.close()
            self._spare = None

    def _drop_used(self) -> None:
        if self._used is not None:
            self._used.close()
            self._used = None


@dataclass(frozen=True, slots=True)
class _Work:
    """What of one question is done in the thread that cannot write."""

    answers: Answers
    question: Question
    stop: Stop
    calendar: Calendar
    connection: sqlite3.Connection
    runs: list[Run]
    seen: Probe | None

    def run(self) -> dict[str, Any] | None:
        """Answer from the archive, or return None when SQLite has all that is needed."""
        question = self.question
        sandbox = self.answers.sandbox()
        tables = tables_of(self.connection, question)
        statement = understand(sandbox, question, self.calendar, tables)
        if self._enough(statement):
            return None
        pinned = self.answers.pin(question, self.runs)
        self.answers.spend()
        history = History(sandbox, self.connection, question, statement, pinned, self.runs)
        names = None if self.seen is None else distinct(self.seen.names)
        return history.answer(names, self.stop)

    def _enough(self, statement: Statement) -> bool:
        """Say whether SQLite has every event that the statement can need."""
        if self.seen is None or self.question.as_of.snapshot_id is not None:
            return False
        newest = max((run.max_ms or 0 for run in self.runs if run.archived), default=0)
        return statement.span.first_ms > newest


def _check(question: Question) -> None:
    if not isinstance(question.sql, str) or not question.sql.strip():
        raise QueryError("sql is the text of one SELECT.")
    if len(question.sql.encode(errors="replace")) > QUERY_SQL_BYTES_MAX:
        raise QueryLimit(
            f"The query is over a limit of size: {QUERY_SQL_BYTES_MAX} bytes.",
            detail={"limit": "bytes", "max": QUERY_SQL_BYTES_MAX},
        )
    limit = question.limit
    if limit is not None and (not isinstance(limit, int) or not 0 < limit <= QUERY_ROWS_MAX):
        raise InvalidArgument(f"limit is a whole number from 1 to {QUERY_ROWS_MAX}.")


@contextmanager
def _opened(question: Question, calendar: Calendar) -> Iterator[sqlite3.Connection]:
    """Open the database, and its read transaction with the first statement."""
    connection = sqlite3.connect(
        f"{question.path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        _begin(connection, question, calendar)
        yield connection
    finally:
        connection.close()


def _begin(connection: sqlite3.Connection, question: Question, calendar: Calendar) -> None:
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.execute("PRAGMA temp_store=MEMORY")  # which has a limit; a disk has none
    # Two connections that checkpoint at once can corrupt a file before SQLite 3.51.3.
    connection.execute("PRAGMA wal_autocheckpoint=0")
    use_calendar(connection, calendar)
    then_ms = question.as_of.ms
    names = {"columns": _STORED, "person": PERSON, "ms": then_ms}
    names["weekday"] = _WEEKDAYS[question.week_start]
    for statement in VIEWS if then_ms is None else _THEN:
        connection.execute(statement.format(**names))
    connection.execute("BEGIN")


def _recent(connection: sqlite3.Connection, question: Question, stop: Stop) -> dict[str, Any]:
    """Let SQLite answer."""
    stop.attach(connection.interrupt)
    try:
        return reader.read(
            connection,
            question.sql,
            question.params,
            limit=question.limit,
            seconds=question.sqlite_seconds,
        )
    except RaydoError:
        if stop.requested:
            raise stop.error() from None
        raise
    except MemoryError:
        raise out_of_memory(QUERY_SQLITE_BYTES) from None
    finally:
        stop.detach()


def _probe(connection: sqlite3.Connection, question: Question) -> Probe | None:
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    modules = {name for (name,) in connection.execute("SELECT name FROM pragma_module_list")}
    params = () if question.params is None else question.params
    return probe(connection, question.sql, params, tables, modules)


def _check_past(as_of: AsOf, seen: Probe | None) -> None:
    if as_of != PRESENT and seen is not None and seen.present:
        raise QueryError(f"{min(seen.present)} keeps no past: leave out asOf, or ask events.")


@lru_cache(8)  # each remembers a few megabytes of dates
def _calendar(zone: str) -> Calendar:
    return Calendar(zone)
