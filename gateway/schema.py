"""What OpenAPI says about the routes that FastAPI does not make itself.

The hot routes are bare ASGI endpoints, so their operations are written out here, and a test holds
that each of them has one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from raydo.gateway import metrics_schema
from raydo.gateway.openapi import ANY as _ANY
from raydo.gateway.openapi import COUNTS as _COUNTS
from raydo.gateway.openapi import FLAG as _FLAG
from raydo.gateway.openapi import MOMENT as _MOMENT
from raydo.gateway.openapi import TEXT as _TEXT
from raydo.gateway.openapi import WHOLE as _WHOLE
from raydo.gateway.openapi import Schema
from raydo.gateway.openapi import array as _array
from raydo.gateway.openapi import json_of as _json
from raydo.gateway.openapi import object_of as _object
from raydo.gateway.openapi import operation as _operation
from raydo.gateway.openapi import query as _query
from raydo.gateway.openapi import ref as _ref
from raydo.gateway.vendor_schema import operations as vendor_operations

SCHEMAS: Final[Schema] = {
    "Event": _object(
        "event",
        event=_TEXT,
        properties={"type": "object"},
        userId=_TEXT,
        anonymousId=_TEXT,
        timestamp=_MOMENT,
        messageId={**_TEXT, "description": "counts once within 7 days"},
    ),
    "Tracked": _object(success=_FLAG, status=_WHOLE, error={"type": "null"}, id=_TEXT),
    "BatchTracked": _object(
        success=_FLAG,
        status=_WHOLE,
        error={"type": "null"},
        accepted=_WHOLE,
        duplicates=_WHOLE,
        rejected=_array(_object(index=_WHOLE, code=_TEXT, error=_TEXT)),
    ),
    "Stats": _object(
        active={**_COUNTS, "description": "distinct users of the last 1m, 5m and 30m"},
        events={**_COUNTS, "description": "the most frequent event names"},
        counters={"type": "object"},
        truncated=_FLAG,
    ),
    "Cohort": _object(cohort={**_TEXT, "format": "date"}, size=_WHOLE, retained=_array(_WHOLE)),
    **metrics_schema.SCHEMAS,
    "Day": _object(date={**_TEXT, "format": "date"}, dau=_WHOLE, events=_WHOLE, partial=_FLAG),
    "Question": _object(
        "sql",
        sql={**_TEXT, "description": "one SELECT"},
        params={"oneOf": [_array(_ANY), {"type": "object"}]},
        limit=_WHOLE,
        asOf={
            "oneOf": [*_MOMENT["oneOf"], _object("snapshot_id", snapshot_id=_TEXT)],
            "description": "the past: a moment, exactly, or a snapshot of the archive",
        },
    ),
    "Table": _object(
        columns=_array(_object(name=_TEXT, type=_TEXT)),
        rows=_array({"type": "object", "description": "values by column name"}),
        layer={**_TEXT, "description": "L2: SQLite, L3: the archive too"},
        layers=_array(_TEXT),
        snapshot_id={**_TEXT, "description": "of the archive, if it was read"},
        read=_object(
            files=_WHOLE, files_pruned=_WHOLE, bytes=_WHOLE, row_groups={"type": "integer"}
        ),
        truncated=_FLAG,
        elapsed_ms={"type": "number"},
    ),
    "Failure": _object(
        "success status error code message detail",
        success=_FLAG,
        status={**_WHOLE, "description": "always 0"},
        error={**_TEXT, "description": "a sentence"},
        code={**_TEXT, "description": "stable; what a program should look at"},
        message={**_TEXT, "description": "the same sentence"},
        detail=_ANY,
    ),
}

_EVENT_EXAMPLE: Final = {
    "event": "PageView",
    "properties": {"userId": "123", "page": "/pricing"},
}
_BATCH: Final[Schema] = {
    **_json(
        {
            "oneOf": [
                _array(_ref("Event")),
                _object("batch", batch=_array(_ref("Event")), sentAt=_MOMENT),
            ]
        },
        [_EVENT_EXAMPLE],
    ),
    "application/x-ndjson": {"schema": {**_TEXT, "description": "one event a line"}},
}
_RPC: Final[Schema] = {
    "text/plain": {"schema": {**_TEXT, "description": "Cap'n Web messages, one a line"}},
    "application/msgpack": {"schema": {**_TEXT, "format": "binary"}},
}

OPERATIONS: Final[Mapping[tuple[str, str], Schema]] = {
    ("/track", "post"): _operation(
        "Record one event",
        _ref("Tracked"),
        tag="events",
        body=_json(_ref("Event"), _EVENT_EXAMPLE),
    ),
    ("/track/batch", "post"): _operation(
        "Record many events: an array, {batch: […]} or one a line; gzip and deflate too",
        _ref("BatchTracked"),
        tag="events",
        body=_BATCH,
        parameters=[_query("historical", _FLAG, "an import: take `receivedAt` from the events")],
    ),
    ("/stats", "get"): _operation("Who is active, and what happens", _ref("Stats"), tag="answers"),
    ("/dau", "get"): _operation(
        "Daily active users by calendar day, newest first",
        _array(_ref("Day")),
        tag="answers",
        parameters=[
            _query("days", {**_WHOLE, "default": 7}, "how many days"),
            _query("tz", _TEXT, "IANA time zone; the tenant's own if absent"),
            _query("to", {**_TEXT, "format": "date"}, "the last day; today if absent"),
            metrics_schema.BOTS,
        ],
    ),
    ("/retention", "get"): _operation(
        "Who came again, by the period in which they were first seen ever",
        _array(_ref("Cohort")),
        tag="answers",
        parameters=[
            _query("period", {**_TEXT, "default": "week"}, "day, week or month"),
            _query("from", {**_TEXT, "format": "date"}, "a day of the first cohort"),
            _query("to", {**_TEXT, "format": "date"}, "the last day; today if absent"),
            _query("tz", _TEXT, "IANA time zone; the tenant's own if absent"),
            metrics_schema.WEEK,
            metrics_schema.BOTS,
        ],
    ),
    **metrics_schema.OPERATIONS,
    ("/query", "post"): _operation(
        "Run one read-only SELECT over the tenant's data",
        _ref("Table"),
        tag="answers",
        body=_json(
            _ref("Question"),
            {"sql": "SELECT date, dau FROM daily_metrics ORDER BY date DESC LIMIT 7"},
        ),
    ),
    ("/rpc", "post"): {
        **_operation(
            "A batch of the Cap'n Web client, or a frame of the Python client",
            _TEXT,
            tag="objects",
            body=_RPC,
        ),
        "description": "A WebSocket on the same path speaks Cap'n Web as long as it is open.",
    },
    **vendor_operations(),
}


def merge(openapi: Schema) -> Schema:
    """Add the hand-written operations to what FastAPI generated."""
    for (path, method), operation in OPERATIONS.items():
        openapi["paths"].setdefault(path, {})[method] = operation
    openapi.setdefault("components", {}).setdefault("schemas", {}).update(SCHEMAS)
    return openapi
