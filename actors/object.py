"""The base class of durable objects: what an object finds around itself.

A subclass declares `@call` and `@cast` methods and, in place of `__init__`, an `on_start` that runs
each time the object wakes. Its methods are plain synchronous functions, so nothing happens between
two of their lines; each runs as one transaction, and its reply leaves when that is on disk.

    class Cart(DurableObject):
        def on_start(self) -> None:
            self.sql("CREATE TABLE IF NOT EXISTS items (sku TEXT PRIMARY KEY, count INTEGER)")

        @call
        def add(self, sku: str, count: int = 1) -> int:
            self.sql("INSERT INTO items VALUES (?, ?) ON CONFLICT DO UPDATE SET "
                     "count = count + excluded.count", sku, count)
            self.pipeline.emit("ItemAdded", "cart", {"sku": sku, "count": count})
            return self.counters.incr(f"added:{sku}", count)

An attribute that a method sets on `self` is memory: it is lost when the object hibernates, and not
taken back when a call raises. This module loads no server library, so that a client can name its
objects by importing their classes.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, TypedDict, TypeVar

from raydo.actors.alarm_clock import AlarmClock
from raydo.actors.counters import Counters
from raydo.actors.iceberg import Iceberg
from raydo.actors.schedule import Every, Schedule
from raydo.pipelining.method import Exposed, call
from raydo.pipelining.stub import Remote, Stub, is_registered, make_stub, registered

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlite_utils import Database as Utils

    from raydo.actors.database import Rows
    from raydo.actors.pipeline import Pipeline
    from raydo.actors.rollups import Rollups
    from raydo.actors.state import State


T = TypeVar("T")


class Loss(TypedDict):
    """Records that were acknowledged and can no longer be read; None when nothing tells."""

    segment: str
    first_seq: int
    last_seq: int | None
    lost_max: int | None


class DurableObject(Remote, register=False):
    """Be one tenant's live object."""

    archived_above: ClassVar[int | None] = None  # events in SQLite, before older ones are archived
    counters = Exposed(Counters)  # in memory, exact after a restart; callers may read them
    _state: State

    def on_start(self) -> None:
        """Make tables, register timers, define counters: runs each time the object wakes."""

    @property
    def tenant(self) -> str:
        """The exact id of the tenant that this object is."""
        return self._state.noun.id

    @property
    def now_ms(self) -> int:
        """The time of this turn, in UTC milliseconds; it stands still while the turn runs."""
        return self._state.now_ms

    @property
    def zone(self) -> str:
        """The tenant's IANA time zone, in which its days begin and its timers are due."""
        return self._state.zone

    @zone.setter
    def zone(self, name: str) -> None:
        self._state.zone = name

    @property
    def db(self) -> Utils:
        """The object's database as a `sqlite_utils.Database`, inside the call's transaction."""
        return self._state.database.utils

    @property
    def pipeline(self) -> Pipeline:
        """The way in for events."""
        return self._state.pipeline

    @property
    def iceberg(self) -> Iceberg:
        """The object's own Iceberg table: rows to write there, and questions."""
        return Iceberg(self._state)

    @property
    def every(self) -> Every:
        """Register timers: `self.every.day.at("3am")(self.tidy)`.

        They are due in the tenant's zone, never early, and each run is a call of its own. After a
        sleep over several times a handler runs once. One that raises is tried again after 2 s, 4 s
        and so on, six times; then the next regular time counts. A handler with a parameter gets a
        `Firing` for it.
        """
        return Every(self._register)

    @property
    def alarms(self) -> AlarmClock:
        """Set timers that are due once: `self.alarms.set(timedelta(hours=1), self.remind)`."""
        return AlarmClock(self, self._state.alarms)

    def stub(self, cls: type[T], tenant: str) -> Stub[T]:
        """Name another object, to tell it something: `self.stub(Billing, "acme").charge(3)`.

        Also written `self.Billing("acme")`. It has casts only, since a turn waits for nobody. They
        belong to the call: on disk with it, sent after it, applied once, in order, however often
        anything crashes, and taken back when the call raises.
        """
        stub: Stub[T] = make_stub(cls, tenant, self._state.outgoing)
        return stub

    def background(
        self,
        function: Callable[..., Any],
        *args: Any,
        then: Callable[..., Any] | None = None,
        failed: Callable[..., Any] | None = None,
    ) -> None:
        """Have something slow or foreign done by another process: `self.background(fetch, url, then=self.got)`.

        It begins once the call is on disk, and runs at least once: after a crash, again. Its result
        comes to `then`, a method of the object, in a turn of its own, once. A function that raises
        is tried again JOB_RETRIES_MAX times; then its error comes to `failed`, as text, or is logged.
        The function is one of a module; arguments and result are data.

        Raises:
            InvalidArgument: another process could not find the function, or not have the values.
            OutboxFull: too many are not done yet.
        """
        self._state.jobs.add(self, function, args, then, failed)

    if not TYPE_CHECKING:  # else a checker would let every misspelt attribute pass

        def __getattr__(self, name: str) -> Any:
            """Give `self.Billing("acme")` for any class of durable objects, by its name."""
            if name[:1].isupper() and is_registered(name):
                return partial(self.stub, registered(name))
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}.")

    @call(needs="read")
    def degraded(self) -> list[Loss]:
        """List what the object's log has lost to a damaged disk, until `raydo repair` accepts it."""
        return [
            {
                "segment": damage.segment,
                "first_seq": damage.first_seq,
                "last_seq": damage.last_seq,
                "lost_max": damage.lost_max,
            }
            for damage in self._state.storage.damage
        ]

    @call
    def erase_everything(self, confirm: str) -> bool:
        """Plan the end of this object: its archive and its folder go, and nothing is left.

        `confirm` is the tenant's id. It is done beside the calls; False when there is nothing (more).

        Raises:
            InvalidArgument: it is not confirmed.
        """
        from raydo.actors.forgetting import erase_everything

        return erase_everything(self._state, confirm)

    @property
    def rollups(self) -> Rollups:
        """Users and events by day, exact, with what this call emitted; see `Rollups.days`."""
        return self._state.rollups()

    def sql(self, query: str, *params: Any) -> Rows:
        """Run one SQL statement in the object's own database, inside the call's transaction.

        `?` takes the next of `params`; one mapping gives `:name`s.

        Raises:
            QueryForbidden: it would end the transaction or touch what is raydo's own.
            sqlite3.Error: SQLite refuses it.
        """
        return self._state.database.sql(query, *params)

    def select(self, sql: str, params: object = None, limit: int | None = None) -> dict[str, Any]:
        """Run a SELECT that somebody else wrote: it can only read, and only so much.

        Returns `{"columns", "rows", "layer", "layers", "truncated", "elapsed_ms"}`. It reads SQLite
        alone; see `ask`.

        Raises:
            QueryError, QueryForbidden, QueryLimit: it does not run, may not, or is too much.
        """
        return self._state.asks.select(sql, params, limit)

    def ask(
        self, sql: str, params: object = None, limit: int | None = None, as_of: object = None
    ) -> Any:
        """Run such a SELECT over everything, the archive too; *return* this from a `@call`.

        What takes more than milliseconds is answered beside the turns, by another process, and goes
        straight to the caller: the object itself never sees it. Declare the call with `aside=True`.
        `as_of` is a moment (ISO 8601 with an offset, or milliseconds), or `{"snapshot_id": …}`.

        Raises:
            QueryError, QueryForbidden, QueryLimit: it does not run, may not, or is too much.
            InvalidArgument: parameters, limit or `as_of` cannot be read.
        """
        return self._state.asks.ask(sql, params, limit, as_of)

    def _register(self, schedule: Schedule, handler: Callable[..., Any]) -> None:
        self._state.alarms.register(self, self.zone, schedule, handler)
