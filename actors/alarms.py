"""The timers of one object: which handler is due next, and when, as rows that outlive it.

A timer is named after its handler, so registering it again at each start is the same timer and
keeps its time: an object that restarts every few minutes still meets its `every.hour`. Only
another schedule, or another zone, computes anew. Nothing is written when nothing changed.

Every change here belongs to the call that made it, and so does what a firing changes: a timer that
fires has moved on to its next time, or has gone if it was for once, before its handler's first
line, and both stay or neither (`firing`). What was missed is made good once: the next time is the
first after now. A timer with nothing to do can rest: its row stays, it is never due, and so it
wakes nobody, until a call that gives it something to do wakes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from raydo.actors.database import Database
from raydo.actors.handlers import name_of
from raydo.actors.schedule import Schedule, parse_spec
from raydo.actors.zone import zone
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import (
    ERROR_TEXT_MAX,
    TIMER_RETRIES_MAX,
    TIMER_RETRY_FIRST_S,
    TIMER_RETRY_MAX_S,
    TIMERS_PER_FIRE,
)

ONCE: Final = "once"


class Timer(NamedTuple):
    """One row of `_raydo_timers`."""

    name: str  # its handler's, behind the class's: "Cart.remind"
    spec: str  # "every day at 03:00"; `ONCE` when `alarms.set` made it
    zone: str
    next_at_ms: int | None  # when it runs next; None while it rests
    scheduled_ms: int | None = None  # when it should have succeeded, while it is tried again
    attempts: int = 0  # how often it failed since then
    last_error: str | None = None  # of the last time that failed, until one succeeds


class Alarms:
    """Change timers with the call that does, and list those that are to be written."""

    def __init__(self, database: Database) -> None:
        self.now_ms = 0
        self._timers: dict[str, Timer] = {}
        self._resting: set[str] = set()  # so that each event need not look for them
        for row in database.run(_SELECT):
            self._place(row[0], Timer(*row))
        self._journal: list[tuple[str, Timer | None]] = []  # names and what stood there before
        self._started: dict[str, str] | None = None
        self._orphans: set[str] = set()

    # What there is

    def timers(self) -> list[Timer]:
        """List the timers by name, those of the present turn included."""
        return [self._timers[name] for name in sorted(self._timers)]

    def get(self, name: str) -> Timer | None:
        return self._timers.get(name)

    @property
    def next_due_ms(self) -> int | None:
        """When the next timer is due that has a handler; None when none ever will."""
        return min((at_ms for at_ms, _ in self._times()), default=None)

    def due(self) -> list[str]:
        """Name the timers that are due, the longest first, TIMERS_PER_FIRE at most."""
        return [name for _, name in sorted(t for t in self._times() if t[0] <= self.now_ms)][
            :TIMERS_PER_FIRE
        ]

    @property
    def resting(self) -> bool:
        """Whether any timer rests."""
        return bool(self._resting)

    # What calls change

    def starting(self, begins: bool) -> None:
        """Say that `on_start` begins or has ended: it may give a handler one schedule only."""
        self._started = {} if begins else None

    def register(
        self, owner: object, zone_name: str, schedule: Schedule, handler: Callable[..., Any]
    ) -> None:
        """Let `handler`, a method of `owner`, be due by `schedule` in a zone.

        Raises:
            InvalidArgument: no method of the object, one that can't be called, or twice in
                `on_start`.
        """
        name = name_of(owner, handler)
        spec = schedule.spec
        if self._started is not None and self._started.setdefault(name, spec) != spec:
            raise InvalidArgument(
                f"{name} has two schedules, {self._started[name]!r} and {spec!r}, and a timer is"
                " named after its handler. Give the second one a method of its own."
            )
        before = self._timers.get(name)
        if before is None or (before.spec, before.zone) != (spec, zone_name):
            self._put(name, Timer(name, spec, zone_name, self._next_at_ms(spec, zone_name)))

    def use_zone(self, zone_name: str) -> None:
        """Let every regular timer follow the clocks of another zone; what is due stays due."""
        for timer in self.timers():
            if timer.zone != zone_name and timer.spec != ONCE:
                at_ms = timer.next_at_ms
                if timer.attempts == 0 and at_ms is not None and at_ms > self.now_ms:
                    at_ms = self._next_at_ms(timer.spec, zone_name)
                self._put(timer.name, timer._replace(zone=zone_name, next_at_ms=at_ms))

    def set_once(self, name: str, at_ms: int) -> None:
        """Let a handler be due once; again, it is the same timer at another time.

        Raises:
            InvalidArgument: the handler has a regular timer.
        """
        before = self._timers.get(name)
        if before is not None and before.spec != ONCE:
            raise InvalidArgument(
                f"{name} is due {before.spec} already, and a timer is named after its handler."
                " Give what is due once a method of its own."
            )
        if before is None or before.next_at_ms != at_ms or before.attempts:
            self._put(name, Timer(name, ONCE, "UTC", at_ms))

    def delete(self, name: str) -> bool:
        """Let a timer be gone; tell whether there was one."""
        there = name in self._timers
        if there:
            self._put(name, None)
        return there

    def rest(self, name: str) -> None:
        """Let a regular timer never be due, until it is woken."""
        timer = self._timers.get(name)
        if timer is not None and timer.spec != ONCE and timer.next_at_ms is not None:
            self._put(name, timer._replace(next_at_ms=None, scheduled_ms=None, attempts=0))

    def wake(self, name: str) -> None:
        """Let a timer that rests be due again, at its next regular time."""
        timer = self._timers.get(name)
        if timer is not None and timer.next_at_ms is None:
            at_ms = self._next_at_ms(timer.spec, timer.zone)
            self._put(name, timer._replace(next_at_ms=at_ms))

    # What a firing changes

    def passed(self, timer: Timer) -> None:
        """Let a timer go on to its next regular time, or away when it was for once."""
        self._go_on(timer, None)

    def failed(self, timer: Timer, error: str) -> None:
        """Let a timer be tried again in a while, or go on when it was tried often enough."""
        text = error[:ERROR_TEXT_MAX]
        if timer.attempts == TIMER_RETRIES_MAX:
            self._go_on(timer, text)
            return
        assert timer.next_at_ms is not None
        again = timer._replace(
            next_at_ms=self.now_ms + retry_ms(timer.attempts),
            scheduled_ms=timer.next_at_ms if timer.scheduled_ms is None else timer.scheduled_ms,
            attempts=timer.attempts + 1,
            last_error=text,
        )
        self._put(timer.name, again)

    def orphan(self, name: str) -> None:
        """Keep a timer, and let it not be due while this activation lives: nothing handles it."""
        self._orphans.add(name)

    # The turn

    def mark(self) -> int:
        """Return where the changes of the present call begin."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back the changes since `mark`."""
        while len(self._journal) > mark:
            self._place(*self._journal.pop())

    def changes(self) -> list[tuple[str, Timer | None]]:
        """List the timers to write, and the names of those to delete."""
        return [(name, self._timers.get(name)) for name in dict(self._journal)]

    def settle(self) -> None:
        """Forget the changes: they are on disk."""
        self._journal.clear()

    def _go_on(self, timer: Timer, error: str | None) -> None:
        name, spec, zone_name = timer[:3]
        at_ms = None if spec == ONCE else self._next_at_ms(spec, zone_name)
        after = None if spec == ONCE else Timer(name, spec, zone_name, at_ms, last_error=error)
        self._put(name, after)

    def _put(self, name: str, timer: Timer | None) -> None:
        self._journal.append((name, self._timers.get(name)))
        self._place(name, timer)

    def _place(self, name: str, timer: Timer | None) -> None:
        self._resting.discard(name)
        if timer is None:
            self._timers.pop(name, None)
            return
        self._timers[name] = timer
        if timer.next_at_ms is None:
            self._resting.add(name)

    def _times(self) -> list[tuple[int, str]]:
        return [
            (timer.next_at_ms, name)
            for name, timer in self._timers.items()
            if timer.next_at_ms is not None and name not in self._orphans
        ]

    def _next_at_ms(self, spec: str, zone_name: str) -> int:
        return parse_spec(spec).next_after(self.now_ms, zone(zone_name))


def retry_ms(failures: int) -> int:
    """Return how long to wait after so many failures and one more; see TIMER_RETRY_MAX_S."""
    return int(1000 * min(TIMER_RETRY_FIRST_S * 2 ** min(failures, 32), TIMER_RETRY_MAX_S))


_SELECT: Final = """SELECT name, spec, zone, next_at_ms, scheduled_ms, attempts, last_error
    FROM _raydo_timers"""
