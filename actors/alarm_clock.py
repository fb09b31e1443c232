"""What an object does with its own timers besides `self.every`: it is what `self.alarms` gives."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from raydo.actors.handlers import name_of
from raydo.pipelining.errors import InvalidArgument

if TYPE_CHECKING:
    from raydo.actors.alarms import Alarms, Timer

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MOMENT_MS_MAX: Final = 253_402_214_400_000  # the last day of the year 9999


class AlarmClock:
    """What an object does with its timers besides `self.every`.

    Handlers are methods of the object; wherever one is meant, its name does as well, which is the
    way to a timer whose method is no longer there.
    """

    def __init__(self, owner: object, alarms: Alarms) -> None:
        self._owner = owner
        self._alarms = alarms

    def set(self, at: datetime | timedelta | int, handler: Callable[..., Any]) -> int:
        """Let `handler` run once, at a moment or that long from now; return the moment.

        Set again, it is the same timer at another time. It is gone when its handler begins, back
        when the handler raises, and at last gone after TIMER_RETRIES_MAX retries. A moment that
        has passed is due at once.

        Raises:
            InvalidArgument: no moment, no method of the object, or one with a regular timer.
        """
        at_ms = moment_ms(at, self._alarms.now_ms)
        self._alarms.set_once(name_of(self._owner, handler), at_ms)
        return at_ms

    def get(self, handler: Callable[..., Any] | str) -> Timer | None:
        """Return the timer of a handler; None when it has none."""
        return self._alarms.get(self._name(handler))

    def delete(self, handler: Callable[..., Any] | str) -> bool:
        """Delete the timer of a handler; tell whether there was one."""
        return self._alarms.delete(self._name(handler))

    def timers(self) -> list[Timer]:
        """List all timers of the object, regular ones and others, by name."""
        return self._alarms.timers()

    def rest(self, *handlers: Callable[..., Any] | str) -> None:
        """Say that regular timers have nothing to do: they are not due before `wake`.

        A tenant whose timers all rest sleeps until somebody calls it.
        """
        for handler in handlers:
            self._alarms.rest(self._name(handler))

    def wake(self, *handlers: Callable[..., Any] | str) -> None:
        """Let timers that rest be due at their next regular time; others stay as they are."""
        for handler in handlers:
            self._alarms.wake(self._name(handler))

    @property
    def resting(self) -> bool:
        """Whether any timer rests: asked for each event, it is cheaper than to wake them."""
        return self._alarms.resting

    def _name(self, handler: Callable[..., Any] | str) -> str:
        if not isinstance(handler, str):
            return name_of(self._owner, handler)
        return handler if "." in handler else f"{type(self._owner).__name__}.{handler}"


def moment_ms(at: object, now_ms: int) -> int:
    """Return a moment in UTC milliseconds, rounded up: nothing is due too early.

    Raises:
        InvalidArgument: it is none.
    """
    at_ms = at
    if isinstance(at, datetime) and at.utcoffset() is not None:
        at_ms = _ms(at - _EPOCH)
    elif isinstance(at, timedelta):
        at_ms = now_ms + _ms(at)
    if isinstance(at_ms, bool) or not isinstance(at_ms, int) or not 0 <= at_ms <= _MOMENT_MS_MAX:
        raise InvalidArgument(
            "A timer is set to a datetime with its zone, to a timedelta from now, or to UTC"
            f" milliseconds, not to {at!r:.80}."
        )
    return at_ms


def _ms(span: timedelta) -> int:
    return -(-(span // timedelta(microseconds=1)) // 1000)
