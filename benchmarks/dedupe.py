"""What remembering message ids costs: time per id, memory and disk, at up to tens of millions.

    python -m benchmarks.dedupe [--keys 70000000] [--days 7] [--batch 2000] [--json FILE]

Ids arrive in batches, each looked up, stored in a transaction of its own and committed, as a drain
does; merges run in between, on the same thread, and are timed apart. Then fresh ids and ids that
were sent before are looked up again.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import sys
import tempfile
from pathlib import Path
from time import perf_counter

from raydo.actors.database import Database
from raydo.actors.disk import OsDisk
from raydo.actors.idrun import KEY_BYTES
from raydo.actors.idset import IdSet

PROBES = 200_000
RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def main() -> None:
    parser = argparse.ArgumentParser(description="Benchmark the dedupe structure.")
    parser.add_argument("--keys", type=int, default=2_000_000)
    parser.add_argument("--days", type=int, default=7)
    parser.add_argument("--batch", type=int, default=2_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(Path(folder), options.keys, options.days, options.batch)
    for name, value in report.items():
        print(f"{name:>34}  {value:,.2f}" if isinstance(value, float) else f"{name:>34}  {value:,}")
    if options.json:
        options.json.write_text(json.dumps(report, indent=2))


def measure(folder: Path, count: int, days: int, batch: int) -> dict[str, float | int]:
    database = Database(folder / "tenant.db")
    database.run("PRAGMA synchronous=NORMAL")  # the log is what is synced before a reply
    ids = IdSet(database, OsDisk(), folder)
    database.begin()
    ids.create()
    database.commit()
    resident_before = anonymous_bytes()
    times = {"lookup": 0.0, "drain": 0.0, "merge": 0.0}
    sample, slowest = fill(ids, database, count, days, batch, times)
    report: dict[str, float | int] = {
        "ids": count,
        "look up and add, us an id": times["lookup"] / count * 1e6,
        "drain and commit, us an id": times["drain"] / count * 1e6,
        "merge (any thread), us an id": times["merge"] / count * 1e6,
        "ids a second, merges included": int(count / sum(times.values())),
        "slowest drain, ms": slowest * 1e3,
        "memory (anonymous), MB": (anonymous_bytes() - resident_before) / 1e6,
        "peak resident (mapped too), MB": peak_bytes() / 1e6,
        "disk, MB": sum(file.stat().st_size for file in folder.iterdir()) / 1e6,
        "files": sum(1 for _ in folder.iterdir()),
    }
    report |= look_again(ids, sample, days, batch)
    started = perf_counter()
    IdSet(database, OsDisk(), folder).load()
    return report | {"wake up (load), ms": (perf_counter() - started) * 1e3}


def fill(
    ids: IdSet, database: Database, count: int, days: int, batch: int, times: dict[str, float]
) -> tuple[list[bytes], float]:
    sample: list[bytes] = []
    slowest = 0.0
    for start in range(0, count, batch):
        day = 20_000 + start * days // count
        keys = made_up(min(batch, count - start))
        began = perf_counter()
        fresh = ids.fresh(keys, day)
        looked_up = perf_counter()
        ids.drain(keys, day)
        database.commit()
        ids.committed()
        drained = perf_counter()
        merge_all(ids, database)
        times["lookup"] += looked_up - began
        times["drain"] += drained - looked_up
        times["merge"] += perf_counter() - drained
        slowest = max(slowest, drained - looked_up)
        assert all(fresh)
        sample.extend(random.sample(keys, k=max(1, batch * PROBES // count)))
    return sample, slowest


def merge_all(ids: IdSet, database: Database) -> None:
    while merge := ids.merge_due():
        merge.run()
        ids.adopt(merge)
        database.commit()
        ids.committed()
        ids.checkpointed()


def look_again(ids: IdSet, sample: list[bytes], days: int, batch: int) -> dict[str, float]:
    random.shuffle(sample)
    times = {}
    for name, keys, expected in (("new", made_up(PROBES), True), ("re-sent", sample, False)):
        spent = 0.0
        for start in range(0, len(keys), batch):
            mark = ids.mark()
            began = perf_counter()
            answers = ids.fresh(keys[start : start + batch], 20_000 + days - 1)
            spent += perf_counter() - began
            assert answers == [expected] * len(answers)
            ids.rollback(mark)
        times[f"look up {name} ids, us an id"] = spent / len(keys) * 1e6
    return times


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


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * RSS_UNIT


if __name__ == "__main__":
    main()
