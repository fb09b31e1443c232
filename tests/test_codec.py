from __future__ import annotations

import contextlib
import math
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raydo.pipelining.codec import Ref, pack, pack_arguments, renumber, unpack, unpack_with_refs
from raydo.pipelining.errors import InvalidArgument, RaydoError, TooLarge
from raydo.pipelining.limits import FRAME_DEPTH_MAX, FRAME_ITEMS_MAX

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
moments = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | text
    | st.binary(max_size=20)
    | moments
    | st.dates()
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(text | st.integers(), inner, max_size=4)
    ),
    max_leaves=20,
)


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth - 1):
        value = [value]
    return value


@settings(deadline=None)
@given(values)
def test_plain_data_comes_back_as_it_was(value: Any) -> None:
    assert unpack(pack(value)) == value


def test_types_come_back_as_they_were() -> None:
    value = [True, 1, 1.0, "1", b"1", None, date(2026, 1, 1), 2**200, -(2**100)]

    again = unpack(pack(value))

    assert [type(item) for item in again] == [type(item) for item in value]
    assert math.isnan(unpack(pack(math.nan)))


def test_a_tuple_becomes_a_list_and_a_subclass_its_base() -> None:
    class Kind(str):
        pass

    assert unpack(pack((1, (2,), Kind("x")))) == [1, [2], "x"]


def test_a_datetime_keeps_its_offset() -> None:
    moment = datetime(2026, 3, 29, 2, 30, tzinfo=timezone(timedelta(hours=2)))

    assert unpack(pack(moment)).isoformat() == moment.isoformat()


class Thing:
    pass


@pytest.mark.parametrize(
    ("value", "path", "why"),
    [
        ({"a": [1, Thing()]}, "$.a[1]", "Thing"),
        ([{"when": datetime(2026, 1, 1)}], "$[0].when", "time zone"),  # noqa: DTZ001
        ({"s": {1, 2}}, "$.s", "set"),
        ({"t": "\ud800"}, "$.t", "surrogate"),
        (1 + 2j, "$", "complex"),
        (Thing, "$", "type"),
    ],
)
def test_what_does_not_travel_is_refused_with_its_type_and_path(
    value: Any, path: str, why: str
) -> None:
    with pytest.raises(InvalidArgument) as caught:
        pack(value)

    assert why in caught.value.message
    assert caught.value.detail == {"path": path}


@pytest.mark.parametrize("key", [(1, 2), None, 1.5, b"k", True])
def test_a_dict_with_other_keys_than_text_and_integers_is_refused(key: Any) -> None:
    with pytest.raises(InvalidArgument, match="key is str or int"):
        pack([{"in": {key: 1}}])


def test_depth_is_bounded_at_both_ends() -> None:
    assert unpack(pack(nested(FRAME_DEPTH_MAX))) == nested(FRAME_DEPTH_MAX)

    with pytest.raises(TooLarge, match="nested"):
        pack(nested(FRAME_DEPTH_MAX + 1))
    with pytest.raises(TooLarge, match="nested"):
        unpack(msgpack.packb(nested(FRAME_DEPTH_MAX + 1)))


def test_a_list_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(RaydoError):
        pack(loop)


def test_a_list_longer_than_the_limit_is_refused_at_both_ends() -> None:
    long = [0] * (FRAME_ITEMS_MAX + 1)

    with pytest.raises(TooLarge):
        pack(long)
    with pytest.raises(InvalidArgument):
        unpack(msgpack.packb(long))


def test_a_message_over_the_limit_of_bytes_is_not_decoded() -> None:
    with pytest.raises(TooLarge):
        unpack(pack("x" * 100), bytes_max=100)


def test_a_list_that_looks_like_a_reference_is_not_one() -> None:
    forged = [["$", 1], {"$ref": 1}, [1, b"\x00"], msgpack.ExtType]

    data = msgpack.packb(forged[:3])

    assert unpack_with_refs(data) == (forged[:3], [])


def test_references_are_found_and_renumbered() -> None:
    data = pack([{"a": Ref(0)}, Ref(1)])

    assert unpack_with_refs(renumber(data, [7, -1]))[0] == [{"a": Ref(7)}, Ref(-1)]


def test_a_reference_does_not_pass_for_a_value() -> None:
    with pytest.raises(InvalidArgument):
        unpack(pack([Ref(0)]))


def test_a_stand_in_speaks_for_what_does_not_travel() -> None:
    data = pack_arguments(
        (Thing(),), {"x": 1}, lambda value: Ref(4) if type(value) is Thing else None
    )

    assert unpack_with_refs(b"\x92" + data)[0] == [[Ref(4)], {"x": 1}]


def test_the_encoder_is_whole_again_after_a_refusal() -> None:
    with pytest.raises(InvalidArgument):
        pack(["left behind", Thing()])

    assert unpack(pack("next")) == "next"


def ext(code: int, body: bytes) -> bytes:
    return msgpack.packb(msgpack.ExtType(code, body))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x91",
        b"\x01\x02",
        b"\x81\x90\x01",
        b"\xa1\xff",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 5000,
        ext(1, b"\xa1x"),
        ext(2, b"2026-01-01T00:00:00"),
        ext(2, b"\xff"),
        ext(3, b"soon"),
        ext(4, b"9" * 5000),
        ext(4, b"1.5"),
        ext(5, b""),
        ext(77, b"?"),
        b"\xc7\x0c\xff" + b"\xff" * 12,
        b"\x81" + ext(1, b"\x00") + b"\x01",
    ],
)
def test_garbage_is_refused_and_nothing_else_happens(data: bytes) -> None:
    with pytest.raises(InvalidArgument):
        unpack(data)
    with pytest.raises(InvalidArgument):
        raise_if_decoded(data)


def raise_if_decoded(data: bytes) -> None:
    value, _ = unpack_with_refs(data)
    raise AssertionError(value)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_give_a_value_or_an_error_of_ours(data: bytes) -> None:
    with contextlib.suppress(RaydoError):
        pack(unpack(data))
