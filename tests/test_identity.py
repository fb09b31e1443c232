"""Who is who: merges restate the past, in the order of receipt, whatever is drained or lost in between."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sim.model_kin import Kin

from raydo.actors.analytics import Analytics
from raydo.actors.buckets import BUCKET_MS
from raydo.actors.event import Event, parse
from raydo.actors.links import Identities, links_of
from raydo.actors.merged_ids import MergedIds
from raydo.actors.retention import begin_of
from raydo.actors.rollups import RolledEvent, Rollups
from raydo.actors.schema import open_database, use_calendar
from raydo.actors.zone import Calendar
from raydo.pipelining.limits import EVENT_ID_BYTES_MAX

DAY_MS = 86_400_000
NOW_MS = 1_762_500_000_000  # 2025-11-07, a few days after New York's clocks went back
ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")


class Sent(NamedTuple):
    """One event as a client sent it."""

    at_ms: int
    user_id: str | None = None
    anonymous_id: str | None = None
    previous: str | None = None
    bot: bool = False

    def parsed(self) -> Event:
        whole: dict[str, Any] = {
            "event": "Visit" if self.previous is None else "$alias",
            "timestamp": self.at_ms,
            "properties": {"is_bot": self.bot, "previousId": self.previous},
        }
        whole |= {"userId": self.user_id, "anonymousId": self.anonymous_id}
        return parse(json.dumps(whole).encode(), NOW_MS, new_id=lambda: "made")

    @property
    def user(self) -> str | None:
        return self.user_id or self.anonymous_id


def plain(sent: Iterable[Sent]) -> Kin:
    kin = Kin()
    for event in sent:
        kin.event(event.user, event.anonymous_id, event.previous)
    return kin


class Ledger:
    """A tenant's file and its rollups, and what was sent to them."""

    def __init__(self) -> None:
        self.database = open_database(None)
        self.rollups = Rollups(self.database)
        self.sent: list[Sent] = []

    def write(self, events: list[Sent], *, lost: bool = False) -> None:
        """Drain some events; a transaction that is lost leaves nothing."""
        parsed = [event.parsed() for event in events]
        self.database.begin()
        self.database.run_many(
            "INSERT INTO raw_events VALUES (?, 'id', ?, ?, ?, ?, ?, 0, ?, NULL, 'test', ?)",
            [
                (
                    *(len(self.sent) + n, e.event, e.user_id, e.anonymous_id, e.timestamp_ms),
                    *(e.received_ms, e.properties, e.flags),
                )
                for n, e in enumerate(parsed, start=1)
            ],
        )
        self.rollups.apply([rolled(event) for event in events], links_of(parsed))
        if lost:
            self.database.rollback()
            return
        self.database.commit()
        self.sent += events

    def check(self, sent: Iterable[Sent] | None = None) -> None:
        """Hold all that the rollups answer against the plain computation."""
        kin, left = plain(self.sent), self.sent if sent is None else list(sent)
        days = {zone: plain_days(left, kin, zone) for zone in ZONES}
        for zone, expected in days.items():
            span = range(-1, 40)
            answer = self.rollups.days(len(span), zone, date(2025, 11, 9), NOW_MS)
            assert {
                row["date"]: (row["dau"], row["events"]) for row in answer if row["events"]
            } == expected
            self.check_tables(zone, expected)
        self.check_sets(left, kin)

    def check_tables(self, zone: str, expected: dict[str, tuple[int, int]]) -> None:
        self.rollups.materialise(zone)
        self.database.commit()
        rows = self.database.run("SELECT date, dau, events FROM daily_metrics")
        assert {row[0]: row[1:] for row in rows} == expected
        use_calendar(self.database.connection, Calendar(zone))
        rows = self.database.run(
            "SELECT date, count(DISTINCT person_id), count(*) FROM events GROUP BY date"
        )
        assert {row[0]: row[1:] for row in rows} == expected

    def check_sets(self, left: list[Sent], kin: Kin) -> None:
        seen: defaultdict[str, set[int]] = defaultdict(set)
        for event in left:
            if event.user is not None:
                seen[kin.person(event.user)].add(event.at_ms // BUCKET_MS)
        for each in {event.user for event in left} - {None}:
            assert each is not None
            begun = self.rollups.first_seen(each)
            assert begun == min(seen[kin.person(each)]) * BUCKET_MS
        weeks: defaultdict[str, set[date]] = defaultdict(set)
        for person, buckets in seen.items():
            for bucket in buckets:
                day = datetime.fromtimestamp(bucket * BUCKET_MS / 1000, UTC).date()
                weeks[person].add(begin_of("week", day))
        [cohort, *_] = self.rollups.retention("week", "UTC", date(2025, 10, 20), None, NOW_MS)
        mine = [each for each in weeks.values() if min(each).isoformat() == cohort["cohort"]]
        assert cohort["size"] == len(mine)
        later = [sum(week in each for each in mine) for week in map(date.fromisoformat, _WEEKS)]
        assert cohort["retained"] == later


_WEEKS = ("2025-10-20", "2025-10-27", "2025-11-03")


def rolled(event: Sent) -> RolledEvent:
    name = "Visit" if event.previous is None else "$alias"
    return RolledEvent(event.at_ms, name, event.user, event.bot)


def plain_days(sent: Iterable[Sent], kin: Kin, zone: str) -> dict[str, tuple[int, int]]:
    persons: defaultdict[str, set[str]] = defaultdict(set)
    counts: defaultdict[str, int] = defaultdict(int)
    for event in sent:
        day = datetime.fromtimestamp(event.at_ms / 1000, ZoneInfo(zone)).date().isoformat()
        counts[day] += 1
        if event.user is not None:
            persons[day].add(kin.person(event.user))
    return {day: (len(persons[day]), count) for day, count in counts.items()}


def test_what_an_anonymous_visitor_did_is_the_users_once_it_is_known_who_it_was() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS - 9 * DAY_MS, anonymous_id="a1"), Sent(NOW_MS, user_id="alice")])
    assert ledger.rollups.first_seen("alice") == NOW_MS // BUCKET_MS * BUCKET_MS
    ledger.write([Sent(NOW_MS, user_id="alice", anonymous_id="a1")])
    ledger.check()
    assert ledger.rollups.ids("a1") == ledger.rollups.ids("alice") == ["alice", "a1"]
    assert ledger.database.run("SELECT DISTINCT user_id, person_id FROM events ORDER BY 1") == [
        ("a1", "alice"),
        ("alice", "alice"),
    ]


