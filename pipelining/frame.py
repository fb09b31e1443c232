"""What travels: envelopes of numbered programs, the answers to them, and a program's reply.

An envelope carries programs of several sessions, because a gateway merges clients; an answer stands
for each of them. What is decoded here may come from anyone. `by` is who sent a program, as the gateway that
let them in knows: it writes it over whatever a client says (`stamped`).

    envelope = [[session, n, acked_to, program, by?], …]      answer = [[status, payload], …]
    reply    = {"r": [[0, value] | [1, error], …], "f": [[op, error], …]}
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgpack

from raydo.pipelining.codec import pack, unpack
from raydo.pipelining.errors import InvalidArgument, RaydoError, encode_error
from raydo.pipelining.limits import BY_CHARS_MAX, ENVELOPE_BYTES_MAX, ERROR_TEXT_MAX
from raydo.pipelining.program import (
    ROOT,
    Body,
    Call,
    Get,
    Map,
    Op,
    Program,
    Value,
    array_header,
    expect,
)

__all__ = [
    "APPLIED",
    "GAP",
    "KNOWN",
    "ROOT",
    "SESSION_BYTES",
    "Answer",
    "Body",
    "Call",
    "Entry",
    "Failure",
    "Get",
    "Map",
    "Op",
    "Outcome",
    "Program",
    "Reply",
    "Value",
    "decode_answers",
    "decode_envelope",
    "encode_answers",
    "encode_envelope",
    "encode_reply",
    "pack_error",
    "stamped",
]

APPLIED: Final = 0  # the reply follows
GAP: Final = 1  # an earlier program of the session is missing; the next number expected follows
KNOWN: Final = 2  # applied before, and the reply is no longer kept

SESSION_BYTES: Final = 16


class Entry(NamedTuple):
    """One numbered program of one session; all of the session's up to `acked_to` are settled."""

    session: bytes
    n: int
    acked_to: int
    program: bytes
    by: str = ""  # who sent it; nothing where there are no keys


class Answer(NamedTuple):
    """What became of one entry: `APPLIED` with the reply, `GAP` with a number, or `KNOWN`."""

    status: int
    payload: bytes | int | None


def encode_envelope(entries: Iterable[Entry]) -> bytes:
    return bytes(msgpack.packb([entry if entry.by else entry[:4] for entry in entries]))


def stamped(envelope: bytes, by: str) -> bytes:
    """Say in an envelope who sent all of it, whatever it says itself.

    Raises:
        InvalidArgument, TooLarge: it is no envelope.
    """
    return encode_envelope(entry._replace(by=by) for entry in decode_envelope(envelope))


def decode_envelope(data: bytes) -> list[Entry]:
    """Read an envelope that may come from anyone; its programs stay undecoded.

    Raises:
        InvalidArgument, TooLarge: it is not one, or breaks a limit.
    """
    wire = unpack(data, bytes_max=ENVELOPE_BYTES_MAX)
    expect(type(wire) is list, "is a list of entries")
    return [_entry(item) for item in wire]


def _entry(wire: Any) -> Entry:
    expect(
        type(wire) is list and len(wire) in {4, 5}, "has entries of session, n, acked_to, program"
    )
    session, n, acked_to, program, *rest = wire
    by = rest[0] if rest else ""
    expect(type(by) is str and len(by) <= BY_CHARS_MAX, "says in a short text who sent a program")
    expect(type(session) is bytes and len(session) == SESSION_BYTES, "names sessions by 16 bytes")
    expect(type(n) is int and type(acked_to) is int, "has numbers")
    expect(0 <= acked_to < n < 1 << 62, "numbers programs from 1, after what is settled")
    expect(type(program) is bytes, "has programs that are bytes")
    return Entry(session, n, acked_to, program, by)


def encode_answers(answers: Iterable[Answer]) -> bytes:
    return bytes(msgpack.packb(list(answers)))


def decode_answers(data: bytes) -> list[Answer]:
    """Read the answer to an envelope.

    Raises:
        InvalidArgument, TooLarge: it is not one.
    """
    wire = unpack(data, bytes_max=ENVELOPE_BYTES_MAX)
    expect(type(wire) is list, "answers with a list")
    for item in wire:
        match item:
            case [0, bytes()] | [1, int()] | [2, _]:
                continue
        raise InvalidArgument("This is no frame of ours: an answer is [status, payload].")
    return [Answer(*item) for item in wire]


class Outcome(NamedTuple):
    """The value of an output, or its error's wire form; `packed` when it is encoded already."""

    failed: bool
    value: Any
    packed: bytes | None = None

    def encode(self) -> bytes:
        return b"\x92" + (b"\x01" if self.failed else b"\x00") + (self.packed or pack(self.value))


class Failure(NamedTuple):
    """An instruction that failed and that nobody waits for."""

    op: int
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a program answers: its outputs' outcomes, and failures that belong to no output."""

    results: tuple[Outcome, ...]
    failures: tuple[Failure, ...] = ()

    def encode(self) -> bytes:
        return encode_reply([result.encode() for result in self.results], self.failures)

    @staticmethod
    def decode(data: bytes) -> Reply:
        """Read a reply.

        Raises:
            InvalidArgument, TooLarge: it is not one.
        """
        match unpack(data, bytes_max=ENVELOPE_BYTES_MAX):
            case {"r": list(results), "f": list(failures)}:
                return Reply(tuple(map(_outcome, results)), tuple(map(_failure, failures)))
        raise InvalidArgument("This is no frame of ours: a reply holds results and failures.")


def encode_reply(outcomes: Sequence[bytes], failures: Sequence[Failure]) -> bytes:
    """Make a reply of outcomes that are encoded already."""
    results = b"".join((array_header(len(outcomes)), *outcomes))
    return b"\x82\xa1r" + results + b"\xa1f" + pack([list(failure) for failure in failures])


def _outcome(wire: Any) -> Outcome:
    match wire:
        case [0, value]:
            return Outcome(False, value)
        case [1, dict(error)]:
            return Outcome(True, error)
    raise InvalidArgument("This is no frame of ours: a result is [0, value] or [1, error].")


def _failure(wire: Any) -> Failure:
    match wire:
        case [int(op), dict(error)]:
            return Failure(op, error)
    raise InvalidArgument("This is no frame of ours: a failure is [op, error].")


def pack_error(error: BaseException) -> tuple[dict[str, Any], bytes]:
    """Give an error's wire form and its bytes; whatever in it does not travel is left out."""
    try:
        wire = encode_error(error)
    except Exception:  # noqa: BLE001  # an exception whose own text raises
        wire = encode_error(RaydoError(f"{type(error).__name__} (its text could not be read)"))
    text = str(wire["message"])[:ERROR_TEXT_MAX]
    wire["message"] = text.encode("utf-8", "replace").decode()
    try:
        return wire, pack(wire)
    except RaydoError:
        del wire["detail"]
        return wire, pack(wire)
