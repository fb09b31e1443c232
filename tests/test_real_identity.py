"""Seventy thousand real events of people who were strangers at first, in any order of receipt.

A third of the users were anonymous until some moment, some share a device, some were renamed by an
alias. What every metric must be is computed from the rows as they were sent, with nothing of ours.
"""

from __future__ import annotations

import json
import random
from collections import defaultdict
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sim.model_kin import Kin
from test_real_data import BATCH, NOW_MS, ZONES, answered, in_tables, rows

from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.limits import COHORTS_MAX
from raydo.pipelining.stub import Stub

Sent = dict[str, Any]


def tenants() -> dict[str, list[dict[str, str]]]:
    found: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    for row in rows():
        found[row["tenant"]].append(row)
    return dict(found)


def strangers(events: list[dict[str, str]], source: random.Random) -> list[Sent]:
    """Make of the rows what clients would have sent, in order of receipt."""
    users = sorted({row["user_id"] for row in events})
    known_from = {user: source.random() for user in users if source.random() < 0.35}
    renamed = {user for user in users if user not in known_from and source.random() < 0.1}
    device = {user: f"device {source.randrange(max(2, len(users)))}" for user in users}
    count: defaultdict[str, int] = defaultdict(int)
    total: defaultdict[str, int] = defaultdict(int)
    for row in events:
        total[row["user_id"]] += 1
    sent = []
    for row in sorted(events, key=lambda row: row["received_at"]):
        user = row["user_id"]
        late = count[user] >= total[user] * known_from.get(user, 0.5)
        first = late and count[user] - 1 < total[user] * known_from.get(user, 0.5)
        count[user] += 1
        ids: Sent = {"userId": user}
        if user in known_from:
            ids = {"anonymousId": device[user]}
            if late and (first or source.random() < 0.5):
                ids |= {"userId": user}
        elif user in renamed and not late:
            ids = {"userId": f"{user} before"}
        sent.append(wire(row, row["message_id"], row["event"], ids))
        if user in renamed and first:
            properties = {"previousId": f"{user} before"}
            sent.append(wire(row, f"{row['message_id']} alias", "$alias", ids, properties))
    return sent


def wire(
    row: dict[str, str], message_id: str, event: str, ids: Sent, properties: Sent | None = None
) -> Sent:
    about = {"is_bot": row["is_bot"] == "1", **(properties or {})}
    whole = {"event": event, "messageId": message_id, "timestamp": row["timestamp"]}
    return {**whole, **ids, "properties": about}


def user_of(event: Sent) -> str:
    user: str = event.get("userId") or event["anonymousId"]
    return user


def kin_of(sent: list[Sent]) -> Kin:
    kin = Kin()
    for event in sent:
        kin.event(user_of(event), event.get("anonymousId"), event["properties"].get("previousId"))
    return kin


def days_of(sent: list[Sent], kin: Kin, zone: str) -> dict[str, tuple[int, int]]:
    persons: defaultdict[str, set[str]] = defaultdict(set)
    counts: defaultdict[str, int] = defaultdict(int)
    for event in sent:
        local = datetime.fromisoformat(event["timestamp"]).astimezone(ZoneInfo(zone))
        day = local.date().isoformat()
        counts[day] += 1
        persons[day].add(kin.person(user_of(event)))
    return {day: (len(persons[day]), count) for day, count in counts.items()}


def cohorts_of(sent: list[Sent], kin: Kin, zone: str) -> dict[str, list[int]]:
    """Count who came again by week, every person in the week of its very first event."""
    weeks: defaultdict[str, set[date]] = defaultdict(set)
    for event in sent:
        day = datetime.fromisoformat(event["timestamp"]).astimezone(ZoneInfo(zone)).date()
        weeks[kin.person(user_of(event))].add(day - timedelta(days=day.weekday()))
    last = max(map(max, weeks.values()))
    found: dict[str, list[int]] = {}
    for begin in sorted({min(each) for each in weeks.values()}):
        mine = [each for each in weeks.values() if min(each) == begin]
        later = [begin + timedelta(days=7 * n) for n in range((last - begin).days // 7 + 1)]
        found[begin.isoformat()] = [sum(week in each for each in mine) for week in later]
    return found


def asked_cohorts(
    world: World, stub: Stub[Analytics], zone: str, first: date, last: date
) -> dict[str, list[int]]:
    cohorts = world.wait(stub.retention("week", first.isoformat(), last.isoformat(), zone))
    return {row["cohort"]: row["retained"] for row in cohorts if row["size"]}


def check(world: World, name: str, sent: list[Sent], zones: tuple[str, ...]) -> int:
    """Hold every answer against the plain computation; return how many ids were merged."""
    stub, kin = world.stub(Analytics, name), kin_of(sent)
    for zone in zones:
        expected = days_of(sent, kin, zone)
        assert answered(world, stub, zone, min(expected), max(expected)) == expected
        last = date.fromisoformat(max(expected))
        first = last - timedelta(weeks=COHORTS_MAX - 1, days=last.weekday())
        cohorts = cohorts_of(sent, kin, zone)
        latest = {day: came for day, came in cohorts.items() if day >= first.isoformat()}
        assert asked_cohorts(world, stub, zone, first, last) == latest
    world.wait(stub.set_settings(zone=zones[-1]))
    assert in_tables(world, stub) == expected
    found = world.wait(stub.query("SELECT DISTINCT user_id, person_id FROM events LIMIT 9999"))
    persons = {row["user_id"]: row["person_id"] for row in found["rows"]}
    assert persons == {user: kin.person(user) for user in map(user_of, sent)}
    return len(kin.labels)


def feed(world: World, name: str, sent: list[Sent], source: random.Random) -> None:
    """Send everything, some of it twice, and let the process die now and then."""
    stub = world.stub(Analytics, name)
    for start in range(0, len(sent), BATCH):
        again = source.sample(sent[:start], min(start, BATCH // 20))
        for part, new in ((sent[start : start + BATCH], True), (again, False)):
            done = world.wait(stub.ingest([json.dumps(event).encode() for event in part]))
            assert (done["accepted"], done["rejected"]) == (len(part) * new, [])
        if source.random() < 0.3:
            world.crash()


@pytest.mark.parametrize("shuffled", [False, True])
def test_a_tenants_days_and_cohorts_count_persons(tmp_path: Path, shuffled: bool) -> None:
    source = random.Random(1)
    name, events = min(tenants().items(), key=lambda item: len(item[1]))
    with World(tmp_path, now_ms=NOW_MS) as world:
        sent = strangers(events, source)
        if shuffled:
            source.shuffle(sent)
        feed(world, name, sent, source)
        assert check(world, name, sent, ZONES[2:]) > 0


@pytest.mark.slow
@pytest.mark.parametrize("shuffled", [False, True])
def test_every_tenants_days_and_cohorts_count_persons_in_four_zones(
    tmp_path: Path, shuffled: bool
) -> None:
    source, merged = random.Random(2), 0
    with World(tmp_path, now_ms=NOW_MS) as world:
        for name, events in tenants().items():
            sent = strangers(events, source)
            if shuffled:
                source.shuffle(sent)
            feed(world, name, sent, source)
            merged += check(world, name, sent, ZONES)
    assert merged > 300
