"""POST /track and POST /track/batch: events in our own shape, one or many."""

from __future__ import annotations

from typing import Final

from raydo.gateway.body import Batch, many_events, one_event
from raydo.gateway.delivery import Asked, Delivery
from raydo.gateway.intake import Way
from raydo.gateway.replies import counted, judged


def read_one(body: bytes, asked: Asked) -> Delivery:
    """Read one event.

    Raises:
        InvalidArgument: not JSON, or not one event.
    """
    return _delivery(one_event(body), asked)


def read_many(body: bytes, asked: Asked) -> Delivery:
    """Read an array of events, an envelope of them, or one a line.

    Raises:
        InvalidArgument: not JSON, or another shape. TooLarge: too many.
    """
    return _delivery(many_events(body), asked)


def _delivery(batch: Batch, asked: Asked) -> Delivery:
    items = batch.items
    return Delivery(
        count=len(items),
        items=items,
        places=list(range(len(items))),
        key=batch.write_key,
        sent_at=batch.sent_at,
        asked=asked,
    )


ONE: Final = Way(read_one, judged)
MANY: Final = Way(read_many, counted, historical=True)
