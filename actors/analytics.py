"""Product analytics for one tenant: the durable object that raydo is for.

Written with nothing that another durable object doesn't have. What it counts in memory (L0):

    event:{name}        events by name, EVENT_NAMES_MAX of them; further names count as "(other)"
    active:{person}     when each person was last seen, for PRESENCE_S; answers 1, 5 and 30 minutes
    pageviews_1m        page views of the last minute, a rolling window
    active_users_1m     derived from active:{user}

What it answers is `Metrics`. Two timers bring the tables `hourly_events` and `daily_metrics` up to
date, each hour and at 3 in the morning; no answer waits for them, since a read does the same before
it reads. What they spare is that read's time, and they leave the file's tables right for other
tools.

Once everything is rolled up both timers rest, so a tenant that nobody sends events is not woken for
them. The next new event, or another zone, wakes them; that is one small row beside the event, in
the same record of the log.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Unpack

from raydo.actors.audit import shape
from raydo.actors.audit_log import AuditLog
from raydo.actors.changes import CHANGES_MAX, Changes, changes
from raydo.actors.counter_checks import to_ms
from raydo.actors.governed import Governed
from raydo.actors.keys import Keys
from raydo.actors.lake_runs import ArchiveRun, told, weekly_at, weekly_before
from raydo.actors.metrics import Metrics
from raydo.actors.preferences import Preferences, Wishes, prefer, preferences
from raydo.actors.quota import Quota, spend
from raydo.actors.tallies import Ingested, Stats
from raydo.pipelining.errors import CallerError, InvalidArgument, TooLarge, Unavailable
from raydo.pipelining.limits import (
    BATCH_EVENTS_MAX,
    EVENT_NAMES_MAX,
    LAKE_RECENT_ROWS_MAX,
    LAKE_ROWS_MIN,
    PRESENCE_S,
    PRESENCE_USERS_MAX,
    STATS_EVENTS_MAX,
)
from raydo.pipelining.method import Exposed, call, cast

if TYPE_CHECKING:
    from raydo.actors.event import Event

STREAM: Final = "analytics"
WINDOW_S: Final = 60
PAGE_VIEWS: Final = frozenset({"PageView", "Page View", "Page Viewed", "page_view", "$pageview"})
OTHER: Final = "(other)"
WINDOWS_S: Final = {"1m": 60, "5m": 300, "30m": 1_800}


class Analytics(Metrics, Governed):
    """One tenant's events, and what they tell."""

    archived_above = LAKE_RECENT_ROWS_MAX
    keys = Exposed(Keys)  # who may call the tenant's objects, on a server with keys

    def on_start(self) -> None:
        self.keys = Keys(self._state)
        self.audit = AuditLog(self._state)
        self.counters.bound("event:", EVENT_NAMES_MAX, f"event:{OTHER}")
        self.counters.bound("active:", PRESENCE_USERS_MAX, f"active:{OTHER}")
        self.pipeline.on_join = self._join_presence
        self.counters.define("active_users_1m", lambda: self.counters.count("active:*", WINDOW_S))
        self.every.hour(self.roll_up_hour)
        self.every.day.at("3am")(self.roll_up_day)
        self.every.sunday.at(weekly_at(self.tenant))(self.archive_week)

    @cast(needs="write")
    def track(
        self,
        /,
        event: str | Mapping[str, Any],
        properties: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> str:
        """Record one event and give its id: a name and its properties, or the whole event as one.

        `more` are the event's other fields: userId, anonymousId, timestamp, messageId, context.

        Raises:
            InvalidEvent: it breaks a rule for events. QuotaExceeded: it is one too many.
        """
        from raydo.actors.event import parse

        whole: dict[str, Any] = dict(event) if isinstance(event, Mapping) else {"event": event}
        if properties is not None:
            whole["properties"] = properties
        parsed = parse(whole | more, self.now_ms, new_id=self.pipeline.new_id)
        self._admit([parsed])
        return parsed.id

    @call
    def ingest(
        self,
        items: list[bytes],
        received_ms: int | None = None,
        sent_at_ms: int | None = None,
        *,
        historical: bool = False,
    ) -> Ingested:
        """Record a batch of events, each the raw JSON of one; a bad one is rejected alone.

        `historical` is for imports: an event's own `receivedAt` then is its receipt, and no quota
        counts it.

        Raises:
            TooLarge: more than BATCH_EVENTS_MAX. QuotaExceeded: over a quota; nothing was taken.
            InvalidArgument: no list, or a time that is none.
        """
        from raydo.actors.event import Event, parse_all

        if not isinstance(items, list):
            raise InvalidArgument(f"A batch is a list, not {type(items).__name__}.")
        if len(items) > BATCH_EVENTS_MAX:
            raise TooLarge(f"A batch has at most {BATCH_EVENTS_MAX} events, not {len(items)}.")
        received_ms = self.now_ms if received_ms is None else _moment(received_ms)
        sent_at_ms = None if sent_at_ms is None else _moment(sent_at_ms)
        parsed = parse_all(
            items, received_ms, sent_at_ms, new_id=self.pipeline.new_id, historical=historical
        )
        events = [event for event in parsed if isinstance(event, Event)]
        accepted, quota = self._admit(events, free=historical)
        self.pipeline.rejected += len(items) - len(events)
        done: Ingested = {
            "accepted": accepted,
            "duplicates": len(events) - accepted,
            "rejected": [
                {"index": index, "code": error.code, "error": error.message}
                for index, error in enumerate(parsed)
                if isinstance(error, CallerError)
            ],
            "ids": [event.id if isinstance(event, Event) else None for event in parsed],
        }
        if quota is not None:
            done["quota"] = quota
        return done

    @call(needs="read")
    def stats(self) -> Stats:
        """Tell what is counted in memory: active users, the top events, the declared counters."""
        top = self.counters.top("event:", STATS_EVENTS_MAX + 1)
        return {
            "active": {name: self.active_users(seconds) for name, seconds in WINDOWS_S.items()},
            "events": {key.removeprefix("event:"): count for key, count in top[:STATS_EVENTS_MAX]},
            "counters": {
                "pageviews_1m": self.counters.get("pageviews_1m"),
                **self.counters.derived(),
            },
            "truncated": len(top) > STATS_EVENTS_MAX,
        }

    @call(js="getActiveUsers", alias=("get_active_users",), needs="read")
    def active_users(self, within_s: float = WINDOW_S) -> int:
        """Count the users whose latest event lies within `within_s` seconds, PRESENCE_S at most."""
        return self.counters.count("active:*", within_s)

    @call(aside=True, needs="read")
    def query(
        self, sql: str, params: Any = None, limit: int | None = None, as_of: Any = None
    ) -> dict[str, Any]:
        """Run one SELECT over all of the tenant's events, archived or not, and its other tables.

        It sees all that was acknowledged; with `as_of`, what was at that moment. `layers` in the
        reply says what was read, and `snapshot_id` which state of the archive.

        Raises:
            QueryError, QueryForbidden, QueryLimit: it does not run, may not, or is too much.
            InvalidArgument: parameters, limit or `as_of` cannot be read.
        """
        reply: dict[str, Any] = self.ask(sql, params, limit, as_of)
        self._state.audit.remark({"sql": shape(sql), "as_of": as_of})
        return reply

    @call(needs="read")
    def changes(self, since: int | None = None, limit: int = CHANGES_MAX) -> Changes:
        """Tell what came after a cursor: events in their order, and the counters as they are now.

        The cursor that it gives is where the next call goes on; without one it begins now.

        Raises:
            InvalidArgument: no cursor of this tenant, or one so old that the archive has the rest.
        """
        return changes(self, since, limit)

    @call(needs="read")
    def settings(self) -> Preferences:
        """Tell what the tenant prefers: its zone, its week, what is kept and what is bounded."""
        return preferences(self._state)

    @call
    def set_settings(self, **changes: Unpack[Wishes]) -> Preferences:
        """Change some settings, all that are given or none; None goes back to what holds by itself.

        Raises:
            InvalidArgument: there is no such setting, or it cannot be so.
        """
        before = self.settings()
        prefer(self._state, changes)
        after = self.settings()
        if after != before:
            self._state.audit.note("settings", dict(changes))
        if after["zone"] != before["zone"]:
            self._wake_timers()
        return after

    def roll_up_hour(self) -> None:
        """Write the hours and days that changed into `hourly_events` and `daily_metrics`."""
        self.rollups.materialise(self.zone)
        self.alarms.rest(self.roll_up_hour, self.roll_up_day)

    def roll_up_day(self) -> None:
        """Do the same once a day; there is nothing to do unless the hours went wrong."""
        self.roll_up_hour()

    def archive_week(self) -> None:
        """Plan to move what is older than a week into the archive, or at least to tidy up there."""
        from raydo.actors import forgetting

        upkeep = self._state.upkeep
        kept = forgetting.expire(self._state)
        if upkeep.plan(weekly_before(self.now_ms, upkeep.age_s), LAKE_ROWS_MIN):
            return
        if (
            not kept
            and not upkeep.tidy()
            and self.sql("SELECT 1 FROM raw_events LIMIT 1").first() is None
        ):
            self.alarms.rest(self.archive_week)

    @call
    def archive(self, older_than_s: float | None = None) -> ArchiveRun | None:
        """Plan an archive run now; None when there is nothing to archive.

        It takes the events older than `older_than_s` seconds, or those that the weekly run would,
        and is done beside the calls: `archive_runs` says how far it is.

        Raises:
            InvalidArgument: no length of time.
        """
        if older_than_s is None:
            before_ms = weekly_before(self.now_ms, self._state.upkeep.age_s)
        else:
            before_ms = self.now_ms - to_ms(older_than_s) if older_than_s else self.now_ms + 1
        if self._state.erasures.waiting and self._state.erasures.count():
            raise Unavailable("An erasure is under way; the archive waits for its end.")
        run = self._state.upkeep.plan(before_ms, 1)
        return None if run is None else told(run)

    @call(needs="read")
    def archive_runs(self) -> list[ArchiveRun]:
        """List the archive runs, oldest first."""
        return [told(run) for run in self._state.runs.list()]

    def _admit(self, events: Sequence[Event], *, free: bool = False) -> tuple[int, Quota | None]:
        """Emit events and count those that are new, on the quotas too unless they are `free`.

        Raises:
            QuotaExceeded: a quota has no room for all that are new.
        """
        new = self.pipeline.admit(events, STREAM)
        fresh = [event for event, is_new in zip(events, new, strict=True) if is_new]
        quota = None if free else spend(self._state, self.counters, len(fresh))
        if fresh:
            self._wake_timers()
        counters = self.counters
        names = Counter(event.event for event in fresh)
        counters.incr_many((f"event:{name}", count) for name, count in names.items())
        # What happened too long ago to matter now changes neither.
        persons = self.pipeline.identities.persons({e.user_id for e in fresh if e.user_id})
        for user, (count, at_ms) in _latest_by_person(fresh, persons).items():
            counters.incr(f"active:{user}", count, ttl=PRESENCE_S, at_ms=at_ms)
        viewed = Counter(event.timestamp_ms for event in fresh if event.event in PAGE_VIEWS)
        for at_ms, count in sorted(viewed.items()):
            counters.incr("pageviews_1m", count, ttl=WINDOW_S, mode="window", at_ms=at_ms)
        return len(fresh), quota

    def _join_presence(self, previous: str, person: str) -> None:
        """Let a person who turned out to be another one be active once."""
        self.counters.fold(f"active:{previous}", f"active:{person}")

    def _wake_timers(self) -> None:
        alarms = self.alarms
        if alarms.resting:
            alarms.wake(self.roll_up_hour, self.roll_up_day, self.archive_week)


def _moment(ms: object) -> int:
    if not isinstance(ms, int) or isinstance(ms, bool) or ms < 0:
        raise InvalidArgument(f"A time is in whole milliseconds since 1970, not {ms!r}.")
    return ms


def _latest_by_person(
    events: Sequence[Event], persons: Mapping[str, str]
) -> dict[str, tuple[int, int]]:
    """Count each person's events, and find the moment of the latest."""
    latest: dict[str, tuple[int, int]] = {}
    for event in events:
        if event.user_id is not None:
            person = persons.get(event.user_id, event.user_id)
            count, at_ms = latest.get(person, (0, 0))
            latest[person] = (count + 1, max(at_ms, event.timestamp_ms))
    return latest
