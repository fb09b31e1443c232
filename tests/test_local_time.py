from __future__ import annotations

import random

import duckdb
import pytest

from raydo.actors.local_time import changes, definitions
from raydo.actors.zone import Calendar

pytestmark = pytest.mark.slow

DAY_MS = 86_400_000
YEAR_2026_MS = 1_767_225_600_000
ZONES = [
    "UTC",
    "America/New_York",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Africa/Casablanca",
    "America/Havana",
    "Pacific/Apia",
    "Africa/Monrovia",
    "Europe/Dublin",
]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("years", [1, 40, 140])
def test_dates_and_hours_are_those_of_the_tenants_calendar(zone: str, years: int) -> None:
    calendar = Calendar(zone)
    generator = random.Random(years)
    first, last = YEAR_2026_MS - years * 366 * DAY_MS, YEAR_2026_MS + 366 * DAY_MS
    moments = [generator.randrange(first, last) for _ in range(300)]
    for change in changes(zone, first, last)[1:]:
        moments += (change.from_ms + step for step in (-900_001, -1, 0, 1, 3_600_000))
    engine = duckdb.connect()

    for statement in definitions(zone, min(moments), max(moments)):
        engine.execute(statement)
    engine.execute("CREATE TABLE t (ms BIGINT)")
    engine.executemany("INSERT INTO t VALUES (?)", [[ms] for ms in moments])
    rows = engine.execute(
        "SELECT ms, _raydo_local_date(ms), _raydo_local_hour(ms) FROM t"
    ).fetchall()
    engine.close()

    assert rows == [(ms, calendar.date(ms), calendar.hour(ms)) for ms in moments]
