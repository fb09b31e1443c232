"""What OpenAPI says about the routes of metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raydo.gateway.openapi import (
    FLAG,
    TEXT,
    WHOLE,
    Schema,
    array,
    json_of,
    object_of,
    operation,
    query,
    ref,
)
from raydo.pipelining.limits import (
    BREAKDOWN_VALUES,
    FUNNEL_STEPS_MAX,
    FUNNEL_WINDOW_S,
    TIMELINE_EVENTS,
    TOP_VALUES,
)

_DATE: Final[Schema] = {**TEXT, "format": "date"}
_NUMBER: Final[Schema] = {"type": "number"}
_LAYER: Final[Schema] = {
    **TEXT,
    "description": "L1: the log, L2: SQLite and rollups, L3: the archive too; also X-Raydo-Layer",
}
_VALUE: Final[Schema] = {
    "type": ["string", "null"],
    "description": "as text; null: without the property, or the rest of the values",
}
_MS: Final[Schema] = {**WHOLE, "description": "UTC, milliseconds since 1970"}
_MEDIAN: Final[Schema] = {"type": ["number", "null"], "description": "null: of nobody"}

_TOTAL: Final[Schema] = {**WHOLE, "description": "of persons each counts once"}
_POINTS: Final = {"points": array(ref("Point")), "total": _TOTAL}
_ENDS: Final = {"from": _DATE, "to": _DATE}

SCHEMAS: Final[Mapping[str, Schema]] = {
    "Point": object_of(
        "at value partial",
        at={**TEXT, "description": "the period's first date, or its local hour 2026-01-31T13:00"},
        value=WHOLE,
        partial={**FLAG, "description": "it has not ended"},
    ),
    "Timeseries": object_of(
        "layer metric interval zone from to points total",
        layer=_LAYER,
        metric=TEXT,
        event={"type": ["string", "null"]},
        interval=TEXT,
        zone=TEXT,
        **_ENDS,
        **_POINTS,
        previous={
            **object_of(**_ENDS, **_POINTS),
            "description": "with compare=previous: as many periods right before",
        },
        breakdown=TEXT,
        series=array(
            object_of(
                value=_VALUE,
                other={**FLAG, "description": "the rest of the values, together"},
                total=_TOTAL,
                values={**array(WHOLE), "description": "one for each of the points"},
                previous_total=WHOLE,
            )
        ),
    ),
    "Active": object_of(
        "layer window zone days",
        layer=_LAYER,
        window=TEXT,
        zone=TEXT,
        days=array(
            object_of(
                date=_DATE,
                active={**WHOLE, "description": "of the window asked for"},
                dau=WHOLE,
                wau={**WHOLE, "description": "of the 7 days that end with it"},
                mau={**WHOLE, "description": "of the 30 days that end with it"},
                stickiness={**_NUMBER, "description": "dau / mau"},
                partial=FLAG,
            )
        ),
    ),
    "Top": object_of(
        "layer by metric rows other total",
        layer=_LAYER,
        by=TEXT,
        metric=TEXT,
        zone=TEXT,
        **_ENDS,
        rows=array(object_of(value=_VALUE, count=WHOLE)),
        other={**WHOLE, "description": "of the values that are not listed"},
        total=_TOTAL,
    ),
    "FunnelQuestion": object_of(
        "steps",
        steps={
            "type": "array",
            "minItems": 2,
            "maxItems": FUNNEL_STEPS_MAX,
            "items": {"oneOf": [TEXT, object_of("event", event=TEXT, filters=array(TEXT))]},
        },
        window_s={**_NUMBER, "default": FUNNEL_WINDOW_S},
        **_ENDS,
        tz=TEXT,
        filters=array(TEXT),
        bots={**FLAG, "default": True},
    ),
    "Funnel": object_of(
        "layer steps conversion",
        layer=_LAYER,
        zone=TEXT,
        **_ENDS,
        window_s=_NUMBER,
        steps=array(
            object_of(
                event=TEXT,
                persons=WHOLE,
                conversion={**_NUMBER, "description": "of those of the first step"},
                conversion_from_previous=_NUMBER,
                drop_off=WHOLE,
                median_from_previous_ms=_MEDIAN,
                median_total_ms=_MEDIAN,
            )
        ),
        conversion=_NUMBER,
    ),
    "Timeline": object_of(
        "layer user_id person_id ids events next",
        layer=_LAYER,
        user_id=TEXT,
        person_id=TEXT,
        ids={**array(TEXT), "description": "all that the person is known by, its own first"},
        events=array(
            object_of(
                seq=WHOLE,
                id=TEXT,
                event=TEXT,
                userId={"type": ["string", "null"]},
                anonymousId={"type": ["string", "null"]},
                timestamp=_MS,
                receivedAt=_MS,
                properties={"type": "object"},
                context={"type": ["object", "null"]},
                bot=FLAG,
            )
        ),
        next={"type": ["string", "null"], "description": "`before` of the next page"},
    ),
    "Whereabouts": object_of(
        "layer message_id found remembered events",
        layer=_LAYER,
        message_id=TEXT,
        found=FLAG,
        remembered={**FLAG, "description": "another event with this id would be a duplicate now"},
        events={
            **array(
                object_of(
                    seq=WHOLE,
                    event=TEXT,
                    user_id={"type": ["string", "null"]},
                    timestamp=_MS,
                    received_at=_MS,
                    logged=FLAG,
                    drained={**FLAG, "description": "in SQLite"},
                    rolled_up=FLAG,
                    archived={
                        "oneOf": [
                            {"type": "null"},
                            object_of(run=WHOLE, snapshot_id=TEXT, committed_ms=_MS),
                        ]
                    },
                )
            ),
            "description": "newest first; several only when they came over a week apart",
        },
    ),
}

BOTS: Final = query("bots", {**FLAG, "default": True}, "whether events of bots count")
WEEK: Final = query("week_start", TEXT, "monday or sunday; the tenant's own if absent")
_TZ: Final = query("tz", TEXT, "IANA time zone; the tenant's own if absent")
_RANGE: Final = [
    query("from", _DATE, "the first day; a whole hour, week or month that holds it"),
    query("to", _DATE, "the last day, likewise; today if absent"),
    _TZ,
    BOTS,
]
_FILTER: Final[Schema] = {
    **query("filter", array(TEXT), "`property:value`, `property!:value`; may be repeated"),
    "explode": True,
}
_METRIC: Final = query("metric", {**TEXT, "default": "events"}, "events, or users: persons")


def _path(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": TEXT}


OPERATIONS: Final[Mapping[tuple[str, str], Schema]] = {
    ("/timeseries", "get"): operation(
        "Events or persons over time, oldest first, empty periods too",
        ref("Timeseries"),
        tag="answers",
        parameters=[
            query("event", TEXT, "only events of this name"),
            query("interval", {**TEXT, "default": "day"}, "hour, day, week or month"),
            query("breakdown", TEXT, "a property; event, user, page or source"),
            query("values", {**WHOLE, "default": BREAKDOWN_VALUES}, "how many have a series"),
            _METRIC,
            query("compare", TEXT, "previous: as many periods right before"),
            WEEK,
            _FILTER,
            *_RANGE,
        ],
    ),
    ("/active", "get"): operation(
        "Persons of each day, of 7 days and of 30, and how often they come",
        ref("Active"),
        tag="answers",
        parameters=[
            query("window", {**TEXT, "default": "day"}, "day, week or month: what `active` is"),
            *_RANGE,
        ],
    ),
    ("/top", "get"): operation(
        "The most frequent values of a property",
        ref("Top"),
        tag="answers",
        parameters=[
            query("by", {**TEXT, "default": "event"}, "a property; event, user, page or source"),
            _METRIC,
            query("limit", {**WHOLE, "default": TOP_VALUES}, "how many"),
            _FILTER,
            *_RANGE,
        ],
    ),
    ("/funnel", "post"): operation(
        "How many persons take steps in order, within a time",
        ref("Funnel"),
        tag="answers",
        body=json_of(ref("FunnelQuestion"), {"steps": ["PageView", "SignUp"], "window_s": 86_400}),
    ),
    ("/users/{user_id}", "get"): operation(
        "One person's events, newest first",
        ref("Timeline"),
        tag="answers",
        parameters=[
            _path("user_id"),
            query("before", TEXT, "milliseconds since 1970, or `next` of the page before"),
            query("limit", {**WHOLE, "default": TIMELINE_EVENTS}, "of one page"),
        ],
    ),
    ("/events/{message_id}", "get"): operation(
        "Where an event is: logged, drained, rolled up, archived",
        ref("Whereabouts"),
        tag="answers",
        parameters=[_path("message_id")],
    ),
}
