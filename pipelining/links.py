"""Values of one object's frame that another object's frame needs, put in on the way.

A promise of one object may be an argument of another's call. Both frames then leave in one message,
a *convoy*, and whoever delivers them puts the values in: one round trip for the caller, and one
call of each object. In the frame that needs a value an empty VALUE stands in its place.

    convoy = [[member, …], [link, …]]             member = [class, tenant, envelope]
    link   = [member, entry, op, source member, its entry, its output]
    answer = [[0, answer of the envelope] | [1, error], …]

A link goes from an earlier member to a later one, so they can be delivered in order.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgpack

from raydo.pipelining.codec import pack, unpack
from raydo.pipelining.errors import ConnectionLost, RaydoError, TooLarge
from raydo.pipelining.frame import (
    APPLIED,
    Answer,
    Outcome,
    Reply,
    decode_answers,
    decode_envelope,
    encode_envelope,
    pack_error,
)
from raydo.pipelining.limits import (
    CONVOY_LINKS_MAX,
    CONVOY_MEMBERS_MAX,
    FRAME_BYTES_MAX,
    WIRE_BYTES_MAX,
)
from raydo.pipelining.noun import Noun, noun
from raydo.pipelining.program import (
    FAIL,
    VALUE,
    Program,
    Value,
    array_header,
    encode_op,
    expect,
    join_program,
)

_DONE: Final = 0
_FAILED: Final = 1


class Member(NamedTuple):
    """One envelope, and the object that it is for."""

    noun: Noun
    envelope: bytes


class Link(NamedTuple):
    """The instruction that a value is for, and the output that it comes from."""

    member: int
    entry: int
    op: int
    source: int
    source_entry: int
    output: int


class Convoy(NamedTuple):
    """Envelopes that travel together."""

    members: tuple[Member, ...]
    links: tuple[Link, ...]


def encode_convoy(members: Iterable[Member], links: Iterable[Link]) -> tuple[list[Any], list[Any]]:
    """Give the two lists of which a message is made."""
    return [[*member.noun, member.envelope] for member in members], [list(link) for link in links]


def read_convoy(members: list[Any], links: list[Any]) -> Convoy:
    """Read a convoy that may come from anyone.

    Raises:
        InvalidArgument, InvalidTenant, TooLarge: it is none, or breaks a limit.
    """
    if len(members) > CONVOY_MEMBERS_MAX or len(links) > CONVOY_LINKS_MAX:
        raise TooLarge(
            f"A convoy has at most {CONVOY_MEMBERS_MAX} members and {CONVOY_LINKS_MAX:,} links."
        )
    return Convoy(tuple(map(_member, members)), tuple(_link(each, len(members)) for each in links))


def _member(wire: Any) -> Member:
    match wire:
        case [str(cls), str(tenant), bytes(envelope)]:
            return Member(noun(cls, tenant), envelope)
    expect(False, "has members of class, tenant, envelope")
    raise AssertionError


def _link(wire: Any, members: int) -> Link:
    whole = type(wire) is list and len(wire) == len(Link._fields)
    expect(whole and all(type(each) is int and each >= 0 for each in wire), "links by six numbers")
    link = Link(*wire)
    expect(link.source < link.member < members, "links earlier members to later ones")
    return link


def encode_results(results: Sequence[bytes | RaydoError]) -> bytes:
    """Answer a convoy: for each member the answer to its envelope, or why there is none."""
    return bytes(
        msgpack.packb(
            [
                [_DONE, each] if isinstance(each, bytes) else [_FAILED, pack_error(each)[0]]
                for each in results
            ]
        )
    )


def decode_results(data: bytes, members: int) -> list[bytes | dict[str, Any]]:
    """Read the answer to a convoy: for each member an answer, or an error's wire form.

    Raises:
        InvalidArgument, TooLarge: it is none.
    """
    wire = unpack(data, bytes_max=WIRE_BYTES_MAX)
    expect(type(wire) is list and len(wire) == members, "answers each member")
    for each in wire:
        match each:
            case [0, bytes()] | [1, dict()]:
                continue
        expect(False, "answers a member with its answer or an error")
    return [each[1] for each in wire]


Values = Mapping[tuple[int, int, int], Outcome]  # by source, its entry, its output; encoded


def values_of(
    source: int, answer: bytes, links: Iterable[Link]
) -> dict[tuple[int, int, int], Outcome]:
    """Read what the links bring from a member's answer, each value once however often it is needed.

    What did not come is left out.

    Raises:
        InvalidArgument, TooLarge: the answer cannot be read, or a link is to no output of it.
    """
    wanted = {link[3:] for link in links if link.source == source}
    answers = decode_answers(answer)
    found: dict[tuple[int, int, int], Outcome] = {}
    for entry in {entry for _, entry, _ in wanted if entry < len(answers)}:
        match answers[entry]:
            case Answer(status, bytes(payload)) if status == APPLIED:
                results = Reply.decode(payload).results
                for key in wanted:
                    if key[1] == entry:
                        expect(key[2] < len(results), "links to outputs")
                        failed, value, _ = results[key[2]]
                        found[key] = Outcome(failed, None, pack(value))
    return found


def linked(envelope: bytes, links: Iterable[Link], values: Values, room: int) -> bytes:
    """Put the values that the links bring from earlier members' answers into an envelope.

    Raises:
        ConnectionLost: a value is not there, or they have more bytes than there is room for; who
            sent the envelope hears more of their makers, and may send it again by itself.
        InvalidArgument, TooLarge: the envelope or a link cannot be read.
    """
    found: defaultdict[int, dict[int, Outcome]] = defaultdict(dict)
    for link in links:
        value = values.get(link[3:])
        if value is None:
            raise ConnectionLost("A value that this needs did not come.")
        room -= len(value.packed or b"")
        if room < 0:
            raise ConnectionLost("The values that this needs are too much for one message.")
        found[link.entry][link.op] = value
    entries = decode_envelope(envelope)
    expect(max(found, default=0) < len(entries), "links into its entries")
    return encode_envelope(
        entry._replace(program=put_in(entry.program, found[at])) if at in found else entry
        for at, entry in enumerate(entries)
    )


def put_in(program: bytes, found: Mapping[int, Outcome]) -> bytes:
    """Give a program in which values, or errors, stand where others had been left empty.

    Raises:
        InvalidArgument, TooLarge: it cannot be read, or has no such places, or becomes too large.
    """
    read = Program.decode(program)
    for at in found:
        expect(at < len(read.ops) and read.ops[at] == Value(None), "links to empty values")
    ops: list[bytes] = []
    room = FRAME_BYTES_MAX
    for at, op in enumerate(read.ops):
        ops.append(_filled(found[at]) if at in found else encode_op(op))
        room -= len(ops[-1])
        if room < 0:  # said before the next is made: one value may stand in thousands of places
            raise TooLarge(
                f"With its values a frame is over the limit of {FRAME_BYTES_MAX:,} bytes."
            )
    return join_program(ops, read.outputs)


def _filled(outcome: Outcome) -> bytes:
    return (
        array_header(2)
        + pack(FAIL if outcome.failed else VALUE)
        + (outcome.packed or pack(outcome.value))
    )