def test_the_first_known_user_keeps_a_device_that_two_share() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS, "alice", "tablet"), Sent(NOW_MS, "bob", "tablet")])
    ledger.write([Sent(NOW_MS, "bob", "tablet"), Sent(NOW_MS, None, "tablet")])
    ledger.check()
    assert ledger.rollups.ids("tablet") == ["alice", "tablet"]
    assert ledger.rollups.ids("bob") == ["bob"]


def test_a_user_whom_others_were_linked_to_is_nobodys_anonymous_id() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS, "bob", "a1")])
    ledger.write([Sent(NOW_MS, "alice", "bob")])
    ledger.check()
    assert ledger.rollups.ids("bob") == ["bob", "a1"]


def test_an_alias_merges_two_known_users_and_all_that_they_were() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS - DAY_MS, "old", "a1"), Sent(NOW_MS, "new", "a2")])
    ledger.write([Sent(NOW_MS, "new", previous="old")])
    ledger.write([Sent(NOW_MS, None, "a1"), Sent(NOW_MS, "old")])
    ledger.check()
    assert ledger.rollups.ids("a1") == ["new", "a1", "a2", "old"]


def test_aliases_in_a_ring_are_one_person() -> None:
    ledger = Ledger()
    ring = [("b", "a"), ("c", "b"), ("a", "c"), ("a", "b")]
    ledger.write([Sent(NOW_MS, user, previous=previous) for user, previous in ring])
    ledger.write([Sent(NOW_MS, each) for each in "abc"])
    ledger.check()
    assert ledger.rollups.days(1, "UTC", None, NOW_MS)[0]["dau"] == 1


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"previousId": None},
        {"previousId": ""},
        {"previousId": ["a"]},
        {"previousId": "x" * (EVENT_ID_BYTES_MAX + 1)},
    ],
)
def test_an_alias_without_an_id_links_nothing(properties: dict[str, Any]) -> None:
    whole = {"event": "$alias", "userId": "u", "properties": properties}
    assert links_of([parse(whole, NOW_MS, new_id=lambda: "made")]) == []


def test_a_number_is_the_id_that_its_text_is() -> None:
    whole = {"event": "$alias", "userId": 7, "properties": {"previous_id": 6.0}}
    [link] = links_of([parse(whole, NOW_MS, new_id=lambda: "made")])
    assert (link.previous, link.user) == ("6", "7")


