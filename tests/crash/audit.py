"""What a tenant's server and its file say, beside the account of its clients."""

from __future__ import annotations

import datetime as dt
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from crash.ledger import Account
from crash.traffic import Http

DAYS = 7
PAGE_ROWS = 5_000
ZONES = ("UTC", "Asia/Kathmandu", "America/St_Johns")
WINDOW_EDGE_MS = 1_000  # a rolling minute forgets in sixtieths

_ROWS = """SELECT seq, id, event, user_id, timestamp, received_at, properties FROM events
    WHERE seq > ? ORDER BY seq LIMIT ?"""


async def compare_counts(http: Http, account: Account) -> None:
    """Compare the totals: quick enough for after every kill."""
    stats, _ = await http.ask("GET", "/stats")
    account.expect("counter", "events by name", stats["events"], dict(account.names))
    [row] = await _rows(http, "SELECT count(*) AS n FROM events")
    account.expect("row", "number of rows", row["n"], account.acked)
    days, _ = await http.ask("GET", f"/dau?days={DAYS}")
    found = sum(day["events"] for day in days)
    account.expect("rollup", "events of all days", found, account.acked)


async def compare_all(http: Http, account: Account) -> None:
    """Compare each row, counter and rollup."""
    account.compare_rows([row async for page in _pages(http) for row in page])
    await compare_counts(http, account)
    await _compare_presence(http, account)
    for zone in ZONES:
        await _compare_days(http, account, zone)
    found = {
        row["date"]: (row["dau"], row["events"])
        for row in await _rows(http, "SELECT date, dau, events FROM daily_metrics")
    }
    account.expect("rollup", "daily_metrics", found, account.days(account.zone))
    hours = {
        (row["hour"], row["event"]): row["count"]
        for row in await _rows(http, "SELECT hour, event, count FROM hourly_events")
    }
    account.expect("rollup", "hourly_events", hours, account.hours(account.zone))


async def _compare_presence(http: Http, account: Account) -> None:
    before_ms = time.time_ns() // 1_000_000
    stats, _ = await http.ask("GET", "/stats")
    after_ms = time.time_ns() // 1_000_000
    for name, minutes in (("1m", 1), ("5m", 5), ("30m", 30)):
        low = account.active(after_ms - minutes * 60_000)
        high = account.active(before_ms - minutes * 60_000 - 1)
        account.expect_between("counter", f"active {name}", low, stats["active"][name], high)
    low = account.page_views(after_ms - 60_000 + WINDOW_EDGE_MS)
    high = account.page_views(before_ms - 60_000 - WINDOW_EDGE_MS)
    found = stats["counters"]["pageviews_1m"]
    account.expect_between("counter", "pageviews_1m", low, found, high)


async def _compare_days(http: Http, account: Account, zone: str) -> None:
    today = dt.datetime.now(ZoneInfo(zone)).date()
    days, _ = await http.ask("GET", f"/dau?days={DAYS}&tz={zone}&to={today}")
    found = {day["date"]: (day["dau"], day["events"]) for day in days}
    dates = [f"{today - dt.timedelta(days=back)}" for back in range(DAYS)]
    expected = dict.fromkeys(dates, (0, 0)) | account.days(zone)
    account.expect("rollup", f"/dau in {zone}", found, expected)


async def _pages(http: Http) -> AsyncIterator[list[dict[str, Any]]]:
    last = 0
    while page := await _rows(http, _ROWS, last, PAGE_ROWS):
        yield page
        last = page[-1]["seq"]


async def _rows(http: Http, sql: str, *parameters: Any) -> list[dict[str, Any]]:
    question = {"sql": sql, "params": parameters, "limit": PAGE_ROWS}
    answer, _ = await http.ask("POST", "/query", question)
    assert not answer["truncated"], sql
    rows: list[dict[str, Any]] = answer["rows"]
    return rows


def compare_file(path: Path, account: Account) -> None:
    """Compare what lies in the tenant's file when the server is gone, as any other tool reads it."""
    uri = f"file:{path}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True)) as file:
        [(verdict,)] = file.execute("PRAGMA integrity_check(1)")
        account.expect("file", "integrity", verdict, "ok")
        [(rows,)] = file.execute("SELECT count(*) FROM raw_events")
        account.expect("file", "rows", rows, account.acked)
