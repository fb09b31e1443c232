from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydo.actors.schedule import DAYS, Calendar, Every, Interval, Schedule, parse_at, parse_spec
from raydo.pipelining.errors import InvalidArgument

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = [
    ZoneInfo(name)
    for name in (
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",  # +05:45
        "Asia/Kolkata",  # +05:30
        "Australia/Lord_Howe",  # jumps by half an hour
        "America/Havana",  # jumps at midnight
        "Africa/Casablanca",  # jumps twice within five weeks
        "Pacific/Apia",  # had no 30 December 2011
        "Pacific/Chatham",  # +12:45, jumps at 02:45
    )
]


def at(text: str, zone: ZoneInfo = BERLIN, *, fold: int = 0) -> int:
    moment = datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold)
    return int(moment.timestamp()) * 1000


def shown(now_ms: int, zone: ZoneInfo = BERLIN) -> str:
    return datetime.fromtimestamp(now_ms / 1000, zone).isoformat(" ", "minutes")


def following(schedule: Schedule, start: str, count: int, zone: ZoneInfo = BERLIN) -> list[str]:
    now, moments = at(start, zone), []
    for _ in range(count):
        now = schedule.next_after(now, zone)
        moments.append(shown(now, zone))
    return moments


# The grammar


def built(say: Callable[[Every], Any]) -> Schedule:
    registered: list[tuple[Schedule, Callable[..., Any]]] = []

    def handler() -> None: ...

    returned = say(Every(lambda schedule, fn: registered.append((schedule, fn))))(handler)

    [(schedule, registered_handler)] = registered
    assert returned is registered_handler is handler
    return schedule


@pytest.mark.parametrize(
    ("say", "spec"),
    [
        (lambda every: every.minute, "every minute"),
        (lambda every: every(1).minutes, "every minute"),
        (lambda every: every(15).minutes, "every 15 minutes"),
        (lambda every: every.hour, "every hour"),
        (lambda every: every(60).minutes, "every hour"),
        (lambda every: every(2).hours, "every 2 hours"),
        (lambda every: every(90).minutes, "every 90 minutes"),
        (lambda every: every.day, "every day at 00:00"),
        (lambda every: every.day.at("3am"), "every day at 03:00"),
        (lambda every: every.sunday.at("4:05pm"), "every sunday at 16:05"),
        *((lambda every, day=day: getattr(every, day), f"every {day} at 00:00") for day in DAYS),
    ],
)
def test_a_schedule_is_said_as_a_sentence_and_read_back(
    say: Callable[[Every], Any], spec: str
) -> None:
    schedule = built(say)

    assert schedule.spec == spec
    assert parse_spec(spec) == schedule


def test_nothing_is_registered_until_there_is_a_handler() -> None:
    every = Every(lambda schedule, handler: pytest.fail("registered"))

    every.day.at("3am")
    _ = every(5).minutes


@pytest.mark.parametrize(
    ("text", "time"),
    [
        ("9am", (9, 0)),
        ("9:30am", (9, 30)),
        ("12am", (0, 0)),
        ("12:59am", (0, 59)),
        ("12pm", (12, 0)),
        ("11:59PM", (23, 59)),
        ("14:30", (14, 30)),
        ("17:00", (17, 0)),
        ("0:00", (0, 0)),
        ("09:05", (9, 5)),
        ("noon", (12, 0)),
        ("Midnight", (0, 0)),
        ("NOON", (12, 0)),
    ],
)
def test_a_time_of_day_is_written_as_people_do(text: str, time: tuple[int, int]) -> None:
    assert parse_at(text) == time


@pytest.mark.parametrize(
    "text",
    [
        "25:00", "24:00", "13pm", "0am", "12:60", "12:60am", "9:5", "9 am", "-1:00", "", "9", " 9am",
        "9am\n", "9:30:00", "17:00pm", "am", "noonish", "\u0663am", "\uff11\uff14:30", "9.30", None, 9, b"9am",
    ],
)  # fmt: skip
def test_what_is_no_time_of_day_is_refused(text: Any) -> None:
    with pytest.raises(InvalidArgument, match="no time of day; write it like '3am'"):
        Every(lambda schedule, handler: None).day.at(text)


@pytest.mark.parametrize("count", [0, -1, 1.5, "2", True, None, 7 * 24 * 60 + 1])
def test_what_is_no_interval_is_refused(count: Any) -> None:
    with pytest.raises(InvalidArgument, match="interval"):
        _ = Every(lambda schedule, handler: None)(count).minutes


