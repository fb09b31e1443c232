"""Copy values with something in the place of their leaves, within what a message may cost.

A message of a few bytes can name a large value twice, and the next one that value twice again. So
whatever is built of earlier values is weighed as it would travel, and what is walked for that is
counted against the message.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from raydo.pipelining.capnweb.values import UNDEFINED, PeerError, Request, Response, plain
from raydo.pipelining.errors import TooLarge
from raydo.pipelining.limits import CAPNWEB_DEPTH_MAX, CAPNWEB_STEPS_MAX, FRAME_BYTES_MAX

NODE_BYTES: Final = 16  # what a value costs beside its text; 2,000,000 of them weigh a frame

Leaf = Callable[[Any], Any]


class Meter:
    """What is left of the work that one message may cause here."""

    def __init__(self) -> None:
        self.left = CAPNWEB_STEPS_MAX

    def spend(self, steps: int) -> None:
        """Take some.

        Raises:
            TooLarge: nothing is left.
        """
        self.left -= steps
        if self.left < 0:
            raise TooLarge(
                f"One message may have {CAPNWEB_STEPS_MAX:,} values copied at the gateway; call "
                "methods that answer less, or map over fewer items."
            )

    def refill(self) -> None:
        self.left = CAPNWEB_STEPS_MAX


def weigh(value: Any, meter: Meter) -> int:
    """Estimate the size of a value as it would travel.

    Raises:
        TooLarge: over a frame, or over what the message may cost.
    """
    total, steps, level = 0, 0, [value]
    while level:
        item = level.pop()
        steps += 1
        total += NODE_BYTES
        if isinstance(item, (str, bytes)):
            total += len(item)
        elif isinstance(item, dict):
            total += sum(len(key) if isinstance(key, str) else 1 for key in item)
            level.extend(item.values())
        elif isinstance(item, (list, tuple)):
            level.extend(item)
        if total > FRAME_BYTES_MAX or steps > meter.left:
            break
    meter.spend(steps)
    check_size(total)
    return total


def check_size(size: int) -> None:
    """Refuse what would be too large to travel.

    Raises:
        TooLarge: it is.
    """
    if size > FRAME_BYTES_MAX:
        raise TooLarge(f"A value is over {FRAME_BYTES_MAX:,} bytes with what it refers to.")


def rebuild(value: Any, leaf: Leaf, depth: int = CAPNWEB_DEPTH_MAX) -> Any:
    """Copy lists and objects; everything else becomes what `leaf` makes of it.

    Raises:
        TooLarge: nested too deep.
    """
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is dict:
        below = _below(depth)
        return {key: rebuild(item, leaf, below) for key, item in value.items()}
    if kind is list:
        below = _below(depth)
        return [rebuild(item, leaf, below) for item in value]
    return leaf(_inside(value, leaf, depth))


def data(value: Any, leaf: Leaf, depth: int = CAPNWEB_DEPTH_MAX) -> Any:
    """Copy a value for a durable object: with data for what is foreign, without undefined keys.

    Raises:
        TooLarge: nested too deep. InvalidArgument: something that no data stands for.
    """
    kind = type(value)
    if kind is str or kind is int or value is None:
        return value
    if kind is dict:
        below = _below(depth)
        return {
            key: data(item, leaf, below) for key, item in value.items() if item is not UNDEFINED
        }
    if kind is list:
        below = _below(depth)
        return [data(item, leaf, below) for item in value]
    found = plain(value)
    return leaf(value) if found is value else data(found, leaf, _below(depth))


def _inside(value: Any, leaf: Leaf, depth: int) -> Any:
    """Copy what has values inside without being a list or an object."""
    match value:
        case PeerError():
            return PeerError(value.name, value.message, rebuild(value.props, leaf, _below(depth)))
        case Request(url, init):
            return Request(url, rebuild(init, leaf, _below(depth)))
        case Response(body, init):
            below = _below(depth)
            return Response(rebuild(body, leaf, below), rebuild(init, leaf, below))
    return value


def _below(depth: int) -> int:
    if depth <= 0:
        raise TooLarge(f"A value is nested deeper than {CAPNWEB_DEPTH_MAX} levels.")
    return depth - 1
