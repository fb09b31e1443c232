"""A call that is answered beside the turns: what needs it waits, and the rest of a program doesn't."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from raydo.pipelining.codec import Ref
from raydo.pipelining.errors import Overloaded, decode_error
from raydo.pipelining.evaluate import evaluate, finish
from raydo.pipelining.frame import Body, Call, Get, Map, Op, Program, Reply
from raydo.pipelining.method import Exposed, call
from raydo.pipelining.stub import Remote, new_instance
from raydo.pipelining.unfinished import Postponed, Unfinished, is_unfinished

T = TypeVar("T")
ROWS = [{"n": 1}, {"n": 2}]


class Shelfful:
    @call
    def count(self) -> int:
        return 7


class Oracle(Remote):
    """Answers one question at once and leaves the others to somebody else."""

    shelf = Exposed(Shelfful)

    @call
    def ask(self, what: str) -> Any:
        self.shelf = Shelfful()
        return Postponed({"what": what})

    @call
    def know(self, value: Any = 5) -> Any:
        return value


def run(work: Callable[[], T], /) -> T:
    return work()


def calls(name: str, *args: Any, target: int = -1) -> Call:
    return Call(target, name, list(args), {}, any(isinstance(arg, Ref) for arg in args))


def asked(*ops: Op, outputs: tuple[int, ...]) -> Unfinished:
    """Evaluate, and let what is left travel as it does to disk."""
    program = Program.decode(Program(ops, outputs).encode())
    rest = evaluate(program, new_instance(Oracle), run)
    assert isinstance(rest, Unfinished)
    data = rest.encode()
    assert is_unfinished(data)
    return Unfinished.decode(data)


def values(reply: bytes) -> list[Any]:
    assert not is_unfinished(reply)
    return [outcome.value for outcome in Reply.decode(reply).results]


def test_a_chain_over_it_is_finished_with_the_answer() -> None:
    rest = asked(
        calls("ask", "rows"), Get(0, "rows"), Get(1, 1), Get(2, "n"), calls("know"), outputs=(3, 4)
    )

    assert [ask for _, ask in rest.asks] == [{"what": "rows"}]
    assert values(finish(rest, [{"rows": ROWS}])) == [2, 5]


def test_a_map_over_it_takes_what_was_known_along() -> None:
    body = Body((Get(-1, "n"),), [Ref(0), Ref(-2)])
    rest = asked(calls("know", "x"), calls("ask", "rows"), Map(1, body, (0,)), outputs=(2,))

    assert values(finish(rest, [ROWS])) == [[[1, "x"], [2, "x"]]]


def test_what_is_known_can_be_mapped_with_it() -> None:
    body = Body((), [Ref(-1), Ref(-2)])
    rest = asked(calls("ask", "n"), calls("know", [1, 2]), Map(1, body, (0,)), outputs=(2, 0))

    assert values(finish(rest, [9])) == [[[1, 9], [2, 9]], 9]


def test_two_questions_of_one_program_have_an_answer_each() -> None:
    rest = asked(calls("ask", "a"), calls("ask", "b"), outputs=(1, 0))

    assert [ask["what"] for _, ask in rest.asks] == ["a", "b"]
    assert values(finish(rest, ["A", "B"])) == ["B", "A"]


def test_an_error_in_place_of_an_answer_is_that_of_all_that_needs_it() -> None:
    rest = asked(calls("ask", "a"), Get(0, "x"), calls("know"), outputs=(0, 1, 2))

    first, second, third = Reply.decode(finish(rest, [Overloaded("Too many.")])).results

    assert isinstance(decode_error(first.value), Overloaded)
    assert isinstance(decode_error(second.value), Overloaded)
    assert third.value == 5


def test_a_step_that_the_answer_does_not_have_is_an_error_of_its_own() -> None:
    rest = asked(calls("ask", "a"), Get(0, "x"), outputs=(1, 0))
    first, second = Reply.decode(finish(rest, [{"y": 1}])).results
    assert "no 'x'" in first.value["message"]
    assert second.value == {"y": 1}


@pytest.mark.parametrize(
    "op",
    [
        calls("know", Ref(0)),
        calls("count", target=0),
        Map(0, Body((calls("know", Ref(-1), target=-2),), Ref(0)), (-1,)),
        Map(0, Body((), Ref(-2)), (-1,)),
    ],
)
def test_a_call_that_needs_it_says_to_await_it_first(op: Op) -> None:
    rest = asked(calls("ask", "a"), op, outputs=(1,))
    [result] = Reply.decode(finish(rest, [1])).results
    assert result.failed
    assert "wait it first" in result.value["message"]


def test_inside_a_map_there_is_no_waiting() -> None:
    body = Body((calls("ask", Ref(-1), target=-2),), Ref(0))
    reply = evaluate(
        Program((calls("know", ["a"]), Map(0, body, (-1,))), (1,)), new_instance(Oracle), run
    )
    assert isinstance(reply, Reply)
    assert "for each element" in reply.results[0].value["message"]
