"""All that one live object owns, marked and taken back as one.

A call is a transaction: what it emits, counts, sets and writes by SQL stays when it returns, and
goes when it raises. Nothing here commits; `effects` tells what a commit must write.

Most calls use no SQL, so the transaction and the call's savepoint open with the first statement.
Events become rows then, before the statement runs, so that a call reads what it and the calls
before it emitted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from raydo.actors import reader, schema
from raydo.actors.alarms import Alarms
from raydo.actors.counters import Counters
from raydo.actors.dedupe import Dedupe
from raydo.actors.effects import Effects, write_events
from raydo.actors.meta import Meta
from raydo.actors.pipeline import Pipeline
from raydo.actors.zone import Calendar
from raydo.actors.zone import zone as checked_zone
from raydo.pipelining.errors import ActivationBroken, QueryForbidden

if TYPE_CHECKING:
    from collections.abc import Iterator

    from raydo.actors.database import Database
    from raydo.actors.event import NewId
    from raydo.actors.sessions import Sessions
    from raydo.pipelining.noun import Noun

T = TypeVar("T")

DEFAULT_ZONE: Final = "UTC"


class Mark(NamedTuple):
    """How much had happened at one moment of a turn; equal marks mean no effects between."""

    events: int
    counters: int
    ids: int
    facts: int
    timers: int
    writes: int


class State:
    """Hold one object's state, and run its calls as transactions."""

    def __init__(self, noun: Noun, database: Database, new_id: NewId, now_ms: int) -> None:
        self.noun = noun
        self.database = database
        self.meta = Meta(database)
        self.counters = Counters(now_ms)
        self.counters.load(database.run("SELECT * FROM _raydo_counters"))
        self.dedupe = Dedupe(database)
        self.pipeline = Pipeline(self.dedupe, new_id)
        self.alarms = Alarms(database)
        self.calendar = Calendar(DEFAULT_ZONE)
        self._last_seq: int = database.run("SELECT ifnull(max(seq), 0) FROM raw_events")[0][0]
        self._inserted = 0  # of the turn's events, how many are rows of the open transaction
        self._call: Mark | None = None  # where the present call begins
        self._savepoint = False
        self.set_time(now_ms)
        database.serve(self)
        self._follow_zone()

    # The turn

    def set_time(self, now_ms: int) -> None:
        """Let the turn happen at `now_ms`."""
        self.now_ms = now_ms
        self.counters.now_ms = now_ms
        self.pipeline.now_ms = now_ms
        self.alarms.now_ms = now_ms

    def mark(self) -> Mark:
        """Say how much has happened in this turn."""
        return Mark(
            self.pipeline.mark(),
            self.counters.mark(),
            self.dedupe.mark(),
            self.meta.mark(),
            self.alarms.mark(),
            self.database.writes,
        )

    def call(self, run: Callable[[], T], /) -> T:
        """Run one call: all of its effects, or none.

        Raises:
            ActivationBroken: the database lost the transaction; nothing of the turn may leave.
        """
        mark = self._call = self.mark()
        try:
            result = run()
        except BaseException:
            self._undo(mark)
            raise
        with self._unbroken():
            if self._savepoint:
                self.database.keep()
        self._savepoint = False
        self._call = None
        return result

    def effects(self, sessions: Sessions) -> Effects:
        """List what the turn changed and is not in the open transaction yet."""
        return Effects(
            now_ms=self.now_ms,
            first_seq=self._last_seq + self._inserted + 1,
            events=self.pipeline.since(self._inserted),
            seen=self.dedupe.changes(),
            counters=self.counters.dirty_rows(),
            facts=self.meta.changes(),
            timers=self.alarms.changes(),
            sessions=sessions.changed(),
            replies=sessions.replies(),
        )

    def settle(self) -> None:
        """Begin anew: what the turn changed is on disk."""
        self._last_seq += self.pipeline.mark()
        self._inserted = 0
        for part in (self.pipeline, self.counters, self.dedupe, self.meta, self.alarms):
            part.settle()

    # SQL

    def before_statement(self) -> None:
        """Open the transaction and the call's savepoint, and make rows of what was emitted.

        Raises:
            QueryForbidden: no call is running.
        """
        if self._call is None:
            raise QueryForbidden("self.sql and self.db work while a call runs, and only there.")
        with self._unbroken():
            if not self._savepoint:
                self._insert_to(self._call.events)  # earlier calls' events are not this call's
                self.database.savepoint()
                self._savepoint = True
            self._insert_to(self.pipeline.mark())

    def take_back(self) -> None:
        """Undo the rows that the present call wrote; its events will be rows again when needed."""
        if self._savepoint and self._call is not None:
            with self._unbroken():
                self.database.take_back()
            self._inserted = min(self._inserted, self._call.events)

    def query(self, sql: str, params: object = None, limit: int | None = None) -> dict[str, Any]:
        """Run a SELECT from outside; it sees all that was acknowledged, and its own turn.

        Raises:
            QueryError, QueryForbidden, QueryLimit: see `reader`.
        """
        path = self.database.path
        if self.pipeline.mark() > self._inserted:
            self.before_statement()
        if path is not None and not self.database.in_transaction:
            return reader.query(path, self.calendar, sql, params, limit=limit)
        # What this turn wrote is on no other connection yet.
        with self.database.lent() as connection:
            return reader.read(connection, sql, params, limit=limit)

    # The zone

    @property
    def zone(self) -> str:
        return str(self.meta.get("zone", DEFAULT_ZONE))

    @zone.setter
    def zone(self, name: str) -> None:
        self.meta.set("zone", checked_zone(name).key)
        self.alarms.use_zone(self.zone)
        self._follow_zone()

    def _follow_zone(self) -> None:
        if self.calendar.name != self.zone:
            self.calendar = Calendar(self.zone)
        schema.use_calendar(self.database.connection, self.calendar)

    def _insert_to(self, end: int) -> None:
        if end > self._inserted:
            events = self.pipeline.since(self._inserted)[: end - self._inserted]
            write_events(self.database, self._last_seq + self._inserted + 1, events)
            self._inserted = end

    def _undo(self, mark: Mark) -> None:
        with self._unbroken():
            if self._savepoint:
                self.database.take_back()
                self.database.keep()
        self._savepoint = False
        self._call = None
        self._inserted = min(self._inserted, mark.events)
        self.pipeline.rollback(mark.events)
        self.counters.rollback(mark.counters)
        self.dedupe.rollback(mark.ids)
        self.alarms.rollback(mark.timers)
        if self.meta.mark() > mark.facts:
            self.meta.rollback(mark.facts)
            self._follow_zone()

    @contextmanager
    def _unbroken(self) -> Iterator[None]:
        """Tell a failure of the database from the object's own errors: no call survives it."""
        try:
            yield
        except sqlite3.Error as error:
            raise ActivationBroken(f"{self.noun}: the database failed: {error}.") from error
