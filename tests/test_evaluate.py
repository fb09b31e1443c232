from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.receiver import run
from support.shop import Shop

from raydo.pipelining import evaluate as evaluation
from raydo.pipelining.codec import Ref
from raydo.pipelining.errors import ActivationBroken, RaydoError, TurnTooLong
from raydo.pipelining.evaluate import evaluate
from raydo.pipelining.frame import Body, Call, Get, Map, Op, Program, Reply, Value
from raydo.pipelining.limits import MAP_ITEMS_MAX
from raydo.pipelining.stub import new_instance

T = TypeVar("T")


def call(name: str, *args: Any, target: int = -1, **kwargs: Any) -> Call:
    return Call(target, name, list(args), kwargs, True)


def answer(*ops: Op, shop: Any = None, outputs: tuple[int, ...] | None = None) -> Reply:
    """Run instructions as they arrive from the wire, and read the reply as a client would."""
    wanted = (len(ops) - 1,) if outputs is None else outputs
    program = Program.decode(Program(ops, wanted).encode())
    return Reply.decode(evaluate(program, shop or new_instance(Shop), run).encode())


def value(*ops: Op, shop: Any = None) -> Any:
    [result] = answer(*ops, shop=shop).results
    assert not result.failed, result.value
    return result.value


def code(*ops: Op, shop: Any = None) -> str:
    [result] = answer(*ops, shop=shop).results
    assert result.failed, result.value
    assert isinstance(result.value["code"], str)
    return result.value["code"]


def test_a_straight_line_is_run_in_order() -> None:
    ops = (call("order", "pen"), call("list_orders"), Get(1, 0), call("price", Ref(2)))

    assert value(*ops) == 3


def test_names_of_all_three_kinds_reach_a_method() -> None:
    for name in ("list_orders", "orders", "listOrders"):
        assert value(call(name)) == []


@pytest.mark.parametrize(
    "name",
    ["hidden", "__init__", "__class__", "tally", "ordered", "_secret", "", "map", "mro", "nope"],
)
def test_nothing_but_declared_methods_can_be_called(name: str) -> None:
    assert code(call(name)) == "unknown_method"


@pytest.mark.parametrize("key", ["ordered", "__dict__", "__class__", "days", "days_runs", 0, -1])
def test_nothing_but_exposed_parts_can_be_stepped_into(key: str | int) -> None:
    assert code(Get(-1, key)) in {"unknown_method", "invalid_argument"}


@pytest.mark.parametrize("key", ["counts", "secret", "get", "__class__"])
def test_behind_an_exposed_part_only_its_methods_can_be_reached(key: str) -> None:
    assert code(Get(-1, "tally"), Get(0, key)) == "unknown_method"
    if key != "get":
        assert code(Get(-1, "tally"), call(key, target=0)) == "unknown_method"


def test_a_part_answers_its_own_calls() -> None:
    ops = (Get(-1, "tally"), call("add", "x", 2, target=0), call("get", "x", target=0))

    assert value(*ops) == 2


@pytest.mark.parametrize(
    ("inside", "key", "found"),
    [
        ({"a": 1}, "a", 1),
        ({1: "one"}, 1, "one"),
        ([1, 2, 3], 0, 1),
        ([1, 2, 3], -1, 3),
        ([1, 2, 3], "1", 2),  # JavaScript's clients send indexes as text
        ("text", 0, "t"),
    ],
)
def test_data_is_stepped_into_by_keys_and_indexes(inside: Any, key: Any, found: Any) -> None:
    assert value(Value(inside), Get(0, key)) == found


@pytest.mark.parametrize(
    ("inside", "key"),
    [
        ({"a": 1}, "b"),
        ([1], 1),
        ([1], "one"),
        ([1], "9" * 5000),
        ([1], 1 << 62),
        ("text", "upper"),
        (None, "dau"),
        (7, "real"),
        (b"x", 0),
    ],
)
def test_a_step_into_nothing_is_the_callers_mistake(inside: Any, key: Any) -> None:
    assert code(Value(inside), Get(0, key)) == "invalid_argument"