@pytest.mark.parametrize(
    "spec",
    [
        "", "hourly", "every", "every 0 minutes", "every 99999 hours", "every second",
        "every moonday at 03:00", "every day at 3am", "every day at 25:00", "every day", "every hour ",
    ],
)  # fmt: skip
def test_what_is_no_schedule_is_refused(spec: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_spec(spec)


# The moments


def test_a_schedule_is_never_due_now() -> None:
    noon = at("2026-06-01 12:00")

    assert Interval(60).next_after(noon, BERLIN) == at("2026-06-01 13:00")
    assert Interval(60).next_after(noon - 1, BERLIN) == noon
    assert Calendar(None, 12, 0).next_after(noon, BERLIN) == at("2026-06-02 12:00")
    assert Calendar(None, 12, 0).next_after(noon - 1, BERLIN) == noon


def test_a_weekday_comes_every_seven_days() -> None:
    assert following(parse_spec("every sunday at 04:00"), "2026-06-01 12:00", 2) == [
        "2026-06-07 04:00+02:00",
        "2026-06-14 04:00+02:00",
    ]


def test_an_interval_lies_on_the_local_clocks_multiples() -> None:
    assert following(Interval(15), "2026-06-01 11:50", 2) == [
        "2026-06-01 12:00+02:00",
        "2026-06-01 12:15+02:00",
    ]
    assert following(Interval(6 * 60), "2026-06-01 11:50", 3) == [
        "2026-06-01 12:00+02:00",
        "2026-06-01 18:00+02:00",
        "2026-06-02 00:00+02:00",
    ]


@pytest.mark.parametrize("zone", ["Asia/Kathmandu", "Asia/Kolkata", "Pacific/Chatham"])
def test_full_hours_are_the_zones_own(zone: str) -> None:
    [moment] = following(Interval(60), "2026-06-01 11:50", 1, ZoneInfo(zone))

    assert moment.startswith("2026-06-01 12:00")


def test_a_time_that_the_clock_skips_is_due_right_after_the_jump() -> None:
    assert following(Calendar(None, 2, 30), "2026-03-28 12:00", 2) == [
        "2026-03-29 03:00+02:00",
        "2026-03-30 02:30+02:00",
    ]
    assert following(Interval(120), "2026-03-29 00:00", 2) == [
        "2026-03-29 03:00+02:00",
        "2026-03-29 04:00+02:00",
    ]


def test_a_time_that_happens_twice_is_due_at_the_first() -> None:
    assert following(Calendar(None, 2, 30), "2026-10-24 12:00", 2) == [
        "2026-10-25 02:30+02:00",
        "2026-10-26 02:30+01:00",
    ]
    between = at("2026-10-25 02:10", fold=1)
    assert shown(Calendar(None, 2, 30).next_after(between, BERLIN)) == "2026-10-26 02:30+01:00"


def test_every_hour_comes_each_real_hour() -> None:
    assert following(Interval(60), "2026-10-25 01:00", 4) == [
        "2026-10-25 02:00+02:00",
        "2026-10-25 02:00+01:00",
        "2026-10-25 03:00+01:00",
        "2026-10-25 04:00+01:00",
    ]
    assert following(Interval(60), "2026-03-29 01:00", 2) == [
        "2026-03-29 03:00+02:00",
        "2026-03-29 04:00+02:00",
    ]


def test_a_longer_interval_does_not_come_twice_within_a_repeated_hour() -> None:
    assert following(Interval(120), "2026-10-25 00:00", 3) == [
        "2026-10-25 02:00+02:00",
        "2026-10-25 04:00+01:00",
        "2026-10-25 06:00+01:00",
    ]
    inside = at("2026-10-25 01:59", fold=0) + 3_600_000  # 02:59 for the first time
    assert shown(Interval(120).next_after(inside, BERLIN)) == "2026-10-25 04:00+01:00"


def test_a_clock_that_jumps_by_half_an_hour_keeps_its_full_hours() -> None:
    zone = ZoneInfo("Australia/Lord_Howe")

    assert following(Interval(60), "2026-04-05 00:30", 3, zone) == [
        "2026-04-05 01:00+11:00",
        "2026-04-05 02:00+10:30",  # at the first 02:00 the clock went back
        "2026-04-05 03:00+10:30",
    ]
    assert following(Interval(60), "2026-10-04 00:30", 3, zone) == [
        "2026-10-04 01:00+10:30",
        "2026-10-04 02:30+11:00",
        "2026-10-04 03:00+11:00",
    ]


def test_a_midnight_that_the_clock_skips_is_due_when_the_day_begins() -> None:
    havana = ZoneInfo("America/Havana")

    assert following(Calendar(None, 0, 0), "2026-03-07 12:00", 2, havana) == [
        "2026-03-08 01:00-04:00",
        "2026-03-09 00:00-04:00",
    ]


def test_a_day_that_a_zone_left_out_is_due_when_the_next_begins() -> None:
    apia = ZoneInfo("Pacific/Apia")

    assert following(Calendar(None, 3, 0), "2011-12-29 12:00", 3, apia) == [
        "2011-12-31 00:00+14:00",
        "2011-12-31 03:00+14:00",
        "2012-01-01 03:00+14:00",
    ]


def jumps(zone: ZoneInfo) -> list[int]:
    """List the hours of 2005 to 2030 in which the zone's clocks jump."""
    hours = range(at("2005-01-01"), at("2031-01-01"), 3_600_000)
    offsets = [wall(hour, zone).utcoffset() for hour in hours[::24]]
    days = [day for day, offset in enumerate(offsets[:-1]) if offsets[day + 1] != offset]
    return [hours[day * 24] for day in days]


def wall(now_ms: int, zone: ZoneInfo) -> datetime:
    return datetime.fromtimestamp(now_ms // 1000, zone)


@st.composite
def moments(draw: st.DrawFn) -> tuple[int, ZoneInfo]:
    """Draw a zone and a moment, most often within a day or two of one of its clocks' jumps."""
    zone = draw(st.sampled_from(ZONES))
    near = draw(st.sampled_from([*JUMPS[zone.key], at("2026-06-01")]))
    return near + draw(st.integers(-86_400_000, 2 * 86_400_000)), zone


JUMPS = {zone.key: jumps(zone) for zone in ZONES}
TIMES = st.tuples(st.integers(0, 23), st.integers(0, 59))


@settings(max_examples=400, deadline=None)
@given(moments(), TIMES, st.sampled_from([None, 0, 6]))
def test_a_time_of_day_is_met_once_a_day_and_never_early(
    moment: tuple[int, ZoneInfo], time: tuple[int, int], weekday: int | None
) -> None:
    (now, zone), schedule = moment, Calendar(weekday, *time)

    due = schedule.next_after(now, zone)

    assert now < due
    assert schedule.next_after(due - 1, zone) == due  # nothing in between
    local = wall(due, zone)
    if (local.hour, local.minute) == time:
        assert local.fold == 0
        assert weekday is None or local.weekday() == weekday
    else:  # the clock jumped at this very instant, over that time
        before = wall(due - 1_000, zone).replace(tzinfo=None)
        skipped = before.replace(hour=time[0], minute=time[1], second=0)
        slots = (skipped, skipped + timedelta(days=1))
        assert any(before < slot < local.replace(tzinfo=None) for slot in slots)
    days = 1 if weekday is None else 7
    assert due - now <= (days + 1) * 86_400_000 + 7_200_000


@settings(max_examples=400, deadline=None)
@given(moments(), st.sampled_from([1, 7, 15, 30, 45, 60, 120, 360]))
def test_an_interval_misses_no_multiple_and_is_never_early(
    moment: tuple[int, ZoneInfo], minutes: int
) -> None:
    now, zone = moment

    due = Interval(minutes).next_after(now, zone)

    expected = first_by_walking(now, timedelta(minutes=minutes), zone)
    assert (due, shown(due, zone)) == (expected, shown(expected, zone))


def first_by_walking(now: int, step: timedelta, zone: ZoneInfo) -> int:
    """Find the same moment the slow way: look at the clock at every full minute."""
    minute, epoch = now // 60_000 * 60_000, datetime.fromisoformat("1970-01-01")
    while True:
        before = wall(minute, zone).replace(tzinfo=None)
        minute += 60_000
        after = wall(minute, zone)
        clock = after.replace(tzinfo=None)
        if clock > before:  # a multiple lies in (before, after], be it skipped
            due = (clock - epoch) // step > (before - epoch) // step
        else:
            due = (clock - epoch) % step == timedelta(0)
        first, second = after.replace(fold=0).utcoffset(), after.utcoffset()
        assert first is not None
        assert second is not None
        if due and not (after.fold and step > first - second):
            return minute
