"""Run seeds, on all cores, and say at which steps they crashed and which of them failed."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from multiprocessing import get_context
from pathlib import Path

from sim.disk import Crashed
from sim.settings import small
from sim.steps import label_of
from sim.world import World

OPERATIONS = 200
CHUNK = 20  # seeds that one worker runs at once
MEMORY = Path("/dev/shm")  # a seed writes much and keeps nothing


@dataclass
class Report:
    """What some seeds did."""

    seeds: int = 0
    operations: int = 0
    steps: Counter[str] = field(default_factory=Counter)
    crashes: Counter[str] = field(default_factory=Counter)
    failed: dict[int, str] = field(default_factory=dict)

    def add(self, other: Report) -> None:
        self.seeds += other.seeds
        self.operations += other.operations
        self.steps += other.steps
        self.crashes += other.crashes
        self.failed |= other.failed


def run_seeds(seeds: Iterable[int], operations: int = OPERATIONS) -> Report:
    """Run seeds one after another, in this process; stop at the first that fails."""
    report = Report()
    folder = MEMORY if MEMORY.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="raydo-sim-", dir=folder) as root, small():
        for seed in seeds:
            world = World(seed, label_of(seed), Path(root))
            try:
                world.run(operations)
            except (Exception, Crashed):  # noqa: BLE001 - whatever it is, the seed has failed
                report.failed[seed] = _story(world)
            finally:
                world.close()
            report.seeds += 1
            report.operations += world.operations
            report.steps += world.disk.steps
            report.crashes += world.disk.crashes
            if report.failed:
                break
    return report


def run_on_all_cores(first: int, count: int, *, stop: bool = False) -> Iterator[Report]:
    """Run many seeds, and report of each chunk as it ends; `stop` at the first that fails."""
    chunks = (
        range(start, min(start + CHUNK, first + count))
        for start in range(first, first + count, CHUNK)
    )
    cores = os.cpu_count() or 1
    with ProcessPoolExecutor(cores, get_context("spawn"), initializer=_start) as pool:
        running = [pool.submit(run_seeds, chunk) for chunk in islice(chunks, 2 * cores)]
        while running:
            report = running.pop(0).result()
            yield report
            if not (stop and report.failed):
                running += [pool.submit(run_seeds, chunk) for chunk in islice(chunks, 1)]


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def _start() -> None:
    gc.set_threshold(50_000, 50, 50)  # a seed is short, and most of what it makes lives as long


def _story(world: World) -> str:
    """Tell what a seed did last, and what was wrong."""
    return "\n".join([*map(str, world.trace), traceback.format_exc()])