@pytest.mark.parametrize(
    ("inside", "key", "found"),
    [
        ({"a": 1}, "a", 1),
        ({"a": 1}, "b", None),
        ([1, 2], "1", 2),
        ([1, 2], 2, None),
        ([1, 2], -1, None),
        ([1, 2], "length", None),
        ([1], "9" * 5000, None),
        ("text", "upper", None),
        (7, "real", None),
    ],
)
def test_javascript_finds_nothing_where_python_finds_a_mistake(
    inside: Any, key: Any, found: Any
) -> None:
    assert value(Value(inside), Get(0, key, lenient=True)) == found


def test_not_even_javascript_steps_into_nothing_or_past_what_is_exposed() -> None:
    assert code(Value(None), Get(0, "dau", lenient=True)) == "invalid_argument"
    assert code(Get(-1, "ordered", lenient=True)) == "unknown_method"


def test_methods_of_data_cannot_be_called() -> None:
    for inside in ("text", [1], {"a": 1}, 7, None):
        assert code(Value(inside), call("upper", target=0)) == "unknown_method"


def test_wrong_arguments_are_the_callers_mistake_and_a_type_error_inside_is_not() -> None:
    assert code(call("price")) == "invalid_argument"
    assert code(call("price", "a", "b")) == "invalid_argument"
    assert code(call("price", itm="a")) == "invalid_argument"
    assert code(call("price", 7)) == "object_failed"  # len(7) in the object's own code


def test_the_objects_own_error_travels_with_its_type_and_is_logged_here(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "raydo"):
        [result] = answer(call("broken")).results

    assert result.value["message"] == "KeyError: 'shelf'"
    assert result.value["detail"] == {"type": "KeyError"}
    assert "Traceback" not in str(result.value)
    assert "Shop.broken raised KeyError" in caplog.text
    assert caplog.records[0].exc_info is not None


def test_an_object_cannot_end_its_host() -> None:
    [result] = answer(call("leave")).results

    assert result.value["detail"] == {"type": "SystemExit"}


def test_an_error_poisons_what_depends_on_it_and_nothing_else() -> None:
    reply = answer(
        call("broken"),
        Get(0, "x"),
        call("echo", [Ref(1)]),
        Map(2, Body((), Ref(-1)), ()),
        Map(-1, Body((), 1), (0,)),
        call("price", "pen"),
        outputs=(0, 1, 2, 3, 4, 5),
    )

    assert [result.failed for result in reply.results] == [True] * 5 + [False]
    assert {str(result.value) for result in reply.results[:5]} == {str(reply.results[0].value)}
    assert reply.failures == ()


def test_a_failure_that_no_output_tells_is_told_apart() -> None:
    reply = answer(
        call("order", "x", 0), call("order", "y"), call("broken"), Get(2, 0), outputs=(1, 3)
    )

    assert [(failure.op, failure.error["code"]) for failure in reply.failures] == [
        (0, "object_failed")
    ]
    assert reply.results[0].value == "order-1"


def test_a_result_that_does_not_travel_is_that_results_error() -> None:
    reply = answer(call("unsendable"), call("price", "x"), Get(-1, "tally"), outputs=(0, 1, 2))

    assert [result.failed for result in reply.results] == [True, False, True]
    assert "not serialisable" in reply.results[0].value["message"]


def test_an_object_is_no_value_to_give_to_a_call() -> None:
    assert code(Get(-1, "tally"), call("echo", Ref(0))) == "invalid_argument"
    assert code(Map(-1, Body((), Ref(-1)), ())) == "invalid_argument"


def test_each_call_is_run_inside_what_surrounds_it() -> None:
    surrounded = 0

    def around(inner: Callable[[], T], /) -> T:
        nonlocal surrounded
        surrounded += 1
        return inner()

    body = Body((Call(-2, "price", [Ref(-1)], {}, True),), Ref(0))
    ops = (
        call("echo", "a", "b"),
        Map(0, body, (-1,)),
        Get(-1, "tally"),
        call("get", "x", target=2),
    )
    evaluate(Program(ops, ()), new_instance(Shop), around)

    assert surrounded == 4  # echo, price twice, get; steps are not calls


@pytest.mark.parametrize("error", [ActivationBroken("gone"), TurnTooLong("stop")])
def test_what_breaks_the_activation_is_raised_and_not_answered(error: RaydoError) -> None:
    def around(_: Callable[[], T], /) -> T:
        raise error

    with pytest.raises(type(error)):
        evaluate(Program((call("runs"),), ()), new_instance(Shop), around)


