from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument, InvalidEvent, QueryError, TooLarge
from raydo.pipelining.limits import (
    BATCH_EVENTS_MAX,
    DAYS_MAX,
    EVENT_NAMES_MAX,
    PRESENCE_S,
    STATS_EVENTS_MAX,
)

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


def raw(**event: Any) -> bytes:
    return json.dumps(event).encode()


@pytest.fixture
def acme(live: Any) -> Any:
    return live(Analytics)


# Track


def test_an_event_is_a_name_with_properties_or_one_mapping(acme: Any) -> None:
    acme.call("track", "PageView", {"userId": "u1", "page": "/pricing"})
    acme.call("track", {"event": "Signup", "userId": "u2"}, messageId="m1")
    acme.call("track", "Left", userId="u3", timestamp=acme.clock.now_ms() - 5)

    rows = acme.call("query", "SELECT * FROM raw_events ORDER BY seq")["rows"]

    assert [(row["seq"], row["event"], row["user_id"]) for row in rows] == [
        (1, "PageView", "u1"),
        (2, "Signup", "u2"),
        (3, "Left", "u3"),
    ]
    assert rows[1]["id"] == "m1"
    assert json.loads(rows[0]["properties"]) == {"userId": "u1", "page": "/pricing"}
    assert rows[0]["timestamp"] == rows[0]["received_at"] == acme.clock.now_ms()
    assert rows[2]["timestamp"] == acme.clock.now_ms() - 5
    assert {row["stream"] for row in rows} == {"analytics"}


def test_track_gives_the_events_id(acme: Any) -> None:
    assert acme.call("track", "A", messageId="m1") == "m1"
    made = acme.call("track", "A")
    asked = acme.call("query", "SELECT id FROM events WHERE event = 'A'")["rows"]
    assert [row["id"] for row in asked] == ["m1", made]


@pytest.mark.parametrize("event", ["", None, 5, {"name": "x"}, "x" * 201])
def test_an_event_that_breaks_a_rule_is_refused(acme: Any, event: object) -> None:
    with pytest.raises(InvalidEvent):
        acme.call("track", event)
    assert not acme.data.exists()


def test_a_repeated_message_id_counts_once_within_seven_days(acme: Any) -> None:
    for _ in range(3):
        assert acme.call("track", "A", {"userId": "u1"}, messageId="m1") == "m1"
        acme.clock.advance(days=2)
        acme.crash()
    assert acme.call("stats")["events"] == {"A": 1}
    assert acme.call("dau", 8)[6]["events"] == 1

    acme.clock.advance(days=3)
    acme.call("track", "A", messageId="m1")
    assert acme.call("stats")["events"] == {"A": 2}


# Ingest


def test_a_batch_says_what_became_of_each_item(acme: Any) -> None:
    acme.call("track", "A", messageId="known")

    answer = acme.call(
        "ingest",
        [
            raw(event="A", userId="u1", messageId="m1"),
            raw(event="A", messageId="known"),
            raw(userId="u1"),
            b"not json",
            raw(event="B", messageId="m1"),
            raw(event="B"),
        ],
    )

    assert answer["accepted"] == 2
    assert answer["duplicates"] == 2
    assert [(r["index"], r["code"]) for r in answer["rejected"]] == [
        (2, "invalid_event"),
        (3, "invalid_event"),
    ]
    assert all(rejected["error"] for rejected in answer["rejected"])
    assert answer["ids"][:5] == ["m1", "known", None, None, "m1"]
    assert isinstance(answer["ids"][5], str)
    assert acme.call("stats")["events"] == {"A": 2, "B": 1}


def test_a_batch_of_bad_events_makes_no_tenant(acme: Any) -> None:
    assert acme.call("ingest", [b"{}", b""])["accepted"] == 0
    assert acme.call("ingest", [])["accepted"] == 0
    assert not acme.data.exists()


def test_a_batch_over_the_limit_is_refused_whole(acme: Any) -> None:
    with pytest.raises(TooLarge, match="at most 10000 events"):
        acme.call("ingest", [b"{}"] * (BATCH_EVENTS_MAX + 1))


