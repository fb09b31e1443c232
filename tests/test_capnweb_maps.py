"""Maps: where they run, what they see, and that every way gives the same."""

from __future__ import annotations

from typing import Any

import pytest
from support.desk import Desk, error_of, pushed

from raydo.pipelining.noun import Noun
from raydo.pipelining.program import Call, Map

DAYS = [{"date": "2026-01-01", "dau": 0}, {"date": "2026-01-02", "dau": 1}]


@pytest.fixture
def desk() -> Desk:
    """A session that has opened two shops: 1 is acme, 2 is globex, 3 are two days of acme."""
    desk = Desk()
    desk.say(pushed(["Shop"], "acme"), pushed(["Shop"], "globex"), pushed(["days"], 2, on=1))
    return desk


def remap(on: int, path: list[Any], captures: list[Any], *instructions: Any) -> list[Any]:
    return ["push", ["remap", on, path, captures, list(instructions)]]


def answer(desk: Desk, push: Any) -> Any:
    """Push a map as number 4, and give what it resolves to."""
    heard = desk.ask(push, ["pull", 4])
    [message] = [message for message in heard if message[:2] == ["resolve", 4]]
    return message[2]


def run_where(desk: Desk) -> list[tuple[str, list[type]]]:
    return [(noun.id, [type(op) for op in program.ops]) for noun, program in desk.programs]


PURE: list[tuple[Any, Any]] = [
    (["pipeline", 0], [DAYS]),
    (["pipeline", 0, ["dau"]], [[0, 1]]),
    (["pipeline", 0, ["nope"]], [[["undefined"], ["undefined"]]]),
    ({"d": ["pipeline", 0, ["date"]], "x": [[1]]}, [[{"d": DAYS[0]["date"], "x": [[1]]}, {"d": DAYS[1]["date"], "x": [[1]]}]]),
    ("same", [["same", "same"]]),
    ([[["pipeline", 0, ["dau"]]]], [[[[0]], [[1]]]]),
]  # fmt: skip


@pytest.mark.parametrize(("instruction", "expected"), PURE, ids=repr)
def test_a_map_without_calls_is_read_here_with_javascripts_rules(
    desk: Desk, instruction: Any, expected: Any
) -> None:
    assert answer(desk, remap(3, [], [], instruction)) == expected
    assert run_where(desk) == [("acme", [Call])]


def test_a_map_without_calls_is_part_of_the_program_if_a_call_there_needs_it(desk: Desk) -> None:
    desk.say(remap(3, [], [], ["pipeline", 0, ["dau"]]))

    heard = desk.ask(pushed(["echo"], ["pipeline", 4], on=1), ["pull", 5])

    assert heard == [["resolve", 5, [[[[0, 1]]]]]]
    assert run_where(desk) == [("acme", [Call, Map, Call])]


WITH_CALLS: list[tuple[list[Any], list[Any], Any]] = [
    # captures, instructions, result
    ([["import", 1]], [["pipeline", -1, ["price"], [["pipeline", 0, ["date"]]]], ["pipeline", 1]], [[10, 10]]),
    ([["import", 1]], [["pipeline", -1, ["tally", "get"], ["x"]]], [[0, 0]]),
    ([["import", 0]], [["pipeline", -1, ["Shop"], ["acme"]], ["pipeline", 1, ["price"], ["pen"]]], [[3, 3]]),
    ([["import", 1]], [["pipeline", -1, ["echo"], [["pipeline", 0, ["dau"]], {"k": ["date", 0]}, ["undefined"]]]],
     [[[[0, {"k": ["date", 0]}]], [[1, {"k": ["date", 0]}]]]]),
    ([["import", 1], ["import", 3]], [["pipeline", -1, ["echo"], [["pipeline", -2, [1, "dau"]]]], ["pipeline", 1, [0]]], [[1, 1]]),
    ([["import", 1]], [["pipeline", -1, ["days"], [1]], ["remap", 1, [], [["import", -1], ["import", 0]],
      [["pipeline", -1, ["echo"], [["pipeline", 0, ["dau"]], ["pipeline", -2, ["dau"]]]]]]], [[[[[[0, 0]]]], [[[[0, 1]]]]]]),
    ([["import", 1]], [["pipeline", -1, ["days"], [1]], ["remap", 1, [], [["import", -1]],
      [["pipeline", -1, ["days"], [1]], ["remap", 1, [], [["import", -1]], [["pipeline", -1, ["price"], ["pen"]]]]]]],
      [[[[[[3]]]], [[[[3]]]]]]),
]  # fmt: skip


