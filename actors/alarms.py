"""The timers of one object: which handler is due next, and when, as rows that outlive it.

A timer is named after its handler, so registering it again at each start is the same timer and
keeps its time: an object that restarts every few minutes still meets its `every.hour`. Only
another schedule, or another zone, computes anew. Nothing is written when nothing changed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from raydo.actors.database import Database
from raydo.actors.schedule import Schedule, parse_spec
from raydo.actors.zone import zone
from raydo.pipelining.errors import InvalidArgument


class Timer(NamedTuple):
    """One row of `_raydo_timers`."""

    name: str
    spec: str
    zone: str
    next_at_ms: int


class Alarms:
    """Register timers with the call that does, and list those that are to be written."""

    def __init__(self, database: Database) -> None:
        self.now_ms = 0
        self._timers = {row[0]: Timer(*row) for row in database.run(_SELECT)}
        self._journal: list[tuple[str, Timer | None]] = []  # names and what stood there before
        self._started: dict[str, str] | None = None

    def timers(self) -> list[Timer]:
        """List the timers by name, those of the present turn included."""
        return [self._timers[name] for name in sorted(self._timers)]

    def starting(self, begins: bool) -> None:
        """Say that `on_start` begins or has ended: it may give a handler one schedule only."""
        self._started = {} if begins else None

    def register(
        self, owner: object, zone_name: str, schedule: Schedule, handler: Callable[..., Any]
    ) -> None:
        """Let `handler`, a method of `owner`, be due by `schedule` in a zone.

        Raises:
            InvalidArgument: not a method of the object, or twice in `on_start`.
        """
        name = _name(owner, handler)
        spec = schedule.spec
        if self._started is not None and self._started.setdefault(name, spec) != spec:
            raise InvalidArgument(
                f"{name} has two schedules, {self._started[name]!r} and {spec!r}, and a timer is"
                " named after its handler. Give the second one a method of its own."
            )
        before = self._timers.get(name)
        if before is None or (before.spec, before.zone) != (spec, zone_name):
            self._set(Timer(name, spec, zone_name, self._next_at_ms(schedule, zone_name)))

    def use_zone(self, zone_name: str) -> None:
        """Let every timer follow the clocks of another zone."""
        for timer in self.timers():
            if timer.zone != zone_name:
                next_at_ms = self._next_at_ms(parse_spec(timer.spec), zone_name)
                self._set(Timer(timer.name, timer.spec, zone_name, next_at_ms))

    def mark(self) -> int:
        """Return where the changes of the present call begin."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Take back the changes since `mark`."""
        while len(self._journal) > mark:
            name, before = self._journal.pop()
            if before is None:
                del self._timers[name]
            else:
                self._timers[name] = before

    def changes(self) -> list[Timer]:
        """List the timers to write."""
        return [self._timers[name] for name in dict(self._journal)]

    def settle(self) -> None:
        """Forget the changes: they are on disk."""
        self._journal.clear()

    def _set(self, timer: Timer) -> None:
        self._journal.append((timer.name, self._timers.get(timer.name)))
        self._timers[timer.name] = timer

    def _next_at_ms(self, schedule: Schedule, zone_name: str) -> int:
        return schedule.next_after(self.now_ms, zone(zone_name))


_SELECT = "SELECT name, spec, zone, next_at_ms FROM _raydo_timers"


def _name(owner: object, handler: Callable[..., Any]) -> str:
    """Name a handler so that a later activation of the object can find it."""
    method = getattr(handler, "__name__", "")
    if getattr(handler, "__self__", None) is not owner or not hasattr(owner, method):
        raise InvalidArgument(
            f"A timer's handler is a method of the object, as in self.every.hour(self.tidy); it is"
            f" found by its name after a restart, and {handler!r:.80} could not be."
        )
    return f"{type(owner).__name__}.{method}"
