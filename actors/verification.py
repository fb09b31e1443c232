"""Derive everything that is kept about a tenant's events from the events themselves, and compare.

It reads a copy of the database as it is at one moment, and the archive; it changes nothing and
wakes nobody. Events that are in the log only are in neither side: the database's rollups and its
rows move in one transaction. What is compared, exactly:

* how many events each quarter of an hour has, by name and by bots;
* which persons were seen in it, with and without bots;
* the counters `event:…`, where all of the tenant's events are still there.
"""

from __future__ import annotations

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from pyroaring import BitMap

from raydo.actors import tenant
from raydo.actors.analytics import OTHER, STREAM, Analytics
from raydo.actors.buckets import BUCKET_MS, bucket_of
from raydo.actors.counters import Counters
from raydo.actors.event import BOT
from raydo.actors.lake import Lake, namespace_of
from raydo.actors.rollups import Rollups
from raydo.actors.schema import open_database
from raydo.actors.storage import DATABASE_FILE
from raydo.pipelining.limits import DRIFTS_MAX, EVENT_NAMES_MAX, VERIFY_ROWS

if TYPE_CHECKING:
    from raydo.actors.database import Database
    from raydo.pipelining.noun import Noun

_ROWS: Final = "SELECT seq, timestamp, event, user_id, flags, stream FROM raw_events"
_COLUMNS: Final = ("timestamp", "event", "user_id", "flags", "stream")
_RUNS: Final = """SELECT before_ms, cut_seq FROM _raydo_runs WHERE run <= ?"""
OnRows = Callable[[int], None]


class Row(NamedTuple):
    """What is needed of an event."""

    timestamp_ms: int
    event: str
    user_id: str | None
    flags: int
    stream: str


class Drift(NamedTuple):
    """One figure that is not what the events say."""

    what: str
    where: str
    kept: Any
    derived: Any


@dataclass(slots=True)
class Verified:
    """What was read of one tenant, and what is wrong; `drifts` has the first DRIFTS_MAX."""

    noun: Noun
    events: int = 0
    archived: int = 0
    buckets: int = 0
    drifts: list[Drift] = field(default_factory=list)
    count: int = 0

    def compare(self, what: str, kept: Mapping[Any, Any], derived: Mapping[Any, Any]) -> None:
        """Note each figure that differs."""
        for key in kept.keys() | derived.keys():
            if (left := kept.get(key, 0)) != (right := derived.get(key, 0)):
                self.note(Drift(what, str(key), left, right))

    def note(self, drift: Drift) -> None:
        """Note one."""
        self.count += 1
        if len(self.drifts) < DRIFTS_MAX:
            self.drifts.append(drift)


def verify(
    data: Path,
    noun: Noun,
    staging: Path,
    now_ms: int,
    *,
    lake: Mapping[str, str] | None = None,
    on_rows: OnRows = lambda _count: None,
) -> Verified:
    """Compare one tenant's rollups and counters with its events.

    `staging` is a folder for a copy of its database; `lake` what the server's own setting is.

    Raises:
        DataUnreadable: the database or the archive is.
    """
    home = tenant.folder(data, noun)
    copy = staging / DATABASE_FILE
    source = sqlite3.connect(f"{(home / DATABASE_FILE).absolute().as_uri()}?mode=ro", uri=True)
    with closing(source), closing(sqlite3.connect(copy)) as target:
        # Two connections that checkpoint at once can corrupt a file before SQLite 3.51.3.
        source.execute("PRAGMA wal_autocheckpoint=0")
        source.backup(target)
    database = open_database(copy)
    try:
        done = Verified(noun)
        for (problem,) in database.run("PRAGMA quick_check(1)"):
            if problem != "ok":
                done.note(Drift("database", home.name, problem, "ok"))
        place = Lake(home, namespace_of(noun), dict(lake or {}))
        sums = _Sums(Rollups(database))
        for rows in _all(database, place, done):
            sums.add(rows)
            done.events += len(rows)
            on_rows(len(rows))
        done.buckets = len(sums.events)
        _compare(database, sums, done, now_ms)
        return done
    finally:
        database.close()
        copy.unlink()


