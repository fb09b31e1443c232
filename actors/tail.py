"""What is synced in the log and not yet in the database: the turns that the next drain writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from raydo.pipelining.limits import DRAIN_BYTES, DRAIN_EVENTS

if TYPE_CHECKING:
    from raydo.actors.effects import Effects


class Tail:
    """Keep turns in order, and say when they are many."""

    def __init__(self) -> None:
        self.turns: list[Effects] = []
        self._events = 0
        self._bytes = 0

    def __bool__(self) -> bool:
        return bool(self.turns)

    def add(self, effects: Effects, size: int) -> None:
        """Keep a turn whose record, of `size` bytes, is synced."""
        self.turns.append(effects)
        self._events += max(1, len(effects.events))
        self._bytes += size

    def clear(self) -> None:
        """The database has them all."""
        self.turns.clear()
        self._events = self._bytes = 0

    @property
    def since_ms(self) -> int | None:
        """When the oldest of them was; any thread may ask."""
        for effects in self.turns:
            return effects.now_ms
        return None

    @property
    def events(self) -> int:
        """How many events they have, or turns without any."""
        return self._events

    @property
    def due(self) -> bool:
        """Whether it has grown so long that the next turns should wait for a drain."""
        return self._events >= DRAIN_EVENTS or self._bytes >= DRAIN_BYTES