@pytest.mark.parametrize(("captures", "instructions", "expected"), WITH_CALLS, ids=repr)
def test_a_map_with_calls_on_its_own_object_is_one_instruction_there(
    desk: Desk, captures: list[Any], instructions: list[Any], expected: Any
) -> None:
    assert answer(desk, remap(3, [], captures, *instructions)) == expected
    assert run_where(desk) == [("acme", [Call, Map])]


@pytest.mark.parametrize(("captures", "instructions", "expected"), WITH_CALLS, ids=repr)
def test_replayed_here_it_gives_the_same(
    desk: Desk, captures: list[Any], instructions: list[Any], expected: Any
) -> None:
    desk.ask(["pull", 3])  # so the days are here, and the map is replayed

    assert answer(desk, remap(3, [], captures, *instructions)) == expected
    assert run_where(desk)[0] == ("acme", [Call])


def test_calls_on_another_object_travel_together(desk: Desk) -> None:
    push = remap(3, [], [["import", 2]], ["pipeline", -1, ["price"], [["pipeline", 0, ["date"]]]])

    assert answer(desk, push) == [[10, 10]]
    assert run_where(desk) == [("acme", [Call]), ("globex", [Call, Call])]


def test_a_settled_value_captured_from_elsewhere_is_brought_along(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["square"], 3),
        remap(
            3, [], [["import", 1], ["import", 4]], ["pipeline", -1, ["echo"], [["pipeline", -2]]]
        ),
        ["pull", 5],
    )

    assert heard == [["resolve", 5, [[[[9]], [[9]]]]]]
    assert Map in run_where(desk)[0][1]


def test_a_function_of_the_client_is_called_for_each_element(desk: Desk) -> None:
    heard = desk.ask(
        remap(3, [], [["export", -1]], ["pipeline", -1, [], [["pipeline", 0, ["dau"]]]]),
        ["pull", 4],
    )

    assert heard == [
        ["push", ["pipeline", -1, [], [0]]], ["pull", 1],
        ["push", ["pipeline", -1, [], [1]]], ["pull", 2],
        ["release", -1, 1],
    ]  # fmt: skip
    assert desk.ask(["resolve", 1, "a"], ["resolve", 2, "b"]) == [
        ["release", 1, 1],
        ["release", 2, 1],
        ["resolve", 4, [["a", "b"]]],
    ]


def test_objects_of_the_gateway_may_come_of_it(desk: Desk) -> None:
    push = remap(
        3, [], [["import", 0]],
        ["pipeline", -1, ["makeCounter"], [["pipeline", 0, ["dau"]]]],
        {"counter": ["pipeline", 1], "next": ["pipeline", 2]},
    )  # fmt: skip
    push[1][4].insert(1, ["pipeline", 1, ["increment"], [5]])

    assert answer(desk, push) == [
        [{"counter": ["export", -1], "next": 5}, {"counter": ["export", -2], "next": 6}]
    ]


@pytest.mark.parametrize("call", [True, False])
@pytest.mark.parametrize(
    ("value", "expected"),
    [(["undefined"], ["undefined"]), (None, None), (7, {"v": 7}), ({"a": 1}, {"v": {"a": 1}}), ([[]], [[]])],
)  # fmt: skip
def test_a_single_value_is_mapped_once_and_nothing_not_at_all(
    desk: Desk, value: Any, expected: Any, call: bool
) -> None:
    first = ["pipeline", -1, ["price"], ["pen"]] if call else "nothing"
    desk.say(["push", {"at": value}])

    heard = desk.ask(remap(4, ["at"], [["import", 1]], first, {"v": ["pipeline", 0]}), ["pull", 5])

    assert heard == [["resolve", 5, expected]]


