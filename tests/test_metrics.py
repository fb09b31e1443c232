"""Every metric equals a plain computation from the same events."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from support import plain_metrics as plain
from support.plain_metrics import Visit

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.stub import Stub

ZONES = ("UTC", "Asia/Kolkata", "America/New_York", "Pacific/Auckland")
NOW_MS = 1_762_500_000_000  # 2025-11-07, a few days after New York's clocks went back
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
FIRST, LAST = "2025-09-20", "2025-11-07"  # Auckland's clocks went forward in between


def made(seed: int, count: int = 1_500) -> list[Visit]:
    """Events of fifty days; many at the same moment, some of bots, some of nobody."""
    source = random.Random(seed)
    visits = []
    for n in range(count):
        properties = {
            "plan": source.choice(["pro", "free", "a'b:c", 'é"', 5, True, None]),
            "page": source.choice(["/", "/pricing", "/docs"]),
            "$odd name": source.choice(["x", "y"]),
        }
        if source.random() < 0.3:
            del properties["plan"]
        visits.append(
            Visit(
                source.choice(["View", "View", "Cart", "Buy"]),
                None if source.random() < 0.05 else f"u{source.randrange(60)}",
                NOW_MS - source.randrange(50 * 48) * HOUR_MS // 2,
                f"m{n}",
                properties,
                source.random() < 0.1,
            )
        )
    return visits


def wire(visit: Visit) -> bytes:
    event = {
        "event": visit.event,
        "userId": visit.user,
        "timestamp": visit.at_ms,
        "messageId": visit.id,
        "properties": visit.properties,
        "context": {"bot": visit.bot},
    }
    return json.dumps(event).encode()


class Shop:
    """A tenant with these events, and what it answers."""

    def __init__(self, world: World, visits: list[Visit]) -> None:
        self.visits = visits
        self.stub: Stub[Analytics] = world.stub(Analytics, "shop")
        self._world = world
        sent = visits + random.Random(1).sample(visits, len(visits) // 10)
        random.Random(2).shuffle(sent)
        done = self.wait(self.stub.ingest([wire(visit) for visit in sent]))
        assert done["accepted"] == len(visits)

    def wait(self, promise: Any) -> Any:
        return self._world.wait(promise)

    def archive(self, older_than_s: float) -> None:
        self.wait(self.stub.archive(older_than_s))
        deadline = time.monotonic() + 60
        while self.wait(self.stub.archive_runs())[-1]["state"] != "deleted":
            assert time.monotonic() < deadline
            time.sleep(0.02)  # another thread archives


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with World(tmp_path_factory.mktemp("metrics"), now_ms=NOW_MS) as world:
        yield Shop(world, made(1))


@pytest.fixture(scope="module")
def archived(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    with World(tmp_path_factory.mktemp("archived"), now_ms=NOW_MS) as world:
        shop = Shop(world, made(1))
        shop.archive(15 * 86_400)
        yield shop


def points(reply: dict[str, Any]) -> dict[str, int]:
    """The points that are not zero."""
    return {point["at"]: point["value"] for point in reply["points"] if point["value"]}


def check_series(shop: Shop, zone: str) -> None:
    for interval, metric, week_start in (
        ("hour", "events", "monday"),
        ("day", "users", "monday"),
        ("week", "users", "sunday"),
        ("week", "events", "monday"),
        ("month", "users", "monday"),
    ):
        for event, bots, filters in (
            (None, True, []),
            ("View", True, []),
            (None, False, []),
            ("Buy", False, ["plan:pro", "plan:5", "page!:/docs"]),
        ):
            reply = shop.wait(
                shop.stub.timeseries(
                    event, FIRST, LAST, interval, metric=metric, tz=zone, filters=filters,
                    week_start=week_start, bots=bots,
                )
            )  # fmt: skip
            kept = [
                visit
                for visit in plain.within(shop.visits, zone, reply["from"], reply["to"])
                if (event is None or visit.event == event)
                and (bots or not visit.bot)
                and (not filters or plain.text_of(visit, "plan") in ("pro", "5"))
                and (not filters or plain.text_of(visit, "page") != "/docs")
            ]
            assert points(reply) == plain.series(kept, zone, interval, metric, week_start)
            assert reply["total"] == plain.measure(kept, metric)


def check_breakdown(shop: Shop, zone: str) -> None:
    for metric, interval in (("events", "day"), ("users", "week")):
        reply = shop.wait(
            shop.stub.timeseries(
                None, "2025-10-13", LAST, interval, breakdown="plan", values=3, metric=metric,
                tz=zone, compare="previous",
            )
        )  # fmt: skip
        kept = plain.within(shop.visits, zone, reply["from"], reply["to"])
        expected = plain.top(kept, "plan", metric, 3)
        named = [each for each in reply["series"] if not each["other"]]
        assert [{"value": each["value"], "count": each["total"]} for each in named] == expected[
            "rows"
        ]
        [other] = [each["total"] for each in reply["series"] if each["other"]]
        assert other == expected["other"]
        at = [point["at"] for point in reply["points"]]
        for each in named:
            own = [visit for visit in kept if plain.text_of(visit, "plan") == each["value"]]
            counts = plain.series(own, zone, interval, metric)
            assert each["values"] == [counts.get(name, 0) for name in at]
        previous = reply["previous"]
        earlier = plain.within(shop.visits, zone, previous["from"], previous["to"])
        assert len(previous["points"]) == len(reply["points"])
        assert points(previous) == plain.series(earlier, zone, interval, metric)
        assert previous["total"] == plain.measure(earlier, metric)
        for each in named:
            own = [visit for visit in earlier if plain.text_of(visit, "plan") == each["value"]]
            assert each["previous_total"] == plain.measure(own, metric)


def check_active(shop: Shop, zone: str) -> None:
    for bots in (True, False):
        days = shop.wait(shop.stub.active("week", FIRST, LAST, zone, bots=bots))["days"]
        kept = [visit for visit in shop.visits if bots or not visit.bot]
        expected = plain.active(kept, zone, [day["date"] for day in days])
        assert [(day["dau"], day["wau"], day["mau"]) for day in days] == expected
        assert all(day["active"] == day["wau"] for day in days)
        assert days[-1]["stickiness"] == pytest.approx(days[-1]["dau"] / days[-1]["mau"], abs=1e-6)


def check_top(shop: Shop, zone: str) -> None:
    for by, metric, limit in (
        ("event", "events", 2),
        ("event", "users", 9),
        ("plan", "events", 3),
        ("page", "users", 1),
        ("$odd name", "events", 5),
    ):
        reply = shop.wait(
            shop.stub.top(by, metric, limit, since="2025-10-01", to="2025-10-31", tz=zone)
        )
        kept = plain.within(shop.visits, zone, "2025-10-01", "2025-10-31")
        expected = plain.top(kept, by, metric, limit)
        assert {name: reply[name] for name in expected} == expected


def check_funnel(shop: Shop, zone: str) -> None:
    def event(name: str, page: str | None = None) -> plain.Keep:
        return lambda visit: (
            visit.event == name and (page is None or plain.text_of(visit, "page") == page)
        )

    on_pricing = {"event": "View", "filters": ["page:/pricing"]}
    for steps, tests, window_s in (
        (["View", "Cart", "Buy"], [event("View"), event("Cart"), event("Buy")], 2 * 86_400),
        (["View", on_pricing, "View"], [event("View"), event("View", "/pricing"), event("View")],
         86_400),
        (["Cart", "Cart", "Buy", "Buy"], [event("Cart")] * 2 + [event("Buy")] * 2, 9 * 86_400),
        (["Buy", "Nothing"], [event("Buy"), event("Nothing")], 3_600),
    ):  # fmt: skip
        for bots in (True, False):
            reply = shop.wait(
                shop.stub.funnel(steps, window_s, "2025-10-10", "2025-10-30", tz=zone, bots=bots)
            )
            kept = [visit for visit in shop.visits if bots or not visit.bot]
            expected = plain.funnel(
                kept,
                tests,
                window_s * 1000,
                lambda visit: "2025-10-10" <= plain.day_of(visit, zone).isoformat() <= "2025-10-30",
            )
            found = [
                (step["persons"], step["median_from_previous_ms"], step["median_total_ms"])
                for step in reply["steps"]
            ]
            assert found == expected


def check_retention(shop: Shop, zone: str) -> None:
    for bots in (True, False):
        found = shop.wait(
            shop.stub.retention("week", FIRST, LAST, zone, week_start="sunday", bots=bots)
        )
        weeks: dict[str, set[date]] = {}
        for visit in shop.visits:
            if visit.user is not None and (bots or not visit.bot):
                week = plain.begin("week", plain.day_of(visit, zone), "sunday")
                weeks.setdefault(visit.user, set()).add(week)
        for cohort in found:
            begun = date.fromisoformat(cohort["cohort"])
            own = [seen for seen in weeks.values() if min(seen) == begun]
            assert cohort["size"] == len(own)
            assert cohort["retained"] == [
                sum(begun + timedelta(weeks=n) in seen for seen in own)
                for n in range(len(cohort["retained"]))
            ]


CHECKS: list[Callable[[Shop, str], None]] = [
    check_series, check_breakdown, check_active, check_top, check_funnel, check_retention,
]  # fmt: skip


@pytest.mark.parametrize("check", CHECKS)
def test_each_metric_equals_a_plain_computation_in_a_zone_whose_clocks_change(
    shop: Shop, check: Callable[[Shop, str], None]
) -> None:
    check(shop, "America/New_York")


@pytest.mark.slow
@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("check", CHECKS)
def test_each_metric_equals_a_plain_computation_in_any_zone_before_and_after_archiving(
    shop: Shop, archived: Shop, check: Callable[[Shop, str], None], zone: str
) -> None:
    check(shop, zone)
    check(archived, zone)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 8))
def test_a_funnel_equals_a_plain_computation_whatever_the_events(seed: int, tmp_path: Path) -> None:
    with World(tmp_path, now_ms=NOW_MS) as world:
        check_funnel(Shop(world, made(seed, 700)), ZONES[seed % 4])
