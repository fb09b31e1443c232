"""A tenant's folder with events in it, and everything that archives them; no object, no Ray."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pyarrow as pa
from pyiceberg.io.pyarrow import PyArrowFile

from raydo.actors import lake_runs
from raydo.actors.lake import Lake, Step, no_step
from raydo.actors.lake_archive import archive
from raydo.actors.lake_compaction import Compacted, compact
from raydo.actors.lake_files import SyncedFileIO
from raydo.actors.lake_rows import TenantRows
from raydo.actors.lake_runs import Committed, Run, Runs
from raydo.actors.lake_snapshots import live_files, marks, read
from raydo.actors.lake_table import opened
from raydo.actors.schema import open_database

DAY_MS = 86_400_000
START_MS = 1_760_000_000_000 // DAY_MS * DAY_MS  # 2025-10-09T00:00Z
NAMESPACE = "acme-0123456789abcdef0123"
RUNS = 4  # of a scattered shelf

_INSERT = """INSERT INTO raw_events (seq, id, event, user_id, anonymous_id, timestamp, received_at,
    properties, context, flags, stream, appended_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"""
_HERE = """SELECT seq, id, event, user_id, anonymous_id, timestamp, received_at, appended_at,
    properties, context, stream, flags FROM raw_events"""


class Crash(BaseException):
    """The end of a process: nothing that handles errors handles this."""


@dataclass
class CrashAt:
    """End the work at the `nth` occurrence of a step, and note every step passed."""

    label: str = ""
    nth: int = 1
    passed: list[str] = field(default_factory=list)

    def __call__(self, label: str) -> None:
        self.passed.append(label)
        if label == self.label and self.passed.count(label) == self.nth:
            raise Crash(label)


class Shelf:
    """One tenant: its database, its runs and its archive."""

    def __init__(self, folder: Path, properties: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.lake = Lake(folder, NAMESPACE, properties or {})
        self.database = open_database(folder / "tenant.db")
        self.runs = Runs(self.database)
        self.now_ms = START_MS + 30 * DAY_MS

    def add(self, *events: tuple[int, str], appended_ms: int | None = None) -> None:
        """Add `(timestamp_ms, user)` events, appended at one moment."""
        last = self.database.run("SELECT coalesce(max(seq), 0) FROM raw_events")[0][0]
        for run in self.runs.list():
            last = max(last, run.cut_seq)
        appended = self.now_ms if appended_ms is None else appended_ms
        self.database.run_many(
            _INSERT,
            (
                row(seq, timestamp, user, appended)
                for seq, (timestamp, user) in enumerate(events, last + 1)
            ),
        )
        self.database.commit()

    def plan(self, before_ms: int | None = None, **options: Any) -> Run | None:
        options.setdefault("rows_min", 1)
        run = self.runs.plan(
            self.now_ms if before_ms is None else before_ms, self.now_ms, **options
        )
        self.database.commit()
        return run

    def archive(self, run: Run, step: Step = no_step, **options: Any) -> Committed:
        rows = TenantRows(self.folder / "tenant.db", batch_rows=7)
        return archive(self.lake, run, rows, step=step, **options)

    def settle(self, committed: Committed, rows: int = 5) -> None:
        while not self.runs.settle(committed, self.now_ms, rows=rows):
            self.database.commit()
        self.database.commit()

    def run(self, before_ms: int | None = None, step: Step = no_step) -> Committed | None:
        """Plan, archive and settle, as the tenant's object and its task do; go on after a crash."""
        run = self.plan(before_ms)
        step("planned")
        if run is None:
            return None
        if run.state == lake_runs.COMMITTED:
            self._clear(step)
            return None
        committed = self.archive(run, step)
        step("archived")
        done = self.runs.settle(committed, self.now_ms, rows=3)
        step("marked")
        self.database.commit()
        step("settled some")
        if not done:
            self._clear(step)
        return committed

    def _clear(self, step: Step) -> None:
        while not self.runs.clear(3):
            self.database.commit()
            step("cleared some")
        self.database.commit()

    def restart(self) -> Shelf:
        """End as a killed process does, and begin again."""
        self.database.close()
        return Shelf(self.folder, dict(self.lake.properties))

    # What can be read

    def events(self) -> list[tuple[Any, ...]]:
        """Read all events, of SQLite and the archive, as a query does: SQLite first."""
        self.database.commit()
        here = self.database.run(f"{_HERE} ORDER BY seq")
        with opened(self.lake) as table:
            snapshot = None if table is None else table.current_snapshot()
            if table is None or snapshot is None:
                return here
            known = marks(snapshot)
            cut_seq, before_ms = int(known["raydo.cut_seq"]), int(known["raydo.before_ms"])
            there = rows_of(read(table.io, [f.file_path for f in live_files(table, snapshot)]))
            left = [row for row in here if not (row[0] <= cut_seq and row[5] < before_ms)]
            return sorted([*left, *there])

    def seqs(self) -> list[int]:
        return [row[0] for row in self.events()]

    def archived(self, snapshot_id: int | None = None) -> list[tuple[Any, ...]]:
        """Read the archive alone, at a snapshot."""
        with opened(self.lake) as table:
            if table is None:
                return []
            chosen = table.snapshot_by_id(snapshot_id) if snapshot_id else table.current_snapshot()
            if chosen is None:
                return []
            paths = [file.file_path for file in live_files(table, chosen)]
            return sorted(rows_of(read(table.io, paths)))

    def as_of(self, moment_ms: int) -> list[int]:
        """Return the seqs that raydo had at a moment, whatever has been archived since."""
        return [row[0] for row in self.events() if row[7] <= moment_ms]

    def files(self) -> list[Path]:
        """List the archive's files."""
        return sorted(path for path in self.lake.home.rglob("*") if path.is_file())

    def parquet(self) -> list[Path]:
        return [path for path in self.files() if path.suffix == ".parquet"]


def row(seq: int, timestamp_ms: int, user: str, appended_ms: int) -> tuple[Any, ...]:
    """Make up an event, in the order of `_INSERT`."""
    anonymous = f"anon-{user}" if seq % 3 else None
    user_id = user if seq % 5 else None
    properties = f'{{"n":{seq},"text":"\u00e9{"x" * (seq % 4)}"}}'
    context = None if seq % 2 else '{"ip":"::1"}'
    return (
        *(seq, f"id-{seq}", f"Event {seq % 3}", user_id, anonymous, timestamp_ms),
        *(timestamp_ms + 500, properties, context, seq % 2, "analytics", appended_ms),
    )


def rows_of(batches: Iterable[pa.RecordBatch]) -> Iterator[tuple[Any, ...]]:
    """Give Parquet's rows as SQLite has them."""
    for batch in batches:
        times = [batch.column(n).cast(pa.int64()).to_pylist() for n in ("timestamp", "received_at")]
        columns = {name: batch.column(name).to_pylist() for name in batch.schema.names}
        columns |= {
            name: [each // 1_000 for each in values]
            for name, values in zip(("timestamp", "received_at"), times, strict=True)
        }
        yield from zip(*columns.values(), strict=True)


def scattered(folder: Path, properties: dict[str, str] | None = None) -> Shelf:
    """Archive two days in runs of which each has late events for the first."""
    shelf = Shelf(folder, properties)
    for run in range(RUNS):
        appended_ms = START_MS + run * DAY_MS
        shelf.add(
            *[(START_MS + n * 3_600_000 + run, f"u{n}") for n in range(5)], appended_ms=appended_ms
        )
        if run == 0:
            shelf.add((START_MS + DAY_MS, "other day"), appended_ms=appended_ms)
        shelf.run()
    return shelf


def restored(base: Path, name: str, build: Callable[[Path], Shelf]) -> Shelf:
    """Build a shelf once in `base`, and give it anew, at the same place, each time after that."""
    place, kept = base / name / "acme", base / name / "kept"
    if not kept.exists():
        build(place).database.close()
        shutil.copytree(place, kept)
    shutil.rmtree(place, ignore_errors=True)  # a test may have moved it
    shutil.copytree(kept, place)  # the times of the files are those of the original
    return Shelf(place)


def scattered_and_merged(folder: Path) -> Shelf:
    shelf = scattered(folder)
    merged(shelf)
    return shelf


def merged(shelf: Shelf, **options: object) -> Compacted | None:
    return compact(shelf.lake, settled_run=shelf.runs.settled, **options)  # type: ignore[arg-type]


class CrashingIO(SyncedFileIO):
    """The archive's IO, which ends the process instead of making the file whose turn it is."""

    left: ClassVar[int | None] = None  # files that are still made

    def new_output(self, location: str) -> PyArrowFile:
        if CrashingIO.left is not None:
            if CrashingIO.left == 0:
                raise Crash(location)
            CrashingIO.left -= 1
        return super().new_output(location)


CRASHING = {"py-io-impl": "support.shelf.CrashingIO"}
