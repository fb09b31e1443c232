"""Users and events by local day and hour: computed from the buckets, and kept as tables for SQL.

`hourly_events` and `daily_metrics` are what anybody's SQL reads. They stand for one zone, the
tenant's. `materialise` writes the days and hours whose buckets changed since it last ran, and
everything when the zone is another one (or has other rules than it had), so that right after it
both tables equal the same query over the raw events.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator
from datetime import date, datetime
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from raydo.actors.buckets import DAY, HOUR, cover, cover_date, date_of, hour_of, rules_of
from raydo.actors.database import Database
from raydo.actors.usersets import UserSets
from raydo.pipelining.limits import ROLLUP_STRETCH_DAYS

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS _raydo_buckets (
        bucket INTEGER PRIMARY KEY, events INTEGER NOT NULL, bots INTEGER NOT NULL
    )""",
    """CREATE TABLE IF NOT EXISTS _raydo_counts (
        bucket INTEGER, name INTEGER, events INTEGER NOT NULL, PRIMARY KEY (bucket, name)
    ) WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS _raydo_changed (bucket INTEGER PRIMARY KEY)",
    """CREATE TABLE IF NOT EXISTS hourly_events (
        hour TEXT, event TEXT, count INTEGER NOT NULL, PRIMARY KEY (hour, event)
    ) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS daily_metrics (
        date TEXT PRIMARY KEY, dau INTEGER NOT NULL, events INTEGER NOT NULL
    ) WITHOUT ROWID""",
)
_GAP_DAYS: Final = 7  # reading a few days too many costs less than asking once more


class DayTotal(NamedTuple):
    """What one local day amounts to."""

    dau: int
    events: int


class Daily:
    """Answer by local day, from the buckets of one tenant."""

    def __init__(self, database: Database, sets: UserSets) -> None:
        self._database = database
        self._sets = sets

    def count(self, slots: Iterable[tuple[int, int, int, int]]) -> None:
        """Add `(bucket, name, events, bots)` to the counts of the buckets."""
        totals: Counter[int] = Counter()
        bot_totals: Counter[int] = Counter()
        counts: Counter[tuple[int, int]] = Counter()
        for bucket, name, events, bots in slots:
            totals[bucket] += events
            bot_totals[bucket] += bots
            counts[bucket, name] += events
        self._database.run_many(
            "INSERT INTO _raydo_buckets VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET events = events + excluded.events, bots = bots + excluded.bots",
            [(bucket, events, bot_totals[bucket]) for bucket, events in totals.items()],
        )
        self._database.run_many(
            "INSERT INTO _raydo_counts VALUES (?, ?, ?) ON CONFLICT DO UPDATE"
            " SET events = events + excluded.events",
            [(*key, events) for key, events in counts.items()],
        )
        self.change(totals)

    def uncount(self, slots: Iterable[tuple[int, int, int, int]]) -> None:
        """Take `(bucket, name, events, bots)` out of the counts of the buckets again."""
        slots = list(slots)
        self.count((bucket, name, -events, -bots) for bucket, name, events, bots in slots)
        buckets = [(bucket,) for bucket in {slot[0] for slot in slots}]
        for table in ("_raydo_buckets", "_raydo_counts"):
            self._database.run_many(
                f"DELETE FROM {table} WHERE bucket = ? AND events = 0",  # noqa: S608 - ours
                buckets,
            )

    def change(self, buckets: Iterable[int]) -> None:
        """Say that the days and hours of some buckets must be written anew."""
        self._database.run_many(
            "INSERT OR IGNORE INTO _raydo_changed VALUES (?)", [(bucket,) for bucket in buckets]
        )

    def expire(self, bucket: int, day: date) -> int:
        """Forget the counts before a bucket, and before a local day; return how many buckets had."""
        [(gone,)] = self._database.run(
            "SELECT count(*) FROM _raydo_buckets WHERE bucket < ?", (bucket,)
        )
        for table in ("_raydo_buckets", "_raydo_counts", "_raydo_changed"):
            self._database.run(f"DELETE FROM {table} WHERE bucket < ?", (bucket,))  # noqa: S608
        for table, column in (("daily_metrics", "date"), ("hourly_events", "hour")):
            self._database.run(
                f"DELETE FROM {table} WHERE {column} < ?",  # noqa: S608 - names of ours
                (day.isoformat(),),
            )
        return int(gone)

    def totals(
        self, dates: Collection[date], zone: ZoneInfo, *, bots: bool
    ) -> dict[date, DayTotal]:
        """Return the total of each of some days, from the tables where they still hold."""
        totals = self._standing(dates, zone) if bots else {}
        missing = [day for day in dates if day not in totals]
        return totals | self._compute(missing, zone, bots=bots)

    def materialise(self, zone: ZoneInfo) -> int:
        """Bring `hourly_events` and `daily_metrics` up to date; return the days written."""
        self._move_to(zone)
        changed: defaultdict[date, set[datetime]] = defaultdict(set)
        for (bucket,) in self._database.run("SELECT bucket FROM _raydo_changed"):
            changed[date_of(bucket, zone)].add(hour_of(bucket, zone))
        if not changed:
            return 0
        totals = self._compute(changed, zone, bots=True)
        self._database.run_many(
            "REPLACE INTO daily_metrics VALUES (?, ?, ?)",
            [(day.isoformat(), *total) for day, total in totals.items() if total.events],
        )
        self._database.run_many(
            "DELETE FROM daily_metrics WHERE date = ?",
            [(day.isoformat(),) for day, total in totals.items() if not total.events],
        )
        for hours in changed.values():
            self._write_hours(hours, zone)
        self._database.run("DELETE FROM _raydo_changed")
        return len(changed)

    def _compute(
        self, dates: Collection[date], zone: ZoneInfo, *, bots: bool
    ) -> dict[date, DayTotal]:
        """Return the total of each of some days, from the buckets."""
        totals: dict[date, DayTotal] = {}
        for stretch in _stretches(dates):
            buckets = range(cover_date(stretch[0], zone).start, cover_date(stretch[-1], zone).stop)
            users = self._users(buckets, zone, bots=bots)
            events = self._events(buckets, zone, bots=bots)
            totals.update((day, DayTotal(users[day], events[day])) for day in stretch)
        return totals

    def _users(self, buckets: range, zone: ZoneInfo, *, bots: bool) -> Counter[date]:
        counts: Counter[date] = Counter()
        days: dict[date, BitMap] = {}
        for bucket, users in self._sets.read(buckets, bots=bots):
            day = date_of(bucket, zone)
            if day in days:
                days[day] |= users
                continue
            for over in [other for other in days if other < day - DAY]:  # no clock goes back so far
                counts[over] = len(days.pop(over))
            days[day] = users
        counts.update({day: len(users) for day, users in days.items()})
        return counts

    def _events(self, buckets: range, zone: ZoneInfo, *, bots: bool) -> Counter[date]:
        rows = self._database.run(
            "SELECT bucket, events, bots FROM _raydo_buckets WHERE bucket >= ? AND bucket < ?",
            (buckets.start, buckets.stop),
        )
        counts: Counter[date] = Counter()
        for bucket, events, of_bots in rows:
            counts[date_of(bucket, zone)] += events if bots else events - of_bots
        return counts

    def _standing(self, dates: Collection[date], zone: ZoneInfo) -> dict[date, DayTotal]:
        """Return the days among `dates` whose rows in `daily_metrics` still hold."""
        if not dates or self._zone() != rules_of(zone):
            return {}
        first, last = min(dates), max(dates)
        rows = self._database.run(
            "SELECT date, dau, events FROM daily_metrics WHERE date >= ? AND date <= ?",
            (first.isoformat(), last.isoformat()),
        )
        written = {date: DayTotal(dau, events) for date, dau, events in rows}
        changed = self._database.run(
            "SELECT bucket FROM _raydo_changed WHERE bucket >= ? AND bucket < ?",
            (cover_date(first, zone).start, cover_date(last, zone).stop),
        )
        stale = {date_of(bucket, zone) for (bucket,) in changed}
        return {
            day: written.get(day.isoformat(), DayTotal(0, 0)) for day in dates if day not in stale
        }

    def _zone(self) -> str | None:
        zone: str | None = self._database.run("SELECT zone FROM _raydo_rollups")[0][0]
        return zone

    def _move_to(self, zone: ZoneInfo) -> None:
        """Empty the tables when they stand for another zone, or for rules it no longer has."""
        rules = rules_of(zone)
        if self._zone() == rules:
            return
        self._database.begin()
        self._database.run("UPDATE _raydo_rollups SET zone = ?", (rules,))
        self._database.run("DELETE FROM hourly_events")
        self._database.run("DELETE FROM daily_metrics")
        self._database.run("INSERT OR IGNORE INTO _raydo_changed SELECT bucket FROM _raydo_buckets")

    def _write_hours(self, hours: set[datetime], zone: ZoneInfo) -> None:
        buckets = cover(min(hours), max(hours) + HOUR, zone)
        rows = self._database.run(
            "SELECT bucket, _raydo_names.name, events FROM _raydo_counts"
            " JOIN _raydo_names ON id = _raydo_counts.name WHERE bucket >= ? AND bucket < ?",
            (buckets.start, buckets.stop),
        )
        counts: Counter[tuple[str, str]] = Counter()
        for bucket, event, events in rows:
            hour = hour_of(bucket, zone)
            if hour in hours:
                counts[_text(hour), event] += events
        self._database.run_many(
            "DELETE FROM hourly_events WHERE hour = ?", [(_text(hour),) for hour in hours]
        )
        self._database.run_many(
            "INSERT INTO hourly_events VALUES (?, ?, ?)",
            [(*key, count) for key, count in counts.items()],
        )


def _stretches(dates: Iterable[date]) -> Iterator[list[date]]:
    """Cut days, in order, where nothing is asked for a while and where it would be too many."""
    stretch: list[date] = []
    for day in sorted(dates):
        if stretch and (
            (day - stretch[-1]).days > _GAP_DAYS or (day - stretch[0]).days >= ROLLUP_STRETCH_DAYS
        ):
            yield stretch
            stretch = []
        stretch.append(day)
    if stretch:
        yield stretch


def _text(hour: datetime) -> str:
    return f"{hour:%Y-%m-%dT%H}:00"
