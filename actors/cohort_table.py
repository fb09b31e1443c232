"""The table `retention`: who came again, by the week of their first event, over the whole history.

It stands for one zone and one first day of weeks, the tenant's, and is written anew when it is about
to be read and anything changed since: a late event can move a person to another cohort, so there is
no writing a part of it. A cohort's rows are the weeks in which somebody of it came.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from typing import Final
from zoneinfo import ZoneInfo

from pyroaring import BitMap

from raydo.actors.buckets import bucket_of, date_of, rules_of
from raydo.actors.database import Database
from raydo.actors.periods import begin_of
from raydo.actors.usersets import UserSets

TABLES: Final = (
    """CREATE TABLE IF NOT EXISTS retention (
        cohort TEXT, week INTEGER, retained INTEGER NOT NULL, PRIMARY KEY (cohort, week)
    ) WITHOUT ROWID""",
    # One row: which rollups the table was computed from, for which weeks.
    """CREATE TABLE IF NOT EXISTS _raydo_retention (
        id INTEGER PRIMARY KEY CHECK (id = 1), stands_for TEXT NOT NULL
    )""",
    "INSERT OR IGNORE INTO _raydo_retention VALUES (1, '')",
)
_DAYS: Final = 7


class CohortTable:
    """Write the table of one tenant."""

    def __init__(self, database: Database, sets: UserSets) -> None:
        self._database = database
        self._sets = sets

    def materialise(self, zone: ZoneInfo, week_start: str) -> bool:
        """Bring the table up to date; tell whether it had to be written."""
        [(generation,)] = self._database.run("SELECT generation FROM _raydo_rollups")
        stands_for = f"{generation} {week_start} {rules_of(zone)}"
        if self._database.run("SELECT stands_for FROM _raydo_retention") == [(stands_for,)]:
            return False
        self._database.begin()
        self._database.run("DELETE FROM retention")
        self._database.run_many(
            "INSERT INTO retention VALUES (?, ?, ?)", list(self._rows(zone, week_start))
        )
        self._database.run("UPDATE _raydo_retention SET stands_for = ?", (stands_for,))
        return True

    def _rows(self, zone: ZoneInfo, week_start: str) -> Iterator[tuple[str, int, int]]:
        weeks = self._weeks(zone, week_start)
        begins = sorted(weeks)
        before = BitMap()
        for at, begin in enumerate(begins):
            new = weeks[begin] - before
            before |= new
            for later in begins[at:] if new else ():
                if count := new.intersection_cardinality(weeks[later]):
                    yield begin.isoformat(), (later - begin).days // _DAYS, count

    def _weeks(self, zone: ZoneInfo, week_start: str) -> dict[date, BitMap]:
        """Return the persons of each week that has any."""
        [ends] = self._database.run("SELECT min(bucket), max(bucket) FROM _raydo_buckets")
        weeks: defaultdict[date, BitMap] = defaultdict(BitMap)
        first, last = (end or bucket_of(0) for end in ends)
        for bucket, users in self._sets.read(range(first, last + 1)):
            weeks[begin_of("week", date_of(bucket, zone), week_start)] |= users
        return weeks
