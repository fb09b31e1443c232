"""Metrics as anybody would compute them from a list of events: slowly, and plainly."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo


class Visit(NamedTuple):
    """One event."""

    event: str
    user: str | None
    at_ms: int
    id: str
    properties: dict[str, Any]
    bot: bool = False


Keep = Callable[[Visit], bool]


def everything(_visit: Visit) -> bool:
    return True


def local(visit: Visit, zone: str) -> datetime:
    return datetime.fromtimestamp(visit.at_ms / 1000, ZoneInfo(zone))


def day_of(visit: Visit, zone: str) -> date:
    return local(visit, zone).date()


def begin(interval: str, day: date, week_start: str = "monday") -> date:
    if interval == "month":
        return date(day.year, day.month, 1)
    while interval == "week" and f"{day:%A}".lower() != week_start:
        day -= timedelta(days=1)
    return day


def label(visit: Visit, zone: str, interval: str, week_start: str = "monday") -> str:
    if interval == "hour":
        return f"{local(visit, zone):%Y-%m-%dT%H}:00"
    return begin(interval, day_of(visit, zone), week_start).isoformat()


def measure(visits: Iterable[Visit], metric: str) -> int:
    listed = list(visits)
    if metric == "events":
        return len(listed)
    return len({visit.user for visit in listed if visit.user is not None})


def series(
    visits: Iterable[Visit], zone: str, interval: str, metric: str, week_start: str = "monday"
) -> dict[str, int]:
    """The number of each period that has one."""
    periods: defaultdict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        periods[label(visit, zone, interval, week_start)].append(visit)
    counts = {name: measure(of, metric) for name, of in periods.items()}
    return {name: count for name, count in counts.items() if count}


def within(visits: Iterable[Visit], zone: str, first: str, last: str) -> list[Visit]:
    return [visit for visit in visits if first <= day_of(visit, zone).isoformat() <= last]


def text_of(visit: Visit, name: str) -> str | None:
    """What a property is as text."""
    value = visit.properties.get(name)
    if value is None:
        return None
    return {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value)


def top(visits: Sequence[Visit], name: str, metric: str, limit: int) -> dict[str, Any]:
    """The most frequent values of a property, then what has none."""
    values: defaultdict[str | None, list[Visit]] = defaultdict(list)
    for visit in visits:
        values[visit.event if name == "event" else text_of(visit, name)].append(visit)
    none = values.pop(None, [])
    ranked = sorted(
        ((measure(of, metric), value) for value, of in values.items()),
        key=lambda each: (-each[0], str(each[1]).encode()),
    )
    listed, rest = ranked[:limit], [value for _, value in ranked[limit:]]
    rows = [{"value": value, "count": count} for count, value in listed]
    if none:
        rows.append({"value": None, "count": measure(none, metric)})
    other = [visit for value in rest for visit in values[value]]
    return {"rows": rows, "other": measure(other, metric), "total": measure(visits, metric)}


def active(visits: Sequence[Visit], zone: str, days: Iterable[str]) -> list[tuple[int, int, int]]:
    """The persons of each day, of the seven days and of the thirty that end with it."""
    users: defaultdict[date, set[str]] = defaultdict(set)
    for visit in visits:
        if visit.user is not None:
            users[day_of(visit, zone)].add(visit.user)
    found = []
    for text in days:
        last = date.fromisoformat(text)
        widths = [
            set().union(*(users[last - timedelta(days=back)] for back in range(width)))
            for width in (1, 7, 30)
        ]
        found.append((len(widths[0]), len(widths[1]), len(widths[2])))
    return found


def funnel(
    visits: Sequence[Visit], steps: Sequence[Keep], window_ms: int, entry: Keep
) -> list[tuple[int, float | None, float | None]]:
    """For each step the persons, and the medians since the step before and since the first."""
    persons: defaultdict[str, list[Visit]] = defaultdict(list)
    for visit in visits:
        if visit.user is not None:
            persons[visit.user].append(visit)
    reached: Counter[int] = Counter()
    last: defaultdict[int, list[int]] = defaultdict(list)
    total: defaultdict[int, list[int]] = defaultdict(list)
    for events in persons.values():
        events.sort(key=lambda visit: (visit.at_ms, visit.id))
        done = _completed(events, steps, window_ms, entry)
        for k, completed in enumerate(done):
            if not completed:
                break
            reached[k] += 1
            if k:
                chain = _look_back(done, k)
                times = [events[at].at_ms for at in chain]
                last[k].append(times[0] - times[1])
                total[k].append(times[0] - times[-1])
    return [
        (reached[k], median(last[k]) if last[k] else None, median(total[k]) if total[k] else None)
        for k in range(len(steps))
    ]


def _completed(
    events: Sequence[Visit], steps: Sequence[Keep], window_ms: int, entry: Keep
) -> list[list[int]]:
    """List, for each step, the places of the events that complete it."""
    # For each event and step: all moments at which a way to it may have begun.
    begun = [[set[int]() for _ in steps] for _ in events]
    for at, event in enumerate(events):
        if steps[0](event) and entry(event):
            begun[at][0] = {event.at_ms}
        for k in range(1, len(steps)):
            if steps[k](event):
                before = set().union(*(begun[other][k - 1] for other in range(at)))
                begun[at][k] = {ms for ms in before if event.at_ms - ms <= window_ms}
    return [[at for at in range(len(events)) if begun[at][k]] for k in range(len(steps))]


def _look_back(done: Sequence[Sequence[int]], k: int) -> list[int]:
    """Follow the first completion of a step back: each time to the latest of the step before."""
    chain = [done[k][0]]
    for step in range(k - 1, -1, -1):
        chain.append(max(at for at in done[step] if at < chain[-1]))
    return chain