def test_a_map_runs_over_lists_single_values_and_none() -> None:
    body = Body((Get(-1, "n"),), [Ref(0), "constant"])

    assert value(Value([{"n": 1}, {"n": 2}]), Map(0, body, ())) == [
        [1, "constant"],
        [2, "constant"],
    ]
    assert value(Value({"n": 1}), Map(0, body, ())) == [1, "constant"]
    assert value(Value(None), Map(0, body, ())) is None


def test_a_map_captures_what_stands_around_it() -> None:
    inner = Body((), [Ref(-1), Ref(-2), Ref(-3)])
    outer = Body((Map(-1, inner, (-2, -1)),), Ref(0))

    assert value(Value([[1], [2]]), Value("seen"), Map(0, outer, (1,))) == [
        [[1, "seen", [1]]],
        [[2, "seen", [2]]],
    ]


def test_an_error_inside_a_map_is_the_maps_error() -> None:
    body = Body((Get(-1, "n"),), Ref(0))

    assert code(Value([{"n": 1}, {}]), Map(0, body, ())) == "invalid_argument"


def test_a_map_over_too_many_items_is_refused() -> None:
    assert code(Value([0] * (MAP_ITEMS_MAX + 1)), Map(0, Body((), 1), ())) == "too_large"


def test_maps_cannot_multiply_into_endless_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation, "PROGRAM_STEPS_MAX", 50_000)
    many = Value([0] * MAP_ITEMS_MAX)
    middle = Map(-2, Body((Map(-2, Body((), 1), ()),), 1), (-2,))

    assert code(many, Map(0, Body((middle,), 1), (0,))) == "too_large"  # of 10^12 steps


def test_doubling_a_value_again_and_again_does_not_fill_the_memory() -> None:
    double = Body((), [Ref(-1), Ref(-1)])
    maps: list[Op] = [Value(["x" * 1000])]
    for index in range(60):
        maps.append(Map(index, Body((), {"both": [Ref(-1), Ref(-1)]}), ()))
    calls: list[Op] = [call("echo", "x" * 1000)]
    calls += [call("echo", Ref(index), Ref(index)) for index in range(60)]

    assert code(*maps) == "too_large"
    assert code(*calls) == "too_large"
    assert value(Value("x"), Map(0, double, ())) == ["x", "x"]


def test_results_are_bounded_together() -> None:
    big = "x" * (12 * 1024 * 1024)
    reply = answer(call("echo", big), outputs=(0, 0, 0, 0))

    assert [result.failed for result in reply.results] == [False, False, True, True]


json = st.recursive(
    st.none() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=8,
)


@st.composite
def wild(draw: st.DrawFn) -> Program:
    names = st.sampled_from(["echo", "days", "order", "tally", "get", "broken", "nope", "price"])
    ops: list[Op] = []
    for index in range(draw(st.integers(1, 8))):
        target = draw(st.integers(-1, index - 1))
        args = draw(st.lists(json, max_size=3))
        if index:
            args += [Ref(ref) for ref in draw(st.lists(st.integers(0, index - 1), max_size=2))]
        body = Body(
            (Get(-1, draw(names)), Call(-2, "echo", [Ref(-1)], {}, True)), [Ref(1), Ref(-2)]
        )
        ops.append(
            draw(
                st.sampled_from(
                    [
                        Call(
                            target,
                            draw(names),
                            args,
                            draw(st.just({}) | st.just({"count": 2})),
                            True,
                        ),
                        Get(target, draw(names | st.integers(-3, 3))),
                        Value(draw(json)),
                        Map(target, body, (target,)),
                    ]
                )
            )
        )
    return Program(tuple(ops), tuple(range(len(ops))))


@settings(max_examples=60, deadline=None)
@given(wild())
def test_no_program_makes_the_evaluation_itself_fail(program: Program) -> None:
    logging.getLogger("raydo").setLevel(logging.CRITICAL)
    try:
        reply = answer(*program.ops, outputs=program.outputs)
    finally:
        logging.getLogger("raydo").setLevel(logging.NOTSET)

    assert len(reply.results) == len(program.ops)
