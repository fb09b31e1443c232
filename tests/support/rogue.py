"""An object that behaves badly when asked to, in a module that hosts import."""

from __future__ import annotations

from raydo.actors.object import DurableObject
from raydo.pipelining.method import call


class Rogue(DurableObject):
    @call
    def spin(self) -> None:
        while True:
            pass

    @call
    def eat(self) -> None:
        eaten = []
        while True:
            eaten.append(b"\1" * (16 * 2**20))

    @call
    def count(self) -> float:
        return self.counters.incr("calls")
