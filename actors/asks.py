"""Queries of one object: answered in the turn, or asked there and answered beside the turns.

A query over what SQLite has takes milliseconds, and is answered where it is made. One that takes
longer, that needs the archive or is about the past, is *postponed*: the turn sees to it that the
database's file has all that was acknowledged, and a process of its own finds the answer while the
object's turns go on (`workers`). So no scan holds events back, and whoever asks still sees all that
was acknowledged before, its own call's effects too.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import lru_cache
from sqlite3 import Connection
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from raydo.actors import reader
from raydo.actors.fault import limited, placed
from raydo.actors.lake_runs import PLANNED
from raydo.actors.probe import probe
from raydo.actors.question import EVENTS, PRESENT, AsOf, Question, parse_as_of
from raydo.actors.schema import use_calendar
from raydo.actors.zone import Calendar
from raydo.pipelining.errors import (
    CallerError,
    QueryForbidden,
    QueryLimit,
    StorageFull,
    Unavailable,
)
from raydo.pipelining.limits import QUERY_S_MAX, QUERY_TURN_S, QUERY_TURN_WALL_S
from raydo.pipelining.unfinished import Postponed, Unfinished

if TYPE_CHECKING:
    from raydo.actors.lake import Lake
    from raydo.actors.state import State


VIEW: Final = "events"


class Ask(NamedTuple):
    """What is asked, as plain data; where the answer is found is not its business."""

    sql: str
    params: Any = None
    limit: int | None = None
    as_of: AsOf = PRESENT
    zone: str | None = None  # for its dates; the tenant's own if absent
    first_ms: int | None = None  # the earliest moment whose events can matter
    shape: Sequence[Any] | None = None  # what to make of the rows; see `shapes`


class Asking(NamedTuple):
    """A program's answer that needs those of these questions first."""

    unfinished: Unfinished
    questions: tuple[Question, ...]


