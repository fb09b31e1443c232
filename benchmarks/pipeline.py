"""What the log costs and gains: the same turns into the log, and each committed to SQLite.

    python -m benchmarks.pipeline [--seconds 3] [--runs 5] [--sustained 60]

One activation in this process, without a client, on the file system of the current folder. A turn
of `64 x 1` are 64 frames of one event each, as they come when 64 clients wait. `sqlite` is the same
class with a statement of SQL in its call, which makes the turn one transaction; then no drain is
left to do, while what the log took still has to be drained: `sustained` counts that in.

`syncs` are fsyncs and fdatasyncs: those of the log, one for a commit, two for a checkpoint.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.table import report, spread
from raydo.actors.activation import Activation
from raydo.actors.analytics import Analytics
from raydo.actors.clock import SystemClock
from raydo.actors.disk import OsDisk
from raydo.pipelining.frame import Call, Entry, Program
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun

CASES = ((1, 1), (64, 1), (1, 1_000))  # frames in a turn, events in a frame
SYNCS = {"storage.commit.after": 1, "storage.checkpoint.after": 2}


class Direct(Analytics):
    """Analytics whose every batch is a transaction of SQLite's."""

    @call
    def ingest(self, items: list[bytes]) -> Any:  # type: ignore[override]
        self.sql("SELECT 1")
        return super().ingest(items)


class CountingDisk(OsDisk):
    """Count what is synced."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def step(self, label: str) -> None:
        self.counts["syncs"] += SYNCS.get(label, 0)

    def sync(self, handle: int) -> None:
        self.counts["syncs"] += 1
        super().sync(handle)

    def sync_folder(self, folder: Path) -> None:
        self.counts["syncs"] += 1
        super().sync_folder(folder)


class Turns:
    """Make turns of fresh events, one session, each frame numbered."""

    def __init__(self, cls: type[Analytics], folder: Path, frames: int, events: int) -> None:
        self.disk = CountingDisk()
        self.live = Activation(
            Noun(cls.__name__, "acme"),
            cls,
            folder,
            clock=SystemClock(),
            random=os.urandom,
            disk=self.disk,
        )
        self._frames = frames
        self._events = events
        self._n = 0
        self.run()  # the tenant is born

    def run(self) -> int:
        """Run one turn; return its events."""
        answers = self.live.run([self._frame() for _ in range(self._frames)])
        assert all(answer.status == 0 for answer in answers)
        if self.live.drain_due:
            self.live.drain()
        return self._frames * self._events

    def _frame(self) -> Entry:
        self._n += 1
        items = [event(self._n, number) for number in range(self._events)]
        program = Program((Call(-1, "ingest", [items], {}, False),), (0,)).encode()
        return Entry(b"benchmark-------", self._n, self._n - 1, program)


def event(frame: int, number: int) -> bytes:
    return json.dumps(
        {
            "event": ("PageView", "Clicked", "Signup")[number % 3],
            "userId": f"u{(frame * 31 + number) % 2_000}",
            "messageId": f"{frame}-{number}",
            "properties": {"page": f"/p/{number % 50}", "plan": "pro", "n": number},
        }
    ).encode()


def measure(cls: type[Analytics], frames: int, events: int, seconds: float) -> dict[str, float]:
    """Run turns for a while and drain what they left."""
    with tempfile.TemporaryDirectory(dir=".") as folder:
        turns = Turns(cls, Path(folder), frames, events)
        before = turns.disk.counts["syncs"]
        took: list[float] = []
        done, started = 0, time.perf_counter()
        while time.perf_counter() - started < seconds:
            began = time.perf_counter()
            done += turns.run()
            took.append(time.perf_counter() - began)
        acknowledged = time.perf_counter() - started
        turns.live.drain()
        drained = time.perf_counter() - started
        syncs = turns.disk.counts["syncs"] - before
        turns.live.close()
    took.sort()
    return {
        "acknowledged/s": done / acknowledged,
        "drained/s": done / drained,
        "syncs/1,000": syncs * 1_000 / done,
        "turn p50 ms": took[len(took) // 2] * 1_000,
        "turn p99 ms": took[len(took) * 99 // 100] * 1_000,
    }


def compare(runs: int, seconds: float) -> list[dict[str, Any]]:
    """Return a row a case and way."""
    return [
        _row(name, cls, case, [measure(cls, *case, seconds) for _ in range(runs)])
        for case in CASES
        for name, cls in (("log", Analytics), ("sqlite", Direct))
    ]


def _row(
    way: str, cls: type[Analytics], case: tuple[int, int], done: list[dict[str, float]]
) -> dict[str, Any]:
    del cls
    frames, events = case
    figures = {name: spread([run[name] for run in done]) for name in done[0]}
    return {"turn": f"{frames} x {events:,}", "into": way, **figures}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--sustained", type=float, default=60.0, metavar="SECONDS")
    chosen = parser.parse_args()
    report("pipeline", compare(chosen.runs, chosen.seconds))
    rows = [
        _row("log", Analytics, case, [measure(Analytics, *case, chosen.sustained)])
        for case in CASES
    ]
    report(f"pipeline-sustained-{chosen.sustained:g}s", rows)


if __name__ == "__main__":
    main()
