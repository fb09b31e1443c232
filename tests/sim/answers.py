"""Read what raydo answers in the model's words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgpack
from sim.traffic import in_front
from sim.values import GAP, KNOWN, REPLY, Call, Frame

from raydo.pipelining import frame as wire

if TYPE_CHECKING:
    from raydo.actors.activation import Activation

STATUS: Final = {GAP: wire.GAP, KNOWN: wire.KNOWN, REPLY: wire.APPLIED}
_FULL: Final = [1, "storage_full"]


class Mismatch(AssertionError):
    """The world is not as the model says."""


def decoded(payload: Any, calls: tuple[Call, ...]) -> dict[str, Any]:
    """Read a reply as the model gives it: of an error only its code."""
    reply, before = msgpack.unpackb(payload), in_front(calls)
    return {
        "r": [[1, value["code"]] if failed else [0, value] for failed, value in reply["r"]],
        "f": [[op - before, error["code"]] for op, error in reply["f"]],
    }


def refused_calls(frame: Frame, answer: wire.Answer) -> list[int]:
    """List the calls of a frame that a full disk refused."""
    if answer.status != wire.APPLIED or b"storage_full" not in answer.payload:  # type: ignore[operator]
        return []
    reply = decoded(answer.payload, frame.calls)
    wanted = [index for index, call in enumerate(frame.calls) if call.wanted]
    found = [index for index, result in zip(wanted, reply["r"], strict=True) if result == _FULL]
    return [*found, *(op for op, code in reply["f"] if code == "storage_full")]


def applied(activation: Activation, entries: list[wire.Entry]) -> list[wire.Answer]:
    """Have entries applied in one turn, and what takes long answered there as well."""
    return wire.decode_answers(activation.apply(wire.encode_envelope(entries)))
