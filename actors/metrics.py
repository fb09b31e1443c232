"""What can be asked of a tenant's events, as numbers: each metric is one call.

METRICS.md has the exact definition of each, with the SQL on `events` that gives the same number.
Rollups answer where they know the numbers, in the turn. Everything else is one statement over
`events`: answered in the turn when SQLite has the events and it takes milliseconds, else beside the
turns, from the archive too. `layer` in a reply says which it was.

A caller who has no keywords, as in JavaScript, may give them all as one mapping in place of the
first argument; `from` is another name for `since`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from raydo.actors.traces import Traces, rolled
from raydo.actors.zone import DayMetrics, parse_date
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import (
    BREAKDOWN_VALUES,
    DAYS_MAX,
    FUNNEL_WINDOW_S,
    TOP_VALUES,
    TOP_VALUES_MAX,
)
from raydo.pipelining.method import call

if TYPE_CHECKING:
    from raydo.actors.periods import Range
    from raydo.actors.retention import Cohort

Options = Mapping[str, Any]
Filters = Sequence[str] | str | None


class Metrics(Traces, register=False):
    """A tenant's events, and the numbers that they amount to."""

    @call(js="getDAU", alias=("get_dau",), needs="read")
    def dau(
        self, days: int = 7, tz: str | None = None, to: str | None = None, bots: bool = True
    ) -> list[DayMetrics]:
        """Count persons and events by calendar day, newest first, days without events too.

        The days are those of the tenant's zone, or of `tz`, and end today, or with `to`.

        Raises:
            InvalidArgument: no such number of days, zone or date.
        """
        if not isinstance(days, int) or isinstance(days, bool) or not 0 < days <= DAYS_MAX:
            raise InvalidArgument(f"days is a whole number from 1 to {DAYS_MAX}, not {days!r}.")
        last = None if to is None else parse_date(to)
        return self.rollups.days(days, tz or self.zone, last, self.now_ms, bots=bots)

    @call(js="getRetention", alias=("get_retention",), needs="read")
    def retention(
        self,
        period: str | Options = "week",
        since: str | None = None,
        to: str | None = None,
        tz: str | None = None,
        *,
        week_start: str | None = None,
        bots: bool = True,
    ) -> list[Cohort]:
        """Count who came again, by the day, week or month in which they were first seen ever.

        Cohorts run from the one that holds the date `since`, or the latest few, to today or `to`.

        Raises:
            InvalidArgument: no such period, zone, week or date, or too many cohorts.
        """
        if isinstance(period, Mapping):
            return self.retention(**_named(Metrics.retention, period))
        first = None if since is None else parse_date(since)
        last = None if to is None else parse_date(to)
        where, week = tz or self.zone, self._week_start(week_start)
        return self.rollups.retention(
            period, where, first, last, self.now_ms, week_start=week, bots=bots
        )

    @call(js="getTimeseries", alias=("get_timeseries",), aside=True, needs="read")
    def timeseries(
        self,
        event: str | Options | None = None,
        since: str | None = None,
        to: str | None = None,
        interval: str = "day",
        *,
        breakdown: str | None = None,
        filters: Filters = None,
        tz: str | None = None,
        metric: str = "events",
        compare: str | None = None,
        week_start: str | None = None,
        values: int = BREAKDOWN_VALUES,
        bots: bool = True,
    ) -> dict[str, Any]:
        """Count events, or the persons of them, by hour, day, week or month, oldest first.

        `breakdown` is a property: its most frequent `values` get a series each, and the rest one
        together. `compare="previous"` adds as many periods right before.

        Raises:
            InvalidArgument: there is no such thing, or it would be too many numbers.
        """
        from raydo.actors import series, series_plan

        if isinstance(event, Mapping):
            return self.timeseries(**_named(Metrics.timeseries, event))
        span = self._range(interval, since, to, tz, week_start)
        plan = series_plan.plan_series(
            span,
            self._now(span),
            metric=metric,
            event=event,
            breakdown=breakdown,
            values=values,
            filters=filters,
            compare=compare,
            bots=bots,
        )
        rows = self.rollups.rolled.series(plan)
        if rows is not None:
            return series.shape(plan.wire(), rolled(rows))
        first_ms = min(each.bounds_ms[0] for _, each in plan.spans)
        shape = ["timeseries", plan.wire()]
        return self._asked(series.statement(plan), shape, span.zone.key, first_ms)

    @call(js="getActive", alias=("get_active",), needs="read")
    def active(
        self,
        window: str | Options = "day",
        since: str | None = None,
        to: str | None = None,
        tz: str | None = None,
        bots: bool = True,
    ) -> dict[str, Any]:
        """Count the active persons of each day: of it, and of the 7 and 30 days that end with it.

        Raises:
            InvalidArgument: no such window, zone or date, or too many days.
        """
        from raydo.actors.active import WINDOWS

        if isinstance(window, Mapping):
            return self.active(**_named(Metrics.active, window))
        if window not in WINDOWS:
            raise InvalidArgument(f"A window is {', '.join(WINDOWS)}, not {window!r:.40}.")
        days = self._range("day", since, to, tz)
        found = self.rollups.rolled.active(days, window, self.now_ms, bots=bots)
        return {"layer": "L2", "window": window, "zone": days.zone.key, "days": found}

    @call(js="getFunnel", alias=("get_funnel",), aside=True, needs="read")
    def funnel(
        self,
        steps: Sequence[str | Options] | Options,
        window_s: float = FUNNEL_WINDOW_S,
        since: str | None = None,
        to: str | None = None,
        *,
        tz: str | None = None,
        filters: Filters = None,
        bots: bool = True,
    ) -> dict[str, Any]:
        """Count the persons who took steps in this order within `window_s`, and how long it took.

        A step is the name of an event, or `{"event", "filters"}`. The first step lies in the days
        from `since` to `to`; by default the latest thirty.

        Raises:
            InvalidArgument: no such steps, window, filters, zone or date.
        """
        from raydo.actors import funnel
        from raydo.actors.selection import parse_filters

        if isinstance(steps, Mapping):
            return self.funnel(**_named(Metrics.funnel, steps))
        parsed, window_ms = funnel.parse_steps(steps), funnel.check_window(window_s)
        days = self._range("day", since, to, tz)
        asked = funnel.statement(
            parsed, window_ms, days, parse_filters(filters), bots=bots is not False
        )
        plan = {
            "steps": [step.event for step in parsed],
            "zone": days.zone.key,
            "from": days.first.isoformat(),
            "to": days.last.isoformat(),
            "window_s": window_s,
        }
        return self._asked(asked, ["funnel", plan], days.zone.key, days.bounds_ms[0])

    @call(js="getTop", alias=("get_top",), aside=True, needs="read")
    def top(
        self,
        by: str | Options = "event",
        metric: str = "events",
        limit: int = TOP_VALUES,
        *,
        since: str | None = None,
        to: str | None = None,
        filters: Filters = None,
        tz: str | None = None,
        bots: bool = True,
    ) -> dict[str, Any]:
        """List the most frequent values of a property in some days, by default the latest thirty.

        `by` is a property, or `event`, `user`, `page` (the first of several properties that an
        event has), `source` (likewise).

        Raises:
            InvalidArgument: no such property, metric, filter, zone or date, or too many values.
        """
        from raydo.actors import series, series_plan, top

        if isinstance(by, Mapping):
            return self.top(**_named(Metrics.top, by))
        plan = series_plan.plan_top(
            self._range("day", since, to, tz),
            metric=metric,
            by=by,
            values=series_plan.check_values(limit, TOP_VALUES_MAX),
            filters=filters,
            bots=bots,
        )
        rows = self.rollups.rolled.top(plan)
        if rows is not None:
            return top.shape(plan.wire(), rolled(rows))
        shape = ["top", plan.wire()]
        zone, first_ms = plan.range.zone.key, plan.range.bounds_ms[0]
        return self._asked(series.statement(plan), shape, zone, first_ms)

    def _week_start(self, given: str | None) -> str:
        """Return what weeks begin with: as it is given, or as the tenant has it."""
        from raydo.actors.periods import check_week_start

        if given is not None:
            check_week_start(given)
            return given
        return self._state.week_start

    def _range(
        self,
        interval: str,
        since: str | None,
        to: str | None,
        tz: str | None,
        week_start: str | None = None,
    ) -> Range:
        from raydo.actors.periods import find_range

        week = self._week_start(week_start)
        return find_range(
            interval, since, to, zone=tz or self.zone, week_start=week, now_ms=self.now_ms
        )

    def _now(self, span: Range) -> str:
        from raydo.actors.buckets import bucket_of

        return span.label(bucket_of(self.now_ms))


def _named(method: Any, options: Options) -> dict[str, Any]:
    """Read the keywords of a call that were given as one mapping.

    Raises:
        InvalidArgument: the method takes no such keyword.
    """
    named = {"since" if name == "from" else str(name): each for name, each in options.items()}
    method.check((), named)
    return named
