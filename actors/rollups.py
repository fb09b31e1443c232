"""What a tenant's events amount to, exact at every moment: users and events by 15-minute bucket.

`apply` runs in the drain's transaction, next to the raw events themselves: what is drained is
rolled up, and nothing else is. It writes as much as the buckets and users that it touches, however
long the history. Any span of days in any zone is then a union of bitmaps, and no scan.

What is in memory is a copy of what is stored. Each `apply` counts up a generation in the database;
when memory and database disagree about it, a transaction was rolled back, and memory starts over.
So nobody has to say that a rollback happened.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date
from typing import TYPE_CHECKING, Final, NamedTuple

from pyroaring import BitMap

from raydo.actors import cohort_table, daily, event_names, merged_ids, people, usersets
from raydo.actors.buckets import BUCKET_MS, DAY, bucket_of, buckets_between, date_of
from raydo.actors.cohort_table import CohortTable
from raydo.actors.daily import Daily, DayTotal
from raydo.actors.database import Database
from raydo.actors.event_names import OTHER_EVENTS, EventNames
from raydo.actors.links import Identities, Join, Link
from raydo.actors.merged_ids import MergedIds
from raydo.actors.people import People
from raydo.actors.periods import Range
from raydo.actors.retention import Cohort, cohorts, periods
from raydo.actors.rolled import Rolled
from raydo.actors.usersets import UserSets, bucket_of_slot, is_bot_slot, slot_of
from raydo.actors.zone import DayMetrics
from raydo.actors.zone import zone as find_zone
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import DAYS_TOLD_MAX

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

# A day has a next one, in any zone, without leaving what a date can say.
_FIRST_DATE: Final = date(1, 1, 3)
_LAST_DATE: Final = date(9999, 12, 28)

TABLES: Final = (
    *people.TABLES,
    *merged_ids.TABLES,
    *usersets.TABLES,
    *daily.TABLES,
    *event_names.TABLES,
    # One row: how often `apply` ran, and the zone that the tables of `daily` stand for.
    """CREATE TABLE IF NOT EXISTS _raydo_rollups (
        id INTEGER PRIMARY KEY CHECK (id = 1), generation INTEGER NOT NULL, zone TEXT
    )""",
    "INSERT OR IGNORE INTO _raydo_rollups VALUES (1, 0, NULL)",
    *cohort_table.TABLES,
)


class RolledEvent(NamedTuple):
    """What rollups need of an event; `user_id` is the column of that name in `raw_events`."""

    timestamp_ms: int
    event: str
    user_id: str | None
    bot: bool


class Rollups:
    """Roll up the events of one tenant, and answer from the rollups."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._people = People(database)
        self._merged = MergedIds(database)
        self._names = EventNames(database)
        self._sets = UserSets(database)
        self._daily = Daily(database, self._sets)
        self._cohorts = CohortTable(database, self._sets)
        self.rolled = Rolled(database, self._sets)
        self._generation = -1  # of what is in memory
        self._told: dict[tuple[date, int, ZoneInfo, bool], Mapping[date, DayTotal]] = {}
        self._told_generation = -1

    def create(self) -> None:
        """Make the tables that are not there yet, inside the open transaction."""
        for statement in TABLES:
            self._database.run(statement)

    def apply(self, events: Iterable[RolledEvent], links: Sequence[Link] = ()) -> None:
        """Add events, each exactly once, inside the transaction that drains them.

        `links` are what the same events say about who is who, in their order. They restate the
        past: whoever becomes another person was that one in each bucket that it was seen in.
        """
        counts, visits = _grouped(events)
        if not counts:
            return
        self._begin()
        self._count(counts)
        if links:
            self._join(links)
        self._visit(visits)

    def erase(
        self,
        user_id: str,
        events: Iterable[RolledEvent],
        survivors: Iterable[RolledEvent] = (),
    ) -> list[str]:
        """Take a person out, inside a transaction; return all its ids, which are forgotten.

        `events` are the rows that go, from wherever they are. When some of them are other
        persons' (a device that two shared), `survivors` are at least those rows of these persons
        that stay in the same buckets. After it the rollups equal the events without those rows.
        """
        self._begin()
        ids = self.ids(user_id)
        counts, visits = _grouped(events)
        self._daily.uncount(self._slots(counts, self._names.known()))
        self._unvisit(visits, _grouped(survivors)[1], ids)
        self._merged.remove(ids)
        self._people.remove(ids)
        return ids

    def expire(self, before_ms: int, day: date) -> int:
        """Forget what lies before a moment, with which a local day and a bucket begin.

        Return how many buckets went. Whoever was seen since begins with what is left; who is who
        stays known as long as a person does.
        """
        self._begin()
        bucket = bucket_of(before_ms)
        self._sets.expire(bucket)
        self._people.expire(bucket)
        return self._daily.expire(bucket, day)

    def ids(self, user_id: str) -> list[str]:
        """List all ids of the person that `user_id` stands for, the person's own first."""
        person = self._merged.persons([user_id]).get(user_id, user_id)
        return [person, *self._merged.ids(person)]

    def days(
        self, count: int, zone: str, to_date: date | None, now_ms: int, *, bots: bool = True
    ) -> list[DayMetrics]:
        """Answer `{"date", "dau", "events", "partial"}` for `count` local days, newest first.

        `to_date` None ends with today. `partial` marks a day that is not over.

        Raises:
            InvalidArgument: there is no such zone, or the days lie outside the calendar.
        """
        where = find_zone(zone)
        today = date_of(bucket_of(now_ms), where)
        last = to_date or today
        if last > _LAST_DATE or (last - _FIRST_DATE).days < count:
            raise InvalidArgument(
                f"{count} days to {last} are not all between the years 1 and 9999."
            )
        dates = [last - DAY * back for back in range(count)]
        totals = self._totals(dates, where, bots=bots)
        return [
            {
                "date": day.isoformat(),
                "dau": totals[day].dau,
                "events": totals[day].events,
                "partial": day >= today,
            }
            for day in dates
        ]

    def retention(
        self,
        period: str,
        zone: str,
        first: date | None,
        last: date | None,
        now_ms: int,
        *,
        week_start: str = "monday",
        bots: bool = True,
    ) -> list[Cohort]:
        """Answer `{"cohort", "size", "retained"}` for each day, week or month, oldest first.

        Raises:
            InvalidArgument: no such period or zone, too many cohorts, or outside the calendar.
        """
        where = find_zone(zone)
        last = last or date_of(bucket_of(now_ms), where)
        if last > _LAST_DATE or min(first or last, last) < _FIRST_DATE.replace(year=2):
            raise InvalidArgument(f"{first} to {last} is not all between the years 2 and 9999.")
        begins = periods(period, first, last, week_start)
        [(start,)] = self._database.run("SELECT min(bucket) FROM _raydo_buckets")
        span = Range(period, begins[0], last, where, week_start)
        return cohorts(self._sets, span, begins, first_bucket=start or 0, bots=bots)

    def materialise(self, zone: str) -> int:
        """Bring `hourly_events` and `daily_metrics` up to date; return how many days were written.

        Raises:
            InvalidArgument: there is no such zone.
        """
        return self._daily.materialise(find_zone(zone))

    def materialise_retention(self, zone: str, week_start: str) -> bool:
        """Bring `retention` up to date; tell whether it had to be written."""
        return self._cohorts.materialise(find_zone(zone), week_start)

    def users_between(self, from_ms: int, to_ms: int, *, bots: bool = True) -> BitMap:
        """Return the persons seen in the buckets that `from_ms <= moment < to_ms` touches."""
        users = BitMap()
        for _, seen in self._sets.read(buckets_between(from_ms, to_ms), bots=bots):
            users |= seen
        return users

    def person(self, user_id: str) -> int | None:
        """Return the person that `user_id` stands for, as in `users_between`."""
        return self._people.person(user_id)

    def first_seen(self, user_id: str) -> int | None:
        """Return when the bucket began in which a user was first seen, in milliseconds."""
        person = self._people.person(user_id)
        buckets = [] if person is None else self._people.seen(person)
        return buckets[0] * BUCKET_MS if buckets else None

    def since(self, user_id: str, before_ms: int, events: int) -> int | None:
        """Return a moment with as many events of a person from there to `before_ms`, or with all.

        None when the person has none up to then.
        """
        person = self._people.person(user_id)
        seen = [] if person is None else self._people.seen(person)
        until = bucket_of(before_ms)
        buckets = [bucket for bucket in seen if bucket <= until]
        # Each has one event at least, but the last one's may all come after the moment.
        whole = buckets[:-1] if buckets and buckets[-1] == until else buckets
        if not buckets:
            return None
        return (whole[-events] if len(whole) >= events else buckets[0]) * BUCKET_MS

    def _settle(self) -> None:
        """Start over from the database when it is not what memory was copied from."""
        generation = self._stored_generation()
        if generation != self._generation:
            self._people.forget()
            self._names.forget()
            self._sets.forget()
            self._generation = generation

    def _totals(self, dates: list[date], zone: ZoneInfo, *, bots: bool) -> Mapping[date, DayTotal]:
        """Return days' totals, those of the latest questions from memory as long as nothing changed."""
        generation = self._stored_generation()
        if generation != self._told_generation:
            self._told.clear()
            self._told_generation = generation
        key = (dates[0], len(dates), zone, bots)
        totals = self._told.get(key)
        if totals is None:
            if len(self._told) >= DAYS_TOLD_MAX:
                self._told.clear()
            totals = self._told[key] = self._daily.totals(dates, zone, bots=bots)
        return totals

    def _stored_generation(self) -> int:
        generation: int = self._database.run("SELECT generation FROM _raydo_rollups")[0][0]
        return generation

    def _begin(self) -> None:
        """Begin to change something: memory and database change together from here on."""
        self._told.clear()  # what this may roll back would come again under the same generation
        self._database.begin()
        self._settle()
        self._generation += 1
        self._database.run("UPDATE _raydo_rollups SET generation = ?", (self._generation,))

    def _count(self, counts: Mapping[tuple[int, str], int]) -> None:
        ids = self._names.ids(event for _, event in counts)
        self._daily.count(self._slots(counts, ids))

    @staticmethod
    def _slots(
        counts: Mapping[tuple[int, str], int], ids: Mapping[str, int]
    ) -> Iterator[tuple[int, int, int, int]]:
        for (slot, event), events in counts.items():
            name = ids.get(event, OTHER_EVENTS)
            yield bucket_of_slot(slot), name, events, events * is_bot_slot(slot)

    def _join(self, links: Sequence[Link]) -> None:
        """Merge persons as links say, in what they were seen in before."""
        persons = self._people.persons({each for link in links for each in link[:2]})
        news = [link for link in links if persons[link.previous] != persons[link.user]]
        joins = Identities(self._merged).join(news)
        if not joins:
            return
        moves = _final(joins)
        groups = self._merged.joined([previous for previous, _ in moves])
        numbers = self._people.merge(moves, groups)
        self._merged.move(moves)
        seen = self._people.unite(numbers)
        self._sets.move(seen, numbers)
        self._daily.change({bucket for buckets in seen.values() for bucket in buckets})

    def _unvisit(
        self,
        visits: Mapping[int, set[str]],
        survivors: Mapping[int, set[str]],
        ids: Sequence[str],
    ) -> None:
        """Take a person out of all sets, and others where none of their rows stays."""
        persons = self._people.find(set(ids).union(*visits.values(), *survivors.values()))
        gone: defaultdict[int, BitMap] = defaultdict(BitMap)
        for slot, names in visits.items():
            stay = {persons.get(user) for user in survivors.get(slot, ())}
            gone[slot] = BitMap({persons[name] for name in names if name in persons} - stay)
        erased = persons.get(ids[0], -1)
        for bucket in self._people.seen(erased):
            for bot in (False, True):
                gone[slot_of(bucket, bot)].add(erased)
        self._sets.remove(gone)
        others: defaultdict[int, set[int]] = defaultdict(set)
        for slot, users in gone.items():
            bucket = bucket_of_slot(slot)
            for person in users:
                if person == erased or not self._sets.holds(bucket, person):
                    others[person].add(bucket)
        self._people.unsee(others)
        self._daily.change({bucket_of_slot(slot) for slot in gone})

    def _visit(self, visits: Mapping[int, set[str]]) -> None:
        persons = self._people.persons(set().union(*visits.values()))
        added = self._sets.add(
            {slot: BitMap([persons[user] for user in users]) for slot, users in visits.items()}
        )
        buckets: defaultdict[int, list[int]] = defaultdict(list)
        for slot, new in added.items():
            for person in new:
                buckets[person].append(bucket_of_slot(slot))
        self._people.saw(buckets)


def _final(joins: Sequence[Join]) -> list[Join]:
    """Say of each person that became another's, in order, whose it is after all of them."""
    final: dict[str, str] = {}
    for previous, person in reversed(joins):
        final[previous] = final.get(person, person)
    return list(final.items())


def _grouped(
    events: Iterable[RolledEvent],
) -> tuple[Counter[tuple[int, str]], defaultdict[int, set[str]]]:
    """Count events by slot and name, and list users by slot."""
    counts: Counter[tuple[int, str]] = Counter()
    visits: defaultdict[int, set[str]] = defaultdict(set)
    for timestamp_ms, event, user_id, bot in events:
        slot = slot_of(bucket_of(timestamp_ms), bot)
        counts[slot, event] += 1
        if user_id is not None:
            visits[slot].add(user_id)
    return counts, visits
