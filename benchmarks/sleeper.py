"""The object of `benchmarks.timers`, in a module that hosts import."""

from __future__ import annotations

import os
import time
from pathlib import Path

from raydo.actors.handlers import Firing
from raydo.actors.object import DurableObject
from raydo.pipelining.method import call


class Sleeper(DurableObject):
    """Run once, at a time of its own."""

    @call
    def sleep_until(self, at_ms: int, folder: str) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS folders (path TEXT)")
        self.sql("INSERT INTO folders VALUES (?)", folder)
        self.alarms.set(at_ms, self.ring)

    @call
    def ping(self) -> int:
        return self.now_ms

    def ring(self, firing: Firing) -> None:
        folder = self.sql("SELECT path FROM folders LIMIT 1").one()["path"]
        with (Path(folder) / str(os.getpid())).open("a") as file:
            file.write(f"{time.time_ns() // 1_000_000 - firing.scheduled_ms} {self.tenant}\n")