class _Sums:
    """Add events up, as nobody else does it."""

    def __init__(self, rollups: Rollups) -> None:
        self.rollups = rollups
        self.events: Counter[int] = Counter()
        self.bots: Counter[int] = Counter()
        self.names: Counter[tuple[int, str]] = Counter()
        self.counted: Counter[str] = Counter()  # of the stream that has counters
        self.seen: defaultdict[tuple[int, bool], BitMap] = defaultdict(BitMap)
        self._persons: dict[str, int | None] = {}

    def add(self, rows: Iterable[Row]) -> None:
        for row in rows:
            bucket, bot = bucket_of(row.timestamp_ms), bool(row.flags & BOT)
            self.events[bucket] += 1
            self.bots[bucket] += bot
            self.names[bucket, row.event] += 1
            if row.stream == STREAM:
                self.counted[row.event] += 1
            if row.user_id is not None and (person := self._person(row.user_id)) is not None:
                self.seen[bucket, bot].add(person)

    def _person(self, user_id: str) -> int | None:
        if user_id not in self._persons:
            self._persons[user_id] = self.rollups.person(user_id)
        return self._persons[user_id]


def _compare(database: Database, sums: _Sums, done: Verified, now_ms: int) -> None:
    stored = database.run("SELECT bucket, events, bots FROM _raydo_buckets")
    done.compare("events", {b: n for b, n, _ in stored if n}, sums.events)
    done.compare("bots", {b: n for b, _, n in stored if n}, +sums.bots)
    ids = dict(database.run("SELECT name, id FROM _raydo_names"))
    names: Counter[tuple[int, int]] = Counter()
    for (bucket, name), count in sums.names.items():
        names[bucket, ids.get(name, 0)] += count
    kept = database.run("SELECT * FROM _raydo_counts")
    done.compare("events by name", {(b, name): n for b, name, n in kept if n}, names)
    for bucket in {b for b, _, _ in stored} | sums.events.keys():
        _compare_persons(sums, bucket, done)
    if done.noun.cls == Analytics.__name__ and not _expired(database):
        _compare_counters(database, sums, done, now_ms)


def _compare_persons(sums: _Sums, bucket: int, done: Verified) -> None:
    humans = sums.seen.get((bucket, False), BitMap())
    everybody = humans | sums.seen.get((bucket, True), BitMap())
    start_ms = bucket * BUCKET_MS
    for what, derived, bots in (("humans", humans, False), ("persons", everybody, True)):
        kept = sums.rollups.users_between(start_ms, start_ms + BUCKET_MS, bots=bots)
        if kept != derived:
            done.note(Drift(what, str(bucket), len(kept - derived), len(derived - kept)))


def _compare_counters(database: Database, sums: _Sums, done: Verified, now_ms: int) -> None:
    counters = Counters(now_ms)
    counters.load(database.run("SELECT * FROM _raydo_counters"))
    kept = {
        name.removeprefix("event:"): count
        for name, count in counters.top("event:", EVENT_NAMES_MAX + 1)
    }
    if OTHER in kept:  # names beyond the bound are counted as one, whichever came first
        done.compare("counters", {"all": sum(kept.values())}, {"all": sums.counted.total()})
    else:
        done.compare("counters", kept, sums.counted)


def _expired(database: Database) -> bool:
    """Tell whether the tenant has let go of events for their age: counters go on counting them."""
    found = database.run("SELECT 1 FROM _raydo_erasures WHERE before_ms IS NOT NULL LIMIT 1")
    return bool(found)


def _all(database: Database, lake: Lake, done: Verified) -> Iterator[list[Row]]:
    """Give all events, each once: the archive's, then those that it has not."""
    run = 0
    if database.run("SELECT 1 FROM _raydo_runs LIMIT 1"):
        # Only here: who has no archive needs none of it.
        from raydo.actors.lake_snapshots import last_run, live_files, read
        from raydo.actors.lake_table import opened

        with opened(lake) as table:
            snapshot = None if table is None else table.current_snapshot()
            if table is not None and snapshot is not None:
                [(known,)] = database.run("SELECT max(run) FROM _raydo_runs")
                run = min(last_run(table), known)
                paths = [each.file_path for each in live_files(table, snapshot)]
                for batch in read(table.io, paths, _COLUMNS):
                    rows = _rows_of(batch)
                    done.archived += len(rows)
                    yield rows
    covered = database.run(_RUNS, (run,))
    where = " AND ".join(["NOT (timestamp < ? AND seq <= ?)"] * len(covered)) or "1"
    bounds = [value for pair in covered for value in pair]
    last_seq = -1
    sql = f"{_ROWS} WHERE seq > ? AND {where} ORDER BY seq LIMIT ?"
    while found := database.run(sql, (last_seq, *bounds, VERIFY_ROWS)):
        last_seq = found[-1][0]
        yield [Row(*row[1:]) for row in found]


def _rows_of(batch: Any) -> list[Row]:
    columns = [batch.column(name).to_pylist() for name in _COLUMNS]
    return [Row(round(at.timestamp() * 1_000), *rest) for at, *rest in zip(*columns, strict=True)]
