"""What one object should hold and say, as a child would compute it: lists, sums, nothing of raydo.

Each answer is computed from every event as it came, so there is no rollup, no index and no log to
be wrong.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final

from sim.model_counters import Tallies
from sim.model_kin import Kin
from sim.model_time import local_date, local_hour, next_after, today_back
from sim.values import ANYTHING, CallFailed, Event, Made, Timer

from raydo.actors.lake_runs import weekly_at

CLAMPED, BOT, MADE_ID = 1, 2, 4
DAY_MS: Final = 86_400_000
WINDOW_DAYS: Final = 7
PRESENCE_S: Final = 1_800
PAGE_VIEWS: Final = ("PageView", "$pageview")
Table = tuple[list[str], list[Any]]  # the names of columns, and rows


class AnalyticsModel:
    """What Analytics remembers, and its calls by name: `do_track` is `track`."""

    def __init__(self) -> None:
        self.now = 0
        self.zone = "UTC"
        self.events: list[Event] = []
        self.seen: dict[str, int] = {}  # message id -> day of its receipt
        self.newest_day = 0
        self.kin = Kin()
        self.counters = Tallies()
        self.timers: dict[str, Timer] = {}
        self.effects = 0  # calls that had any
        self.refused = False  # whether a full disk refuses the present call's effects

    def effect(self) -> None:
        """Say that the call is about to change something, for the first time."""
        if self.refused:
            raise CallFailed("storage_full")
        self.effects += 1

    # Events

    def do_track(self, event: Any, properties: Any = None, **more: Any) -> Any:
        whole = dict(event) if isinstance(event, dict) else {"event": event}
        if properties is not None:
            whole["properties"] = properties
        whole |= more
        parsed = self._parse(whole, compact(whole.get("properties") or {}))
        self._admit([parsed])
        return parsed.id

    def do_ingest(self, items: Sequence[bytes]) -> Any:
        parsed: list[Event | None] = []
        for item in items:
            whole = json.loads(item)
            text = item.decode().partition('"properties":')[2].partition("}")[0] + "}"
            parsed.append(self._parse(whole, text) if whole.get("event") else None)
        events = [event for event in parsed if event is not None]
        accepted = self._admit(events)
        return {
            "accepted": accepted,
            "duplicates": len(events) - accepted,
            "rejected": [
                {"index": index, "code": "invalid_event", "error": ANYTHING}
                for index, event in enumerate(parsed)
                if event is None
            ],
            "ids": [event and event.id for event in parsed],
        }

    def _parse(self, whole: dict[str, Any], text: str) -> Event:
        properties, anonymous = whole.get("properties") or {}, whole.get("anonymousId")
        timestamp, flags = whole.get("timestamp", self.now), 0
        if timestamp > self.now + DAY_MS:
            timestamp, flags = self.now, CLAMPED
        if properties.get("is_bot") is True:
            flags |= BOT
        stated = whole.get("messageId")
        return Event(
            id=Made() if stated is None else stated,
            event=whole["event"],
            user_id=whole.get("userId") or properties.get("userId") or anonymous,
            anonymous_id=anonymous,
            timestamp=timestamp,
            received_at=self.now,
            properties=text,
            context=None,
            flags=flags | (MADE_ID if stated is None else 0),
        )

    def _admit(self, events: Sequence[Event]) -> int:
        fresh = self.emit(events, "analytics")
        if fresh:
            self._wake("roll_up_hour", "roll_up_day", "archive_week")
        for event in fresh:
            self.counters.incr(f"event:{event.event}", 1, self.now)
        latest: dict[str, int] = {}
        counts: Counter[str] = Counter()
        for event in fresh:
            at = event.timestamp
            if event.user_id is not None:
                person = self.kin.person(event.user_id)
                counts[person] += 1
                latest[person] = max(latest.get(person, 0), at)
            if event.event in PAGE_VIEWS:
                self.counters.incr("pageviews_1m", 1, self.now, ttl=60, mode="window", at=at)
        for user, at in latest.items():
            self.counters.incr(f"active:{user}", counts[user], self.now, ttl=PRESENCE_S, at=at)
        return len(fresh)

    def emit(self, events: Sequence[Event], stream: str) -> list[Event]:
        """Take those events whose message id was not received within the window."""
        today = max(self.newest_day, self.now // DAY_MS)
        known: set[str] = set()
        fresh = []
        for event in events:
            if isinstance(event.id, str):
                received = self.seen.get(event.id)
                if event.id in known or (received is not None and received >= today - WINDOW_DAYS):
                    continue
                known.add(event.id)
            fresh.append(event)
        if fresh:
            self.effect()
        if known:
            self.newest_day = today
            self.seen.update(dict.fromkeys(known, today))
        for event in fresh:
            event.stream = stream
            for join in self._joins(event):
                self.counters.fold(*(f"active:{each}" for each in join), self.now)
        self.events += fresh
        return fresh

    def _joins(self, event: Event) -> list[tuple[str, str]]:
        is_alias = event.event == "$alias"
        previous = json.loads(event.properties)["previousId"] if is_alias else None
        return self.kin.event(event.user_id, event.anonymous_id, previous)

    # Reads

    def do_stats(self) -> Any:
        top = self.counters.items("event:", self.now)
        return {
            "active": {
                "1m": self.do_active_users(60),
                "5m": self.do_active_users(300),
                "30m": self.do_active_users(1800),
            },
            "events": {key.removeprefix("event:"): value for key, value in top},
            "counters": {
                "pageviews_1m": self.counters.get("pageviews_1m", self.now),
                "active_users_1m": self.do_active_users(60),
            },
            "truncated": False,
        }

    def do_active_users(self, within_s: int = 60) -> int:
        return self.counters.recent("active:", within_s, self.now)

    def do_counters_get(self, key: str) -> int:
        return self.counters.get(key, self.now)

    def do_dau(self, days: int = 7, tz: str | None = None) -> Any:
        if days < 1:
            raise CallFailed("invalid_argument")
        zone = tz or self.zone
        users, events = by_day(self, zone)
        today = local_date(self.now, zone)
        return [
            {
                "date": day,
                "dau": len(users.get(day, ())),
                "events": events[day],
                "partial": day >= today,
            }
            for day in today_back(self.now, zone, days)
        ]

    def do_query(self, sql: str, params: Any = None) -> Any:
        columns, rows = _QUERIES[sql](self, *(params or ()))
        return {
            "columns": [{"name": name, "type": ANYTHING} for name in columns],
            "rows": [dict(zip(columns, row, strict=True)) for row in rows],
            "layer": ANYTHING,
            "layers": ANYTHING,
            "truncated": False,
            "elapsed_ms": ANYTHING,
        }

    # The zone and the timers

    def do_settings(self) -> Any:
        return {
            "zone": self.zone,
            "week_start": "monday",
            "retention_months": None,
            "events_per_second": None,
            "events_per_month": None,
            "origins": [],
        }

    def do_set_settings(self, zone: str) -> Any:
        if zone != self.zone:
            self.effect()
            self.zone = zone
            for timer in list(self.timers.values()):
                if timer.spec != "once":
                    waits = timer.next_at is not None and timer.next_at > self.now
                    due = next_after(timer.spec, self.now, zone) if waits else timer.next_at
                    self.timers[timer.name] = Timer(timer.name, timer.spec, zone, due)
        return self.do_settings()

    def register(self, handler: str, spec: str) -> bool:
        """Do what `self.every` does; tell whether it changes anything."""
        name = self.handler(handler)
        known = self.timers.get(name)
        if known is not None and (known.spec, known.zone) == (spec, self.zone):
            return False
        due = next_after(spec, self.now, self.zone)
        self.timers[name] = Timer(name, spec, self.zone, due)
        return True

    def handler(self, method: str) -> str:
        return f"Analytics.{method}"

    def on_start(self) -> None:
        self.register("roll_up_hour", "every hour")
        self.register("roll_up_day", "every day at 03:00")
        self.register("archive_week", f"every sunday at {weekly_at('acme')}")

    def run_handler(self, method: str) -> None:
        """Do what a timer's handler does."""
        if method in ("roll_up_hour", "roll_up_day"):
            for name in map(self.handler, ("roll_up_hour", "roll_up_day")):
                timer = self.timers[name]
                self.timers[name] = Timer(name, timer.spec, timer.zone, None)
        elif method == "archive_week" and not self.events:  # never enough of them for a run
            timer = self.timers[self.handler(method)]
            self.timers[timer.name] = Timer(timer.name, timer.spec, timer.zone, None)

    def _wake(self, *methods: str) -> None:
        for name in map(self.handler, methods):
            timer = self.timers[name]
            if timer.next_at is None:
                due = next_after(timer.spec, self.now, timer.zone)
                self.timers[name] = Timer(name, timer.spec, timer.zone, due)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def by_day(model: AnalyticsModel, zone: str) -> tuple[dict[str, set[str]], Counter[str]]:
    users: dict[str, set[str]] = {}
    events: Counter[str] = Counter()
    for event in model.events:
        day = local_date(event.timestamp, zone)
        events[day] += 1
        if event.user_id is not None:
            users.setdefault(day, set()).add(model.kin.person(event.user_id))
    return users, events


