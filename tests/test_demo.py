from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, date, datetime, timedelta
from functools import cache
from typing import Any

import pytest

from raydo.gateway.demo import DAYS, DIP_DAYS, LAUNCH_DAY, SHOPS, Shop, events

UNTIL = datetime(2026, 3, 31, 15, 30, tzinfo=UTC)


def _shop(story: str) -> Shop:
    return next(shop for shop in SHOPS if shop.story == story)


@cache
def _events(shop: Shop, until: datetime = UNTIL) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in events(shop, until)]


def _users_by_day(shop: Shop) -> list[int]:
    users: dict[date, set[str]] = defaultdict(set)
    for event in _events(shop):
        users[datetime.fromisoformat(event["timestamp"]).date()].add(event["userId"])
    first = UNTIL.date() - timedelta(days=DAYS - 1)
    return [len(users[first + timedelta(days=day)]) for day in range(DAYS)]


@pytest.mark.slow
def test_twenty_tenants_fit_the_promised_size() -> None:
    sizes = {shop.id: len(_events(shop)) for shop in SHOPS}
    assert len(sizes) == 20
    assert min(sizes.values()) > 500
    assert sum(sizes.values()) < 200_000


def test_a_day_gives_one_data_set_and_each_id_stands_once() -> None:
    for shop in (_shop("live"), SHOPS[2]):
        once, again = list(events(shop, UNTIL)), list(events(shop, UNTIL))
        assert once == again
        ids = [json.loads(raw)["messageId"] for raw in once]
        assert len(set(ids)) == len(ids)


@pytest.mark.slow
def test_events_stand_in_order_and_never_in_the_future() -> None:
    for shop in SHOPS:
        times = [event["timestamp"] for event in _events(shop)]
        assert times == sorted(times)
        assert datetime.fromisoformat(times[-1]) <= UNTIL


def test_the_launch_is_a_spike() -> None:
    users = _users_by_day(_shop("launch"))
    before = max(users[LAUNCH_DAY - 7 : LAUNCH_DAY])
    assert min(users[LAUNCH_DAY : LAUNCH_DAY + 3]) > 2 * before


def test_the_dip_is_a_dip() -> None:
    users = _users_by_day(_shop("dip"))
    before = users[DIP_DAYS.start - 7 : DIP_DAYS.start]
    after = users[DIP_DAYS.stop : DIP_DAYS.stop + 7]
    assert max(users[DIP_DAYS.start : DIP_DAYS.stop]) < min(before)
    assert min(after) > max(users[DIP_DAYS.start : DIP_DAYS.stop])


def test_someone_is_here_right_now_and_a_later_run_only_adds() -> None:
    pulse = _shop("live")
    now, later = _events(pulse), _events(pulse, UNTIL + timedelta(minutes=2))
    assert datetime.fromisoformat(now[-1]["timestamp"]) > UNTIL - timedelta(seconds=10)

    known = {event["messageId"]: event for event in now}
    added = [event for event in later if event["messageId"] not in known]
    assert 0 < len(added) < 100
    assert all(known.get(event["messageId"], event) == event for event in later)
