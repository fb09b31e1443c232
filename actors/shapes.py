"""What is made of the rows that answer a metric, by name, in whichever process has them.

A question may be answered beside the turns, by a process that knows nothing of the object. So the
question says, as plain data, what is to be made of its rows: `[name, plan]`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from raydo.actors import funnel, series, timeline, top, whereabouts

Reply = Mapping[str, Any]

_SHAPES: Final[Mapping[str, Callable[[Mapping[str, Any], Reply], dict[str, Any]]]] = {
    "event": whereabouts.shape,
    "funnel": funnel.shape,
    "timeline": timeline.shape,
    "timeseries": series.shape,
    "top": top.shape,
}


def shaped(shape: Sequence[Any] | None, reply: dict[str, Any]) -> dict[str, Any]:
    """Make of a reply what was asked for; without a shape it stays as it is.

    Raises:
        QueryLimit: rows that are needed were cut off.
    """
    if shape is None:
        return reply
    name, plan = shape
    return _SHAPES[name](plan, reply)
