"""All that one live object owns, marked and taken back as one.

A call is a transaction: what it emits, counts, sets and writes by SQL stays when it returns, and
goes when it raises. Nothing here reaches the disk; `effects` tells what must.

Most calls use no SQL, so the transaction and the call's savepoint open with the first statement.
Events become rows then, and are rolled up, before the statement runs, so that a call reads what it
and the calls before it emitted.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import contextmanager
from copy import copy
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from raydo.actors import schema
from raydo.actors.alarms import Alarms
from raydo.actors.asks import Asks
from raydo.actors.audit import Audit
from raydo.actors.counters import Counters
from raydo.actors.drain import write_events
from raydo.actors.effects import Effects
from raydo.actors.erasures import Erasures
from raydo.actors.failure import failure, is_full
from raydo.actors.jobs import Jobs
from raydo.actors.lake_runs import Runs
from raydo.actors.links import Identities
from raydo.actors.merged_ids import MergedIds
from raydo.actors.meta import Meta
from raydo.actors.outgoing import Outgoing
from raydo.actors.pipeline import Pipeline
from raydo.actors.preferences import preference
from raydo.actors.upkeep import Upkeep
from raydo.actors.zone import Calendar
from raydo.actors.zone import zone as checked_zone
from raydo.pipelining.errors import ActivationBroken, QueryForbidden, StorageFull

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from raydo.actors.event import NewId
    from raydo.actors.rollups import Rollups
    from raydo.actors.sessions import Sessions
    from raydo.actors.storage import Storage
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
    told: int
    jobs: int
    audit: int
    writes: int


class TurnFull(ActivationBroken):
    """Say that the disk filled up inside a call, so that the turn's transaction is gone."""


