"""What keys of each kind may call, and that no program gets around it."""

from __future__ import annotations

import pytest

from raydo.actors.analytics import Analytics
from raydo.pipelining.codec import Ref
from raydo.pipelining.errors import Forbidden
from raydo.pipelining.method import Needs
from raydo.pipelining.program import Body, Call, Get, Map, Op, Program, Value
from raydo.pipelining.reach import check_program

TRACK = Call(-1, "track", ["A"], {}, False)
DAYS = Call(-1, "dau", [7], {}, False)


def refused(*ops: Op, kinds: tuple[Needs, ...]) -> bool:
    program = Program.decode(Program(ops, ()).encode())
    try:
        check_program(Analytics, program, kinds)
    except Forbidden:
        return True
    return False


def call(name: str, target: int = -1) -> Call:
    return Call(target, name, [], {}, False)


@pytest.mark.parametrize(
    ("name", "write", "read"),
    [
        ("track", True, False),
        ("dau", False, True),
        ("getDAU", False, True),
        ("get_dau", False, True),
        ("query", False, True),
        ("stats", False, True),
        ("degraded", False, True),
        ("ingest", False, False),
        ("set_settings", False, False),
        ("archive", False, False),
        ("on_start", False, False),
        ("nope", False, False),
    ],
)
def test_a_method_is_open_to_the_kind_of_key_that_it_names(
    name: str, write: bool, read: bool
) -> None:
    assert refused(call(name), kinds=("write",)) is not write
    assert refused(call(name), kinds=("read",)) is not read


def test_a_write_key_never_reads() -> None:
    for ops in (
        (Get(-1, "counters"),),
        (Get(-1, "counters"), call("get", 0)),
        (TRACK, DAYS),
        (TRACK, Map(0, Body((Call(-2, "dau", [7], {}, False),), Ref(0)), (-1,))),
        (Value([1]), Map(0, Body((Call(-2, "dau", [7], {}, False),), Ref(0)), (-1,))),
        (Value([1]), Map(0, Body((Get(-2, "counters"),), Ref(0)), (-1,))),
        (Value([1]), Map(0, Body((Map(-1, Body((Get(-2, "keys"),), Ref(0)), (-2,)),), Ref(0)), (-1,))),
    ):  # fmt: skip
        assert refused(*ops, kinds=("write",)), ops


def test_a_read_key_reads_parts_and_maps_but_makes_no_keys_and_no_events() -> None:
    counts = Map(0, Body((call("get", -2),), Ref(0)), (1,))
    assert not refused(DAYS, Get(-1, "counters"), counts, kinds=("read",))
    for name in ("add", "list", "find", "revoke"):
        assert refused(Get(-1, "keys"), call(name, 0), kinds=("read",))
    assert refused(DAYS, Map(0, Body((Call(-2, "track", ["A"], {}, False),), 0), (-1,)), kinds=("read",))  # fmt: skip


def test_what_a_call_returned_cannot_be_called() -> None:
    assert refused(DAYS, call("dau", 0), kinds=("read",))