_ID = st.sampled_from(["a", "b", "c", "d", "x", "y", "z"])
_SENT = st.builds(
    Sent,
    st.integers(NOW_MS - 30 * DAY_MS, NOW_MS),
    st.none() | _ID,
    st.none() | _ID,
    st.none() | _ID,
    st.booleans(),
)
_STEP = st.sampled_from(["write", "write", "write", "lose", "reopen"])


@settings(max_examples=60)
@given(st.lists(st.tuples(_STEP, st.lists(_SENT, max_size=6)), max_size=8))
def test_merges_are_what_a_plain_painting_of_labels_is(
    steps: list[tuple[str, list[Sent]]],
) -> None:
    ledger = Ledger()
    turn = Identities(MergedIds(ledger.database))
    for step, events in steps:
        if step == "reopen":
            ledger.rollups = Rollups(ledger.database)
            turn = Identities(MergedIds(ledger.database))
        # What the turn decides ahead of the drain is what the drain decides.
        kin = plain([*ledger.sent, *events])
        turn.join(links_of(event.parsed() for event in events), 1)
        ids = set("abcdxyz")
        persons = turn.persons(ids)
        assert {each: persons.get(each, each) for each in ids} == {e: kin.person(e) for e in ids}
        ledger.write(events, lost=step == "lose")
        if step == "lose":
            turn.rollback(1)
        turn.settle(stored=step != "lose")
    ledger.check()


def test_a_call_that_raises_links_nothing() -> None:
    turn = Identities(MergedIds(open_database(None)))
    first, second = (Sent(NOW_MS, user, "a1").parsed() for user in ("alice", "bob"))
    assert turn.join(links_of([first]), 3) == [("a1", "alice")]
    turn.rollback(3)
    assert turn.persons(["a1"]) == {}
    assert turn.join(links_of([second]), 3) == [("a1", "bob")]


def test_an_id_leads_to_its_person_when_memory_was_full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydo.actors.links.USERS_CACHED_MAX", 2)
    ledger = Ledger()
    turn = Identities(MergedIds(ledger.database))
    for user in "bcdefg":
        event = Sent(NOW_MS, user, previous=chr(ord(user) - 1))
        turn.join(links_of([event.parsed()]))
        ledger.write([event])
        turn.settle(stored=True)
        assert turn.persons(["a", "b"]) == {"a": user, **({"b": user} if user != "b" else {})}


# Erasure


def erased(ledger: Ledger, user: str) -> list[Sent]:
    """Erase a person as governance does, and return what is left."""
    ids = set(ledger.rollups.ids(user))
    gone = [event for event in ledger.sent if ids & {event.user_id, event.anonymous_id}]
    left = [event for event in ledger.sent if not ids & {event.user_id, event.anonymous_id}]
    ledger.database.begin()
    assert set(ledger.rollups.erase(user, map(rolled, gone), map(rolled, left))) == ids
    ledger.database.commit()
    return left


@settings(max_examples=60)
@given(st.lists(st.lists(_SENT, max_size=8), min_size=1, max_size=4), _ID)
def test_rollups_equal_the_events_without_a_user_once_that_one_is_erased(
    batches: list[list[Sent]], user: str
) -> None:
    ledger = Ledger()
    for batch in batches:
        ledger.write(batch)
    ids = ledger.rollups.ids(user)
    left = erased(ledger, user)
    ledger.database.run("DELETE FROM raw_events")
    kin = plain(ledger.sent)
    for zone in ZONES:
        answer = ledger.rollups.days(41, zone, date(2025, 11, 9), NOW_MS)
        expected = plain_days(left, kin, zone)
        assert {
            row["date"]: (row["dau"], row["events"]) for row in answer if row["events"]
        } == expected
    ledger.check_sets(left, kin)
    for table, column in (("_raydo_users", "name"), ("merged_ids", "id")):
        known = {name for (name,) in ledger.database.run(f"SELECT {column} FROM {table}")}
        assert not known & set(ids)


def test_nothing_in_the_rollups_tables_tells_of_who_was_erased() -> None:
    never, ledger = Ledger(), Ledger()
    events = [
        Sent(NOW_MS - n * DAY_MS, f"u{n % 3}", f"d{n % 3}", bot=n % 4 == 0) for n in range(30)
    ]
    ledger.write(events)
    left = erased(ledger, "d1")
    never.write(left)
    for each in (ledger, never):
        each.rollups.materialise("UTC")
    for table in ("_raydo_buckets", "_raydo_counts", "daily_metrics", "hourly_events"):
        rows = [
            each.database.run(f"SELECT * FROM {table} ORDER BY 1, 2") for each in (ledger, never)
        ]
        assert rows[0] == rows[1]
    sizes = [each.database.run("SELECT count(*) FROM _raydo_user_sets") for each in (ledger, never)]
    assert sizes[0] == sizes[1]