def rows_from(model: AnalyticsModel, first: int) -> Table:
    """List the rows from a seq on; an event whose seq nobody has seen came later."""
    total, rows = len(model.events), []
    for event in reversed(model.events):
        if event.seq.value is not None and event.seq.value < first:
            break
        rows.append([total, *event.row()])
    return ["total", *_COLUMNS], rows[::-1]


def _count(model: AnalyticsModel) -> Table:
    return ["n"], [[len(model.events)]]


def _hours(model: AnalyticsModel) -> Table:
    counts = Counter((local_hour(e.timestamp, model.zone), e.event) for e in model.events)
    return ["hour", "event", "count"], [[*key, count] for key, count in sorted(counts.items())]


def _days(model: AnalyticsModel) -> Table:
    users, events = by_day(model, model.zone)
    rows = [[day, len(users.get(day, ())), count] for day, count in sorted(events.items())]
    return ["date", "dau", "events"], rows


def _by_name(model: AnalyticsModel) -> Table:
    counts = Counter((local_date(e.timestamp, model.zone), e.event) for e in model.events)
    return ["date", "event", "n"], [[*key, count] for key, count in sorted(counts.items())]


def _by_person(model: AnalyticsModel) -> Table:
    known = [event.user_id for event in model.events]
    counts = Counter(None if user is None else model.kin.person(user) for user in known)
    return ["person_id", "n"], [
        [*row] for row in sorted(counts.items(), key=lambda row: row[0] or "")
    ]


_COLUMNS: Final = [
    *("seq", "id", "event", "user_id", "anonymous_id", "timestamp", "received_at"),
    *("properties", "context", "stream", "flags"),
]
ROWS: Final = f"""SELECT (SELECT count(*) FROM raw_events) AS total, {", ".join(_COLUMNS)}
    FROM raw_events WHERE seq >= ? ORDER BY seq"""
COUNT: Final = "SELECT count(*) AS n FROM events"
HOURS: Final = "SELECT hour, event, count FROM hourly_events ORDER BY hour, event"
DAYS: Final = "SELECT date, dau, events FROM daily_metrics ORDER BY date"
BY_NAME: Final = "SELECT date, event, count(*) AS n FROM events GROUP BY 1, 2 ORDER BY 1, 2"
BY_PERSON: Final = "SELECT person_id, count(*) AS n FROM events GROUP BY 1 ORDER BY 1"
_QUERIES: Final[dict[str, Callable[..., Table]]] = {
    ROWS: rows_from,
    COUNT: _count,
    HOURS: _hours,
    DAYS: _days,
    BY_NAME: _by_name,
    BY_PERSON: _by_person,
}