class State:
    """Hold one object's state, and run its calls as transactions."""

    def __init__(self, noun: Noun, storage: Storage, new_id: NewId, now_ms: int) -> None:
        database = storage.database
        self.noun = noun
        self.storage = storage
        self.transaction = storage.transaction
        self.database = database
        self.refusal: StorageFull | None = None  # why calls with effects fail in this turn
        self.meta = Meta(database)
        self.counters = Counters(now_ms)
        self.counters.load(database.run("SELECT * FROM _raydo_counters"))
        identities = Identities(MergedIds(database))
        self.pipeline = Pipeline(storage.transaction.ids, new_id, identities)
        self.alarms = Alarms(database)
        self.outgoing = Outgoing(database, self.meta, new_id)
        self.jobs = Jobs(database)
        self.audit = Audit(database)
        self.calendar = Calendar(DEFAULT_ZONE)
        self.runs = Runs(database)
        self.asks = Asks(self)
        self.erasures = Erasures(database)
        self.upkeep = Upkeep(self)
        self._rollup_reads = schema.RollupReads(database)
        self._seen = storage.transaction.ids.mark()  # where this turn's message ids begin
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
        self.transaction.ledger.now_ms = now_ms
        self.audit.now_ms = now_ms

    def mark(self) -> Mark:
        """Say how much has happened in this turn."""
        return Mark(
            self.pipeline.mark(),
            self.counters.mark(),
            self.transaction.ids.mark() - self._seen,
            self.meta.mark(),
            self.alarms.mark(),
            self.outgoing.mark(),
            self.jobs.mark(),
            self.audit.mark(),
            self.database.writes,
        )

    @property
    def unsaved(self) -> bool:
        """Whether something waits for a turn that writes: arrivals, or remarks of the audit log."""
        return self.outgoing.unsaved or self.audit.unsaved

    def call(self, run: Callable[[], T], /) -> T:
        """Run one call: all of its effects, or none.

        Raises:
            StorageFull: it has effects, and the disk has no room for this turn's.
            TurnFull: the disk has no room, and the turn must be run again without effects.
            ActivationBroken: the database lost the transaction; nothing of the turn may leave.
        """
        mark = self._call = self.mark()
        try:
            result = run()
            self._refuse_effects(mark)
        except BaseException as error:
            if is_full(error):
                self._lose_transaction(error)
            self._undo(mark)
            raise
        with self.unbroken():
            if self._savepoint:
                self.database.keep()
        self._savepoint = False
        self._call = None
        return result

    def effects(self, sessions: Sessions) -> Effects:
        """List what the turn changed and is not in the open transaction yet."""
        last_seq = self.transaction.last_seq
        return Effects(
            now_ms=self.now_ms,
            first_seq=last_seq + self._inserted + 1,
            seq=last_seq + max(1, self.pipeline.mark()),
            events=self.pipeline.since(self._inserted),
            seen=self.transaction.ids.since(self._seen),
            counters=self.counters.changes(),
            facts=self.meta.changes(),
            timers=self.alarms.changes(),
            outgoing=self.outgoing.changes(),
            jobs=self.jobs.changes(),
            sessions=sessions.changed(),
            replies=sessions.replies(),
            audit=self.audit.changes(),
        )

    def settle(self) -> None:
        """Begin anew: what the turn changed is on disk."""
        self._inserted = 0
        for part in (
            self.pipeline,
            self.counters,
            self.meta,
            self.alarms,
            self.outgoing,
            self.jobs,
            self.audit,
        ):
            part.settle()
        self.drained()

    def drained(self) -> None:
        """Begin anew: a drain ended all marks of message ids, and stored who is who."""
        self.pipeline.identities.settle(stored=self.storage.drained)
        self._seen = self.transaction.ids.mark()

    def undo(self, mark: Mark) -> None:
        """Take the whole turn back, which began at `mark`."""
        self.transaction.rollback()
        self._savepoint = False
        self._undo(mark)

    # SQL

    def before_statement(self, sql: str = "", /) -> None:
        """Open the transaction and the call's savepoint, and make rows of what was emitted.

        When `sql` may read the tables of rollups, they are brought up to date.

        Raises:
            QueryForbidden: no call is running.
        """
        if self._call is None:
            raise QueryForbidden("self.sql and self.db work while a call runs, and only there.")
        with self.unbroken():
            if not self._savepoint:
                self.transaction.begin()
                self._insert_to(self._call.events)  # earlier calls' events are not this call's
                self.database.savepoint()
                self._savepoint = True
            self._insert_to(self.pipeline.mark())
            if sql and (tables := self._rollup_reads.of(sql)):
                self._materialise(tables)

    def rollups(self) -> Rollups:
        """Give the rollups, with everything in them that was emitted up to now."""
        self.before_statement()
        return self.transaction.rollups

    def take_back(self) -> None:
        """Undo the rows that the present call wrote; its events will be rows again when needed."""
        if self._savepoint and self._call is not None:
            with self.unbroken():
                self.database.take_back()
            self._inserted = min(self._inserted, self._call.events)

    def show(self, statements: Iterable[str]) -> None:
        """Let the database's file have all that was acknowledged, for readers of it.

        Raises:
            StorageFull: there is no room now; nothing is lost.
        """
        with self.unbroken():
            self.transaction.begin()
            if tables := frozenset().union(*map(self._rollup_reads.of, statements)):
                self._materialise(tables)
            self.transaction.end_read(strict=True)
        self.drained()

    # The zone

    @property
    def zone(self) -> str:
        return str(self.meta.get("zone", DEFAULT_ZONE))

    @zone.setter
    def zone(self, name: str) -> None:
        self.meta.set("zone", checked_zone(name).key)
        self.alarms.use_zone(self.zone)
        self._follow_zone()

    @property
    def week_start(self) -> str:
        return str(preference(self, "week_start") or "monday")

    def _follow_zone(self) -> None:
        if self.calendar.name != self.zone:
            self.calendar = Calendar(self.zone)
        schema.use_calendar(self.database.connection, self.calendar)

    def _insert_to(self, end: int) -> None:
        if end > self._inserted:
            events = self.pipeline.since(self._inserted)[: end - self._inserted]
            first_seq = self.transaction.last_seq + self._inserted + 1
            write_events(self.transaction.ground, first_seq, events, self.now_ms)
            self._inserted = end

    def _materialise(self, tables: frozenset[str]) -> None:
        rollups = self.transaction.rollups
        wrote = bool(tables - {schema.RETENTION} and rollups.materialise(self.zone))
        if schema.RETENTION in tables:
            wrote |= rollups.materialise_retention(self.zone, self.week_start)
        if wrote:
            self.transaction.touch()

    def _undo(self, mark: Mark) -> None:
        with self.unbroken():
            if self._savepoint:
                self.database.take_back()
                self.database.keep()
        self._savepoint = False
        self._call = None
        self._inserted = min(self._inserted, mark.events)
        self.pipeline.rollback(mark.events)
        self.counters.rollback(mark.counters)
        self.transaction.ids.rollback(self._seen + mark.ids)
        self.alarms.rollback(mark.timers)
        self.outgoing.rollback(mark.told)
        self.jobs.rollback(mark.jobs)
        self.audit.rollback(mark.audit)
        if self.meta.mark() > mark.facts:
            self.meta.rollback(mark.facts)
            self._follow_zone()

    def _lose_transaction(self, error: BaseException) -> None:
        """Go on without the transaction: on a full disk SQLite gives up the whole of it."""
        if self.refusal is None:
            raise TurnFull(str(error)) from error
        self.transaction.rollback()  # it held nothing but what can be drained again
        self._savepoint = False

    def _refuse_effects(self, mark: Mark) -> None:
        wrote = self._savepoint and self.database.wrote()
        if self.refusal is not None and (wrote or self.mark() != mark):
            raise copy(self.refusal)

    @contextmanager
    def unbroken(self) -> Iterator[None]:
        """Tell a failure of the disk from the object's own errors: no call survives it."""
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise failure(self.noun, error) from error