def test_an_erasure_that_is_rolled_back_erases_nothing() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS, "alice", "a1"), Sent(NOW_MS - DAY_MS, "bob", "a2")])
    ledger.database.begin()
    ledger.rollups.erase("alice", map(rolled, ledger.sent[:1]))
    ledger.database.rollback()
    ledger.check()


def test_who_was_erased_and_comes_again_is_somebody_new() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS - 9 * DAY_MS, "alice", "a1")])
    erased(ledger, "alice")
    ledger.sent.clear()
    ledger.database.run("DELETE FROM raw_events")
    ledger.write([Sent(NOW_MS, None, "a1"), Sent(NOW_MS, "bob", "a1")])
    ledger.check()
    assert ledger.rollups.ids("bob") == ["bob", "a1"]


# The cost


def test_a_merge_touches_the_merged_persons_buckets_and_no_others() -> None:
    ledger = Ledger()
    ledger.write([Sent(NOW_MS - n * BUCKET_MS, f"u{n % 50}") for n in range(2_000)])
    ledger.write([Sent(NOW_MS, None, "a1"), Sent(NOW_MS - DAY_MS, None, "a1")])
    ledger.rollups.materialise("UTC")
    ledger.database.commit()
    before = ledger.database.connection.total_changes
    ledger.write([Sent(NOW_MS, "u1", "a1")])
    assert ledger.database.connection.total_changes - before < 20
    changed = {bucket for (bucket,) in ledger.database.run("SELECT bucket FROM _raydo_changed")}
    assert changed == {NOW_MS // BUCKET_MS, (NOW_MS - DAY_MS) // BUCKET_MS}
    assert ledger.rollups.materialise("UTC") == 2


# In the live object


@pytest.fixture
def acme(live: Any) -> Any:
    return live(Analytics)


def persons(acme: Any) -> dict[str, str]:
    rows = acme.call("query", "SELECT DISTINCT user_id, person_id FROM events")["rows"]
    return {row["user_id"]: row["person_id"] for row in rows}


def test_a_visitor_who_turns_out_to_be_a_user_is_active_once(acme: Any) -> None:
    acme.call("track", "PageView", anonymousId="a1")
    acme.call("track", "PageView", userId="alice")
    assert acme.call("active_users") == 2
    acme.call("track", "$identify", userId="alice", anonymousId="a1")
    assert acme.call("active_users") == 1
    acme.call("track", "PageView", anonymousId="a1")
    assert acme.call("active_users") == 1
    acme.crash()
    acme.call("track", "PageView", anonymousId="a1")
    assert acme.call("active_users") == 1
    assert acme.call("dau", 1)[0]["dau"] == 1


def test_a_user_known_by_two_ids_is_active_as_of_the_latest(acme: Any) -> None:
    now_ms = acme.clock.now_ms()
    acme.call("track", "PageView", userId="old", timestamp=now_ms - 10_000)
    acme.call("track", "PageView", userId="new", timestamp=now_ms - 100_000)
    acme.call("track", "$alias", {"previousId": "old"}, userId="new", timestamp=now_ms - 1_000_000)
    assert acme.call("active_users", 60) == acme.call("active_users", 1_800) == 1


@pytest.mark.parametrize("seed", range(4))
def test_persons_are_exact_whenever_the_process_dies(acme: Any, seed: int) -> None:
    source, kin, users = random.Random(seed), Kin(), set[str]()
    for _ in range(60):
        for _ in range(source.randrange(1, 5)):
            user, anonymous, previous = (
                source.choice([None, *names]) for names in (["u", "v", "w"], "abcd", "abuvw")
            )
            previous = previous if source.random() < 0.1 else None
            name = "Visit" if previous is None else "$alias"
            ids = {"userId": user, "anonymousId": anonymous}
            acme.call("track", name, {"previousId": previous}, **ids)
            kin.event(user or anonymous, anonymous, previous)
            users |= {user or anonymous or "u"} if user or anonymous else set()
        expected = {kin.person(each) for each in users}
        assert acme.call("active_users") == len(expected)
        if source.random() < 0.3:
            acme.crash()
        if source.random() < 0.3:
            assert acme.call("dau", 1)[0]["dau"] == len(expected)
    known = {user: person for user, person in persons(acme).items() if user is not None}
    assert known == {user: kin.person(user) for user in users}
