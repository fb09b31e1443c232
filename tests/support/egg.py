"""An object with a timer that is due once, in a module that hosts import."""

from __future__ import annotations

from datetime import timedelta

from raydo.actors.object import DurableObject
from raydo.pipelining.method import call


class Egg(DurableObject):
    @call
    def boil(self, seconds: float) -> None:
        self.alarms.set(timedelta(seconds=seconds), self.ring)

    @call
    def rung(self) -> float:
        return self.counters.get("rung")

    def ring(self) -> None:
        self.counters.incr("rung")