@pytest.mark.parametrize("wrong", [{"items": None}, {"items": [], "received_ms": "now"}])
def test_a_batch_of_the_wrong_kind_is_refused(acme: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        acme.call("ingest", **wrong)


def test_sent_at_takes_out_a_clients_wrong_clock(acme: Any) -> None:
    now_ms = acme.clock.now_ms()
    event = raw(event="A", timestamp=now_ms + HOUR_MS - 60_000)
    acme.call("ingest", [event], sent_at_ms=now_ms + HOUR_MS)
    assert (
        acme.call("query", "SELECT timestamp FROM events")["rows"][0]["timestamp"]
        == now_ms - 60_000
    )


def test_an_import_brings_its_own_time_of_receipt(acme: Any) -> None:
    past_ms = acme.clock.now_ms() - 90 * DAY_MS
    acme.call("ingest", [raw(event="A", userId="u1")], received_ms=past_ms)
    rows = acme.call("query", "SELECT timestamp, received_at FROM events")["rows"]
    assert rows == [{"timestamp": past_ms, "received_at": past_ms}]
    assert acme.call("active_users", PRESENCE_S) == 0
    assert acme.call("stats")["events"] == {"A": 1}


# Presence and counters


def test_presence_forgets_each_user_at_the_windows_end(acme: Any) -> None:
    acme.call("track", "PageView", {"userId": "u1"})
    acme.clock.advance(seconds=30)
    acme.call("track", "PageView", {"userId": "u2"})
    acme.call("track", "PageView", {})

    seen = []
    for _ in range(4):
        stats = acme.call("stats")
        seen.append((*stats["active"].values(), stats["counters"]["pageviews_1m"]))
        acme.crash()
        acme.clock.advance(seconds=29)

    assert seen == [(2, 2, 2, 3), (2, 2, 2, 3), (1, 2, 2, 2), (0, 2, 2, 0)]
    assert acme.call("stats")["counters"]["active_users_1m"] == 0
    acme.clock.advance(seconds=PRESENCE_S)
    assert acme.call("stats")["active"] == {"1m": 0, "5m": 0, "30m": 0}


def test_old_events_never_touch_presence(acme: Any) -> None:
    now_ms = acme.clock.now_ms()
    acme.call("track", "PageView", userId="old", timestamp=now_ms - PRESENCE_S * 1000)
    acme.call("track", "PageView", userId="lately", timestamp=now_ms - 120_000)
    stats = acme.call("stats")
    assert stats["active"] == {"1m": 0, "5m": 1, "30m": 1}
    assert stats["counters"]["pageviews_1m"] == 0
    assert acme.call("get_active_users", 121) == acme.call("getActiveUsers", 121) == 1


def test_a_late_event_does_not_make_a_user_seem_gone(acme: Any) -> None:
    acme.call("track", "A", userId="u1")
    acme.call("track", "A", userId="u1", timestamp=acme.clock.now_ms() - 600_000)
    assert acme.call("active_users", 60) == 1


def test_stats_list_the_top_events_and_say_when_there_are_more(acme: Any) -> None:
    names = [raw(event=f"E{n:03}") for n in range(STATS_EVENTS_MAX)]
    acme.call("ingest", names * 2)
    stats = acme.call("stats")
    assert len(stats["events"]) == STATS_EVENTS_MAX
    assert not stats["truncated"]

    acme.call("track", "One more")
    stats = acme.call("stats")
    assert stats["truncated"]
    assert len(stats["events"]) == STATS_EVENTS_MAX
    assert "One more" not in stats["events"]


def test_event_names_over_the_limit_count_as_other_and_stay_exact_in_sql(
    acme: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("raydo.actors.analytics.EVENT_NAMES_MAX", 3)
    assert EVENT_NAMES_MAX > 3
    for name in "ABCDE":
        acme.call("track", name)
    acme.call("track", "A")
    assert acme.call("stats")["events"] == {"A": 2, "B": 1, "C": 1, "(other)": 2}
    count = "SELECT count(DISTINCT event) AS n FROM events"
    assert acme.call("query", count)["rows"] == [{"n": 5}]


def test_callers_read_counters(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    acme.track("PageView", {"userId": "u1"})
    assert world.wait(acme.counters.get("event:PageView")) == 1
    assert world.wait(acme.counters.count("active:*")) == 1


# Days


def test_days_are_newest_first_and_empty_ones_are_there(acme: Any) -> None:
    now_ms = acme.clock.now_ms()
    for days_ago, user in ((0, "u1"), (0, "u2"), (0, "u1"), (2, "u1"), (2, None)):
        acme.call("track", "A", userId=user, timestamp=now_ms - days_ago * DAY_MS)

    assert acme.call("dau", 4) == [
        {"date": "2026-01-01", "dau": 2, "events": 3, "partial": True},
        {"date": "2025-12-31", "dau": 0, "events": 0, "partial": False},
        {"date": "2025-12-30", "dau": 1, "events": 2, "partial": False},
        {"date": "2025-12-29", "dau": 0, "events": 0, "partial": False},
    ]
    assert len(acme.call("getDAU")) == len(acme.call("get_dau")) == 7
    assert acme.call("dau", 1, to="2025-12-30") == [
        {"date": "2025-12-30", "dau": 1, "events": 2, "partial": False}
    ]


def test_days_follow_the_tenants_zone_or_the_one_asked_for(acme: Any) -> None:
    acme.call("track", "A", userId="u1")  # midnight in UTC
    assert acme.call("dau", 1)[0]["date"] == "2026-01-01"
    assert acme.call("dau", 1, tz="America/New_York")[0] == {
        "date": "2025-12-31",
        "dau": 1,
        "events": 1,
        "partial": True,
    }

    assert acme.call("set_settings", zone="America/New_York")["zone"] == "America/New_York"
    daily = "SELECT date, dau FROM daily_metrics ORDER BY date DESC LIMIT 7"
    for _ in range(2):
        assert acme.call("settings")["zone"] == "America/New_York"
        assert acme.call("dau", 1)[0]["date"] == "2025-12-31"
        assert acme.call("query", daily)["rows"] == [{"date": "2025-12-31", "dau": 1}]
        acme.crash()


@pytest.mark.parametrize(
    "wrong",
    [
        {"days": 0},
        {"days": DAYS_MAX + 1},
        {"days": "7"},
        {"days": True},
        {"tz": "X/Y"},
        {"to": "x"},
    ],
)
def test_no_such_days_are_refused(acme: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument):
        acme.call("dau", **wrong)


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland"])
def test_days_equal_a_plain_count_over_the_events(acme: Any, zone: str) -> None:
    chance = random.Random(zone)
    start = datetime(2025, 10, 1, tzinfo=UTC)  # summer time ends or begins within these days
    events = []
    for n in range(2_000):
        moment_ms = int(start.timestamp() * 1000) + chance.randrange(91 * DAY_MS)
        user = f"u{chance.randrange(40)}"
        events.append({"event": "A", "userId": user, "timestamp": moment_ms, "messageId": f"m{n}"})
    resent = [*events, *chance.sample(events, 500)]
    chance.shuffle(resent)
    for at in range(0, len(resent), 500):
        acme.call("ingest", [json.dumps(event).encode() for event in resent[at : at + 500]])
    acme.call("set_settings", zone=zone)

    tz = ZoneInfo(zone)
    users = defaultdict(list)
    for event in events:
        date = datetime.fromtimestamp(event["timestamp"] / 1000, tz).date().isoformat()
        users[date].append(event["userId"])
    expected = {date: (len(set(seen)), len(seen)) for date, seen in users.items()}

    days = acme.call("dau", 100)
    assert {d["date"]: (d["dau"], d["events"]) for d in days if d["events"]} == expected
    daily = acme.call("query", "SELECT * FROM daily_metrics")["rows"]
    assert {row["date"]: (row["dau"], row["events"]) for row in daily} == expected
    hourly = acme.call("query", "SELECT sum(count) AS n FROM hourly_events")["rows"]
    assert hourly == [{"n": 2_000}]


# Query


def test_a_query_sees_what_its_own_program_tracked_before_it(acme: Any) -> None:
    count = ("query", ("SELECT count(*) AS n FROM events",), {})
    track = ("track", ("A",), {})
    before, _, after = acme.calls(count, track, count)
    assert (before["rows"], after["rows"]) == ([{"n": 0}], [{"n": 1}])
    assert acme.calls(count)[0]["rows"] == [{"n": 1}]


def test_a_query_on_nobody_answers_and_makes_nobody(acme: Any) -> None:
    daily = "SELECT date, dau FROM daily_metrics ORDER BY date DESC LIMIT 7"
    answer = acme.call("query", daily, None, 10)
    assert answer["rows"] == []
    assert [column["name"] for column in answer["columns"]] == ["date", "dau"]
    assert not acme.data.exists()


def test_a_query_that_fails_leaves_the_object_as_it_was(acme: Any) -> None:
    track, bad = ("track", ("A",), {}), ("query", ("SELECT missing FROM events",), {})
    with pytest.raises(QueryError, match="no such column"):
        acme.calls(track, bad)
    assert acme.call("stats")["events"] == {"A": 1}
    with pytest.raises(QueryError, match="no such column"):
        acme.calls(bad)
    assert acme.call("track", "A")


def test_tenants_never_see_each_other(live: Any) -> None:
    acme, globex = live(Analytics, "acme"), live(Analytics, "globex")
    acme.call("track", "Secret", userId="u1")
    globex.call("track", "Other", userId="u2")
    assert globex.call("stats")["events"] == {"Other": 1}
    assert [row["event"] for row in globex.call("query", "SELECT event FROM events")["rows"]] == [
        "Other"
    ]
