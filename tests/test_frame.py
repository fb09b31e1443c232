from __future__ import annotations

import contextlib
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydo.pipelining.codec import Ref, pack
from raydo.pipelining.errors import InvalidArgument, RaydoError, TooLarge, decode_error
from raydo.pipelining.frame import (
    Answer,
    Body,
    Call,
    Entry,
    Failure,
    Get,
    Map,
    Op,
    Outcome,
    Program,
    Reply,
    Value,
    decode_answers,
    decode_envelope,
    encode_answers,
    encode_envelope,
    pack_error,
)
from raydo.pipelining.limits import FRAME_OPS_MAX, MAP_NESTING_MAX

SESSION = bytes(16)

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)


@st.composite
def ops(draw: st.DrawFn, lowest: int = -1, *, inner: bool = False) -> tuple[Op, ...]:
    made: list[Op] = []
    for index in range(draw(st.integers(1, 5))):
        target = draw(st.integers(lowest, index - 1))
        kind = draw(st.sampled_from(["call", "ref", "get", "value"] + ["map"] * (not inner)))
        lowest_ref = lowest if inner else 0
        if kind == "ref" and lowest_ref < index:
            ref = Ref(draw(st.integers(lowest_ref, index - 1)))
            made.append(Call(target, draw(names), [{"x": [ref]}], {"k": ref}, True))
        elif kind in {"call", "ref"}:
            made.append(Call(target, draw(names), [1, "two"], {}, False))
        elif kind == "get":
            made.append(Get(target, draw(names | st.integers(-5, 5)), draw(st.booleans())))
        elif kind == "value":
            made.append(Value(draw(st.integers() | names)))
        else:
            captures = tuple(draw(st.lists(st.integers(lowest, index - 1), max_size=2)))
            body = draw(ops(-1 - len(captures), inner=True))
            result = {"r": Ref(draw(st.integers(-1 - len(captures), len(body) - 1)))}
            made.append(Map(target, Body(body, result), captures))
    return tuple(made)


@st.composite
def programs(draw: st.DrawFn) -> Program:
    made = draw(ops())
    return Program(made, tuple(draw(st.lists(st.integers(0, len(made) - 1), max_size=4))))


@settings(deadline=None)
@given(programs())
def test_a_program_comes_back_as_it_was(program: Program) -> None:
    again = Program.decode(program.encode())

    if not any(refs_of(program)):  # one reference anywhere and all arguments are looked through
        assert again == program
    assert [op[:-1] if isinstance(op, Call) else op for op in again.ops] == [
        op[:-1] if isinstance(op, Call) else op for op in program.ops
    ]
    assert again.outputs == program.outputs


def refs_of(program: Program) -> list[bool]:
    return [isinstance(op, Map) or (isinstance(op, Call) and op.refs) for op in program.ops]


CALL = [0, -1, "f", [], {}]


@pytest.mark.parametrize(
    "wire",
    [
        None,
        [],
        [[CALL]],
        [[CALL], [0], []],
        [[CALL], [1]],
        [[CALL], [-1]],
        [[CALL], [True]],
        [[CALL], ["0"]],
        [["call"], []],
        [[[9, -1, "f", [], {}]], []],
        [[[0, 0, "f", [], {}]], []],
        [[[0, 1, "f", [], {}], CALL], []],
        [[[0, -2, "f", [], {}]], []],
        [[[0, True, "f", [], {}]], []],
        [[[0, -1, 7, [], {}]], []],
        [[[0, -1, "f" * 201, [], {}]], []],
        [[[0, -1, "f", {}, {}]], []],
        [[[0, -1, "f", [], []]], []],
        [[[0, -1, "f", [], {1: 2}]], []],
        [[[0, -1, "f", []]], []],
        [[[1, -1, 1.5]], []],
        [[[1, -1, True]], []],
        [[[1, -1, None]], []],
        [[[2, -1, [[]], []]], []],
        [[[2, -1, [[], None], 7]], []],
        [[[2, -1, [[], None], [0]]], []],
        [[[2, -1, [[], None], [-2]]], []],
        [[[2, -1, [[[1, -2, "x"]], None], []]], []],
        [[[True, -1, "x"], CALL, [0, 5, "f", [], {}]], []],
    ],
)
def test_a_program_that_breaks_a_rule_is_refused_before_it_runs(wire: Any) -> None:
    with pytest.raises(InvalidArgument):
        Program.decode(msgpack.packb(wire))


@pytest.mark.parametrize("index", [-1, -2, 0, 1, 5])
def test_a_reference_names_an_earlier_instruction_and_never_the_root(index: int) -> None:
    with pytest.raises(InvalidArgument):
        Program.decode(pack([[[0, -1, "f", [[Ref(index)]], {}]], []]))
    with pytest.raises(InvalidArgument):
        Program.decode(pack([[[3, Ref(index)]], []]))