class Asks:
    """Answer the queries of one object, or say what is to be asked."""

    def __init__(self, state: State) -> None:
        self._state = state

    def ask(
        self, sql: str, params: object = None, limit: int | None = None, as_of: object = None
    ) -> dict[str, Any] | Postponed:
        """Answer a SELECT at once, if that takes milliseconds; else postpone it.

        Raises:
            QueryError, QueryForbidden, QueryLimit, InvalidArgument: see `reader`.
            StorageFull: it needs the archive, and the disk is too full to bring that up to date.
        """
        then = parse_as_of(as_of)
        return self.answer(Ask(sql, reader.check(sql, params, limit), limit, then))

    def answer(self, ask: Ask) -> dict[str, Any] | Postponed:
        """Answer at once what can be, and postpone the rest; see `ask`."""
        if self._state.database.path is None or self._state.refusal is not None:
            return self.here(ask)
        if ask.as_of != PRESENT or self._needs_archive(ask):
            return Postponed(list(ask))
        try:
            return self._read(ask, QUERY_TURN_WALL_S, QUERY_TURN_S)
        except QueryLimit as error:
            if isinstance(error.detail, dict) and error.detail.get("limit") == "time":
                return Postponed(list(ask))
            raise

    def later(self, ask: Ask) -> Any:
        """Have a question answered beside the turns, however little it asks."""
        if self._state.database.path is None or self._state.refusal is not None:
            return self.here(ask)
        return Postponed(list(ask))

    def select(self, sql: str, params: object, limit: int | None) -> dict[str, Any]:
        """Answer a SELECT over what SQLite has, in the turn.

        Raises:
            QueryError, QueryForbidden, QueryLimit, InvalidArgument: see `reader`.
        """
        ask = Ask(sql, reader.check(sql, params, limit), limit)
        if self._needs_archive(ask):
            raise QueryForbidden(
                "Some events are in the archive, which no turn waits for: return self.ask(sql, …),"
                " or select from raw_events, which has those that are not archived."
            )
        return self._read(ask, QUERY_S_MAX)

    def here(self, ask: Ask) -> dict[str, Any]:
        """Answer in the turn what was postponed, or would be.

        Raises:
            Unavailable, StorageFull: it needs the archive.
        """
        born = self._state.database.path is not None
        if born and (ask.as_of != PRESENT or self._needs_archive(ask)):
            if self._state.refusal is not None:
                raise copy(self._state.refusal)
            raise Unavailable("The archive cannot be asked here.")
        return self._read(ask, QUERY_S_MAX)

    def questions(self, unfinished: Unfinished, lake: Lake) -> tuple[Question, ...]:
        """Say what is to be asked, and where; the file must have been brought up to date."""
        state, path = self._state, self._state.database.path
        assert path is not None
        return tuple(
            Question(path, ask.zone or state.zone, *ask[:4], lake, ask.shape, state.week_start)
            for ask in asked(unfinished)
        )

    def _needs_archive(self, ask: Ask) -> bool:
        """Say whether SQLite may lack some of the events that a statement reads."""
        database = self._state.database
        if EVENTS.search(ask.sql) is None:
            return False
        runs, newest_ms = database.run(_ARCHIVED, (PLANNED,))[0]
        if not runs or (ask.first_ms is not None and ask.first_ms > (newest_ms or 0)):
            return False
        with database.lent() as connection:
            names = "SELECT name FROM sqlite_schema", "SELECT name FROM pragma_module_list"
            tables, modules = ({row[0] for row in database.run(sql)} for sql in names)
            seen = probe(connection, ask.sql, ask.params, tables, modules)
        return seen is None or VIEW in seen.tables

    def _read(self, ask: Ask, seconds: float, cpu_s: float | None = None) -> dict[str, Any]:
        try:
            reply = self._read_plainly(ask, seconds, cpu_s)
        except CallerError as error:
            raise limited(placed(error, ask.sql)) from None
        return reply if ask.shape is None else _shaped(ask.shape, reply)

    def _read_plainly(self, ask: Ask, seconds: float, cpu_s: float | None) -> dict[str, Any]:
        state = self._state
        path, sql = state.database.path, ask.sql
        calendar = state.calendar if ask.zone is None else _calendar(ask.zone)
        given: dict[str, Any] = {"limit": ask.limit, "seconds": seconds, "cpu_s": cpu_s}
        if path is not None and state.pipeline.mark() == 0 and not state.database.in_transaction:
            with suppress(StorageFull):  # what no transaction may keep is read inside one
                state.show([sql])
                return reader.query(path, calendar, sql, ask.params, **given)
        # What this turn wrote is on no other connection yet.
        state.before_statement(sql)
        with state.database.lent() as connection, _dated(connection, calendar, state.calendar):
            return reader.read(connection, sql, ask.params, **given)


@contextmanager
def _dated(connection: Connection, calendar: Calendar, usual: Calendar) -> Iterator[None]:
    """Let a connection's dates follow another calendar for a while."""
    if calendar is usual:
        yield
        return
    use_calendar(connection, calendar)
    try:
        yield
    finally:
        use_calendar(connection, usual)


def _shaped(shape: Sequence[Any], reply: dict[str, Any]) -> dict[str, Any]:
    from raydo.actors.shapes import shaped  # only who asks for a metric needs it

    return shaped(shape, reply)


@lru_cache(8)  # each remembers a few megabytes of dates
def _calendar(zone: str) -> Calendar:
    return Calendar(zone)


def asked(unfinished: Unfinished) -> list[Ask]:
    """Read what a program's answer still needs."""
    return [_ask(*ask) for _, ask in unfinished.asks]


def texts(asking: Iterable[Unfinished]) -> list[str]:
    """List the statements that are to be asked."""
    return [ask.sql for unfinished in asking for ask in asked(unfinished)]


def _ask(sql: str, params: Any, limit: int | None, as_of: Sequence[int | None], *more: Any) -> Ask:
    return Ask(sql, params, limit, AsOf(*as_of), *more)


_ARCHIVED: Final = "SELECT count(*), max(max_ts) FROM _raydo_runs WHERE state <> ?"
