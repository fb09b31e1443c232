"""What is asked of events over time, or of the most frequent values: checked, and as plain data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from raydo.actors.periods import Range, range_of
from raydo.actors.selection import Filter, check_property, parse_filters
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import BREAKDOWN_VALUES_MAX, QUERY_ROWS_MAX

CURRENT: Final = "current"
PREVIOUS: Final = "previous"
WHOLE: Final = ""  # instead of a period: the whole span
MEASURES: Final = {"events": "sum(n)", "users": "count(DISTINCT person)"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked; plain data by `wire`, for whichever process makes the reply."""

    range: Range
    now: str  # the label of the period that has not ended
    metric: str = "events"
    event: str | None = None
    filters: Sequence[Filter] = ()
    bots: bool = True
    breakdown: str | None = None
    values: int = 0  # how many values have a series of their own
    compare: bool = False
    timed: bool = True  # whether there are periods, or only the whole

    @property
    def spans(self) -> list[tuple[str, Range]]:
        """The ranges that are counted."""
        both = [(PREVIOUS, self.range.previous())] if self.compare else []
        return [(CURRENT, self.range), *both]

    def wire(self) -> dict[str, Any]:
        """Write as plain data what the reply needs."""
        return {
            "range": self.range.wire(),
            "now": self.now,
            "metric": self.metric,
            "event": self.event,
            "breakdown": self.breakdown,
            "values": self.values,
            "compare": self.compare,
        }


def plan_of(wire: Mapping[str, Any]) -> Plan:
    """Read what `Plan.wire` wrote."""
    return Plan(**{**wire, "range": range_of(wire["range"])})


def plan_series(
    span: Range,
    now: str,
    *,
    metric: object,
    event: object,
    breakdown: object,
    values: object,
    filters: object,
    compare: object,
    bots: bool,
) -> Plan:
    """Check what a caller asks for.

    Raises:
        InvalidArgument: there is no such thing, or it would be too many numbers.
    """
    if metric not in MEASURES:
        raise InvalidArgument(f"A metric is {' or '.join(MEASURES)}, not {metric!r:.40}.")
    if compare not in (None, PREVIOUS):
        raise InvalidArgument(f"compare is {PREVIOUS} or nothing, not {compare!r:.40}.")
    if event is not None and not isinstance(event, str):
        raise InvalidArgument(f"An event has a name, not {event!r:.40}.")
    plan = Plan(
        span,
        now,
        str(metric),
        event,
        parse_filters(filters),  # type: ignore[arg-type]  # it checks
        bots is not False,
        None if breakdown is None else check_property(breakdown),
        0 if breakdown is None else check_values(values),
        compare is not None,
    )
    _check_size(plan)
    return plan


def plan_top(
    span: Range, *, metric: object, by: object, values: int, filters: object, bots: bool
) -> Plan:
    """Check what a caller asks for.

    Raises:
        InvalidArgument: there is no such thing.
    """
    if metric not in MEASURES:
        raise InvalidArgument(f"A metric is {' or '.join(MEASURES)}, not {metric!r:.40}.")
    return Plan(
        span,
        WHOLE,
        str(metric),
        filters=parse_filters(filters),  # type: ignore[arg-type]  # it checks
        bots=bots is not False,
        breakdown=check_property(by),
        values=values,
        timed=False,
    )


def check_values(values: object, most: int = BREAKDOWN_VALUES_MAX) -> int:
    """Refuse a number of values that are told apart.

    Raises:
        InvalidArgument: no number from 1 to `most`.
    """
    if not isinstance(values, int) or isinstance(values, bool) or not 0 < values <= most:
        raise InvalidArgument(f"From 1 to {most} values are told apart, not {values!r:.40}.")
    return values


def _check_size(plan: Plan) -> None:
    series = plan.values + 3 if plan.breakdown is not None else 1
    numbers = len(plan.range.labels()) * series * len(plan.spans)
    if series > 1 and numbers > QUERY_ROWS_MAX:
        raise InvalidArgument(
            f"{numbers} numbers are more than the {QUERY_ROWS_MAX} of one answer: ask for fewer"
            " periods or values."
        )