def test_a_body_may_name_its_element_and_its_captures_and_no_more() -> None:
    def wire(ref: int) -> bytes:
        return pack([[CALL, [2, 0, [[[0, -2, "f", [Ref(ref)], {}]], Ref(0)], [-1]]], [1]])

    assert Program.decode(wire(-1)).ops[1] == Map(
        0, Body((Call(-2, "f", [Ref(-1)], {}, True),), Ref(0)), (-1,)
    )
    Program.decode(wire(-2))
    for bad in (-3, 0, 1):
        with pytest.raises(InvalidArgument):
            Program.decode(wire(bad))


def test_the_number_of_instructions_is_bounded_over_all_bodies() -> None:
    half = [CALL] * (FRAME_OPS_MAX // 2)

    Program.decode(msgpack.packb([half + half, []]))
    with pytest.raises(TooLarge):
        Program.decode(msgpack.packb([[*half, [2, -1, [half, None], []]], []]))


def test_maps_nest_only_so_deep() -> None:
    def nest(depth: int) -> bytes:
        op: list[Any] = [2, -1, [[], None], []]
        for _ in range(depth - 1):
            op = [2, -1, [[op], None], []]
        return msgpack.packb([[op], []])

    Program.decode(nest(MAP_NESTING_MAX))
    for depth in (MAP_NESTING_MAX + 1, 300):
        with pytest.raises(RaydoError):
            Program.decode(nest(depth))


def test_deep_arguments_are_refused() -> None:
    value: Any = 1
    for _ in range(200):
        value = [value]

    for op in ([0, -1, "f", [value], {}], [0, -1, "f", [], {"k": value}], [3, value]):
        with pytest.raises(TooLarge):
            Program.decode(msgpack.packb([[op], []]))


@settings(max_examples=200, deadline=None)
@given(programs(), st.data())
def test_a_damaged_program_is_a_program_or_an_error_of_ours(program: Program, data: Any) -> None:
    damaged = bytearray(program.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    for decode in (Program.decode, Reply.decode, decode_envelope, decode_answers):
        with contextlib.suppress(RaydoError):
            decode(bytes(damaged))


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-3, 3)
        | st.text(max_size=3)
        | st.binary(max_size=16),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("rf"), inner),
        max_leaves=25,
    )
)
def test_any_value_in_a_frames_place_is_a_frame_or_an_error_of_ours(value: Any) -> None:
    data = msgpack.packb(value)
    for decode in (Program.decode, Reply.decode, decode_envelope, decode_answers):
        with contextlib.suppress(RaydoError):
            decode(data)


def test_an_envelope_comes_back_as_it_was() -> None:
    entries = [Entry(SESSION, 1, 0, b"program"), Entry(b"x" * 16, 7, 6, b"")]

    assert decode_envelope(encode_envelope(entries)) == entries


@pytest.mark.parametrize(
    "wire",
    [
        {},
        [[]],
        [[SESSION, 0, 0, b""]],
        [[SESSION, 1, 1, b""]],
        [[SESSION, 1, -1, b""]],
        [[SESSION[1:], 1, 0, b""]],
        [["x" * 16, 1, 0, b""]],
        [[SESSION, True, False, b""]],
        [[SESSION, 1 << 63, 0, b""]],
        [[SESSION, 1, 0, "text"]],
    ],
)
def test_an_envelope_that_breaks_a_rule_is_refused(wire: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode_envelope(msgpack.packb(wire))


def test_answers_come_back_as_they_were() -> None:
    answers = [Answer(0, b"reply"), Answer(1, 4), Answer(2, None)]

    assert decode_answers(encode_answers(answers)) == answers


@pytest.mark.parametrize("wire", [1, [1], [[0, "text"]], [[1, None]], [[3, b""]], [[0]]])
def test_an_answer_that_breaks_a_rule_is_refused(wire: Any) -> None:
    with pytest.raises(InvalidArgument):
        decode_answers(msgpack.packb(wire))


def test_a_reply_comes_back_as_it_was() -> None:
    wire, _ = pack_error(ValueError("no"))
    reply = Reply((Outcome(False, [1]), Outcome(True, wire)), (Failure(3, wire),))

    assert Reply.decode(reply.encode()) == reply


@pytest.mark.parametrize(
    "wire", [[], {}, {"r": [], "f": {}}, {"r": [[0]], "f": []}, {"r": [[1, "x"]], "f": []}]
)
def test_a_reply_that_breaks_a_rule_is_refused(wire: Any) -> None:
    with pytest.raises(InvalidArgument):
        Reply.decode(msgpack.packb(wire))


class Awkward(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text either")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (InvalidArgument("plain", detail={"path": "$.a"}), "plain"),
        (InvalidArgument("odd detail", detail=object()), "odd detail"),
        (ValueError("lone \ud800"), "ValueError: lone ?"),
        (ValueError("x" * 100_000), "ValueError: xxx"),
        (Awkward(), "Awkward (its text could not be read)"),
    ],
)
def test_any_error_travels_whatever_is_in_it(error: Exception, text: str) -> None:
    wire, packed = pack_error(error)

    assert msgpack.unpackb(packed) == wire
    assert decode_error(wire).message.startswith(text)
    assert len(packed) < 10_000