def test_a_list_that_failed_fails_its_map(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["broken"], on=1),
        remap(4, [], [], ["pipeline", 0]),
        remap(4, [], [["import", 1]], ["pipeline", -1, ["price"], ["pen"]]),
        remap(4, [], [["import", 2]], ["pipeline", -1, ["price"], ["pen"]]),
        *[["pull", number] for number in (5, 6, 7)],
    )

    assert sorted(message[1] for message in heard) == [5, 6, 7]
    assert {error_of(message)[2] for message in heard} == {"object_failed"}


@pytest.mark.parametrize(
    "instruction",
    [
        ["pipeline", 5],
        ["pipeline", -2],
        ["export", -1],
        ["promise", -1],
        ["readable", 1],
        ["pipeline", 0, ["date"], []],
        ["pipeline", -1, ["broken"], []],
        ["pipeline", -1, ["hidden"], []],
        ["pipeline", -1, [], []],
        ["nope"],
        ["pipeline", 0, ["dau", "x"], ["y"]],
        [["remap", 0, [], [], []]],
    ],
    ids=repr,
)
def test_a_function_that_goes_wrong_fails_its_map_and_not_the_session(
    desk: Desk, instruction: Any
) -> None:
    heard = desk.ask(
        remap(3, [], [["import", 1]], instruction, "x"),
        remap(3, [], [["import", 1]], instruction),
        remap(3, [], [["import", 1]], instruction, ["pipeline", -1, ["price"], ["x"]]),
        *[["pull", number] for number in (4, 5, 6)],
    )

    assert desk.session.broken is None
    outcomes = {message[1]: message[0] for message in heard}
    assert outcomes[5] == "reject" or instruction[0] in {"export", "promise"}


def test_a_map_that_nobody_asks_for_is_not_read(desk: Desk) -> None:
    desk.ask(remap(3, [], [], ["pipeline", 9]), ["release", 3, 1], ["release", 4, 1])

    assert desk.programs[0][1].outputs == (0,)
    assert desk.heard() == []


def test_a_map_with_calls_is_done_although_nobody_asks(desk: Desk) -> None:
    desk.ask(
        remap(3, [], [["import", 2]], ["pipeline", -1, ["order"], [["pipeline", 0, ["date"]]]]),
        remap(3, [], [["import", 1]], ["pipeline", -1, ["order"], [["pipeline", 0, ["date"]]]]),
    )

    assert desk.object(Noun("Shop", "globex")).ordered == ["2026-01-01", "2026-01-02"]
    assert desk.object(Noun("Shop", "acme")).ordered == ["2026-01-01", "2026-01-02"]


def test_what_a_map_has_asked_elsewhere_can_be_pulled_later(desk: Desk) -> None:
    desk.work()
    desk.ask(
        remap(3, [], [["import", 2]], ["pipeline", -1, ["price"], [["pipeline", 0, ["date"]]]])
    )

    assert desk.ask(["pull", 4]) == [["resolve", 4, [[10, 10]]]]


def test_a_value_with_something_missing_inside_can_be_mapped_and_is_waited_for() -> None:
    desk = Desk(batch=True)

    heard = desk.batch(
        pushed(["Shop"], "acme"),
        pushed(["price"], "pen", on=1),
        ["push", {"price": ["pipeline", 2]}],
        remap(3, [], [], ["pipeline", 0]),
        ["pull", 4],
    )

    assert heard == [["resolve", 4, {"price": 3}]]


def test_an_error_inside_a_value_spoils_the_whole_and_not_what_lies_beside_it(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["broken"], on=1),
        ["push", {"bad": ["pipeline", 4], "good": 7}],
        ["pull", 5],
        ["push", ["pipeline", 5, ["good"]]],
        ["pull", 6],
    )
    later = desk.ask(["push", ["pipeline", 5, ["good"]]], ["pull", 7])

    assert [message[:2] for message in heard] == [["resolve", 6], ["reject", 5]]
    assert later == [["resolve", 7, 7]]
