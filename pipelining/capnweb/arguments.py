"""Arguments on their way to a durable object: plain data, with references into the same program."""

from __future__ import annotations

from typing import Any

from raydo.pipelining.capnweb.draft import Draft
from raydo.pipelining.capnweb.reader import Payload
from raydo.pipelining.capnweb.rebuild import NODE_BYTES, check_size, data
from raydo.pipelining.capnweb.slot import Slot, Turns
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.capnweb.targets import TARGETS
from raydo.pipelining.capnweb.values import UNDEFINED
from raydo.pipelining.codec import Ref
from raydo.pipelining.errors import InvalidArgument


class Elsewhere(Exception):
    """Leave arguments of which one is computed by another program, or by the client."""


def arguments(turns: Turns, draft: Draft, args: Payload) -> list[Any]:
    """Make the arguments of a call in a draft.

    Raises:
        Elsewhere: one has to come first. InvalidArgument, TooLarge: they cannot travel.
        RaydoError, PeerError: one has failed.
    """
    values: list[Any] = args.value
    if not args.foreign:
        return values
    check_size(sum(slot.size() for slot in args.slots if slot.whole and slot.failure is None))
    end = len(values)
    while end and values[end - 1] is UNDEFINED:
        end -= 1  # a default counts for what was left out
    return [as_data(turns, draft, value) for value in values[:end]]


def as_data(turns: Turns, draft: Draft, value: Any) -> Any:
    """Make plain data of a value, with references to what the draft computes.

    Raises:
        As `arguments`.
    """

    def leaf(item: Any) -> Any:
        if isinstance(item, Slot):
            return refer(turns, draft, item)
        if isinstance(item, (ClientStub, *TARGETS)):
            kind = "function of the client" if isinstance(item, ClientStub) else "remote object"
            raise InvalidArgument(f"A {kind} cannot be given to a durable object: it takes data.")
        return item

    return data(value, leaf)


def refer(turns: Turns, draft: Draft, slot: Slot) -> Any:
    """Give what stands for a slot's value in a draft.

    Raises:
        As `arguments`.
    """
    if not slot.whole:
        at = draft.place(slot)
        if at is None:
            raise Elsewhere
        return Ref(at)
    if slot.failure is not None:
        raise slot.failure
    if slot.plain:
        return slot.value
    turns.meter.spend(slot.size() // NODE_BYTES)
    return as_data(turns, draft, slot.value)
