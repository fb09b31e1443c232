"""What remembering message ids costs: time an id, memory and disk, at up to tens of millions.

    python -m benchmarks.dedupe [--keys 70000000] [--days 7] [--batch 2000]

Ids arrive in batches; each batch is looked up, stored in a transaction of its own and committed, as
a drain does. Merges run in between, on this thread, and are timed apart. Then new ids and ids that
were sent before are looked up among all of them. Times are of the processor, so that they mean the
same on a busy machine; the rate is by the clock. The files are deleted at the end.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_SELF, getrusage
from time import perf_counter, process_time
from typing import Any

from benchmarks.table import report
from raydo.actors.database import Database
from raydo.actors.disk import OsDisk
from raydo.actors.idrun import KEY_BYTES
from raydo.actors.idset import IdSet

PROBES = 200_000
FIRST_DAY = 20_000
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Bench:
    """One set of ids on disk, and where the time went."""

    def __init__(self, folder: Path, count: int, days: int, batch: int) -> None:
        self.folder, self.count, self.days, self.batch = folder, count, days, batch
        self.database = Database(folder / "tenant.db")
        self.database.run("PRAGMA synchronous=NORMAL")  # the log is what a reply waits for
        self.ids = IdSet(self.database, OsDisk(), folder)
        self.database.begin()
        self.ids.create()
        self.database.commit()
        self.spent_s: Counter[str] = Counter()
        self.longest_s: Counter[str] = Counter()
        self.sample: list[bytes] = []

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        began, began_cpu = perf_counter(), process_time()
        yield
        self.spent_s[name] += process_time() - began_cpu
        self.longest_s[name] = max(self.longest_s[name], perf_counter() - began)

    def fill(self) -> None:
        for start in range(0, self.count, self.batch):
            day = FIRST_DAY + start * self.days // self.count
            keys = made_up(min(self.batch, self.count - start))
            with self.timed("look up"):
                assert all(self.ids.fresh(keys, day))
            with self.timed("drain"):
                self.ids.drain(keys, day)
                self.database.commit()
                self.ids.committed()
            with self.timed("merge"):
                self.merge()
            self.sample += random.sample(keys, k=max(1, len(keys) * PROBES // self.count))

    def merge(self) -> None:
        while merge := self.ids.merge_due():
            merge.run()
            self.ids.adopt(merge)
            self.database.commit()
            self.ids.committed()
            self.ids.checkpointed()

    def look_again(self, name: str, keys: list[bytes], *, expected: bool) -> float:
        for start in range(0, len(keys), self.batch):
            mark = self.ids.mark()
            asked = keys[start : start + self.batch]
            with self.timed(name):
                answers = self.ids.fresh(asked, FIRST_DAY + self.days - 1)
            assert answers == [expected] * len(asked)
            self.ids.rollback(mark)
        return self.spent_s[name] / len(keys) * 1e6

    def wake_up(self) -> float:
        began = perf_counter()
        IdSet(self.database, OsDisk(), self.folder).load()
        return (perf_counter() - began) * 1e3


def measure(folder: Path, count: int, days: int, batch: int) -> list[dict[str, Any]]:
    bench = Bench(folder, count, days, batch)
    anonymous = anonymous_bytes()
    began = perf_counter()
    bench.fill()
    rate = count / (perf_counter() - began)
    grown = anonymous_bytes() - anonymous
    random.shuffle(bench.sample)
    cost_us = {name: spent / count * 1e6 for name, spent in bench.spent_s.items()}
    values: dict[str, Any] = {
        "ids remembered": count,
        "look up and add, CPU us an id": cost_us["look up"],
        "drain and commit, CPU us an id": cost_us["drain"],
        "merge (any thread), CPU us an id": cost_us["merge"],
        "ids a second, all of it on one thread": rate,
        "longest drain (a file is written), ms": bench.longest_s["drain"] * 1e3,
        "memory grown by, MB": grown / 1e6,
        "peak resident with mapped files, MB": getrusage(RUSAGE_SELF).ru_maxrss * RSS_UNIT / 1e6,
        "disk, MB": sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
        "files": sum(1 for _ in folder.iterdir()),
        "a new id among all, CPU us": bench.look_again("new", made_up(PROBES), expected=True),
        "a re-sent id, CPU us": bench.look_again("re-sent", bench.sample, expected=False),
        "wake up, ms": bench.wake_up(),
    }
    return [{"what": name, "value": value} for name, value in values.items()]


def made_up(count: int) -> list[bytes]:
    raw = os.urandom(count * KEY_BYTES)
    return [raw[at : at + KEY_BYTES] for at in range(0, len(raw), KEY_BYTES)]


def anonymous_bytes() -> int:
    """Return the memory of this process that no file backs; 0 where /proc does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("RssAnon"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dedupe", description=__doc__)
    parser.add_argument("--keys", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--batch", type=int, default=2_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        rows = measure(Path(folder), chosen.keys, chosen.days, chosen.batch)
    report(f"dedupe-{chosen.keys}", rows)


if __name__ == "__main__":
    main()
