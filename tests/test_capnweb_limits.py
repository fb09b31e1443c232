"""Each bound of a session: what is over it gets a sentence, and the process goes on."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.desk import Desk, error_of, pushed

from raydo.pipelining.capnweb import draft, exports, imports, outgoing, pipe, writer
from raydo.pipelining.limits import (
    CAPNWEB_ARGUMENTS_MAX,
    CAPNWEB_BIGINT_DIGITS_MAX,
    CAPNWEB_DEPTH_MAX,
    CAPNWEB_EXPORTS_MAX,
    CAPNWEB_IMPORTS_MAX,
    CAPNWEB_MESSAGE_CHARS_MAX,
    CAPNWEB_MESSAGE_VALUES_MAX,
    CAPNWEB_PATH_MAX,
    FRAME_BYTES_MAX,
    FRAME_DEPTH_MAX,
    MAP_ITEMS_MAX,
)


def nested(depth: int) -> str:
    """Make an object that is nested so deep."""
    return '{"a":' * depth + "1" + "}" * depth


def aborted(desk: Desk) -> tuple[str, str, str | None]:
    message = desk.heard()[-1]
    assert message[0] == "abort", message
    assert desk.session.broken is not None
    return error_of(message)


@pytest.mark.parametrize(
    "text",
    [
        '["push","' + "x" * CAPNWEB_MESSAGE_CHARS_MAX + '"]',
        '["push",[[' + "1," * CAPNWEB_MESSAGE_VALUES_MAX + "1]]]",
        f'["push",{nested(CAPNWEB_DEPTH_MAX + 1)}]',
        f'["push",{nested(100_000)}]',
        json.dumps(["push", ["bigint", "9" * (CAPNWEB_BIGINT_DIGITS_MAX + 1)]]),
        json.dumps(["push", ["pipeline", 0, ["a"] * (CAPNWEB_PATH_MAX + 1)]]),
        json.dumps(["push", ["pipeline", 0, ["square"], [1] * (CAPNWEB_ARGUMENTS_MAX + 1)]]),
        '["push",["request","x",' + nested(CAPNWEB_DEPTH_MAX + 1) + "]]",
    ],
    ids=["chars", "values", "depth", "far too deep", "digits", "path", "arguments", "request"],
)
def test_a_message_over_a_limit_ends_the_session(text: str) -> None:
    desk = Desk()

    desk.say(text)

    assert aborted(desk)[0::2] == ("RangeError", "too_large")


def test_what_is_just_within_the_limits_is_taken() -> None:
    desk = Desk()
    desk.say(f'["push",{nested(CAPNWEB_DEPTH_MAX)}]')
    desk.say(["push", ["bigint", "9" * CAPNWEB_BIGINT_DIGITS_MAX]])
    desk.say(["push", ["pipeline", 1, ["a"] * CAPNWEB_PATH_MAX]], ["pull", 3])
    desk.say('["push",[[' + "1," * (CAPNWEB_MESSAGE_VALUES_MAX - 2) + "1]]]")

    assert [message[:2] for message in desk.heard()] == [["resolve", 3]]


def test_a_value_too_deep_for_an_object_is_that_calls_error() -> None:
    desk = Desk()
    desk.say(pushed(["Shop"], "acme"))
    desk.say(f'["push",["pipeline",1,["echo"],[{nested(FRAME_DEPTH_MAX)}]]]', '["pull",2]')

    assert error_of(desk.heard()[0])[0::2] == ("RangeError", "too_large")


def test_a_client_holds_a_bounded_number_of_results(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CAPNWEB_EXPORTS_MAX >= 50_000
    monkeypatch.setattr(exports, "CAPNWEB_EXPORTS_MAX", 10)
    desk = Desk()
    for number in range(1, 100):
        desk.say(["push", number], ["release", number, 1])
    desk.say(*[["push", 1]] * 10)
    assert desk.session.broken is None

    desk.say(["push", 1])

    assert "dispose" in aborted(desk)[1]


def test_a_bounded_number_of_the_clients_functions_is_held() -> None:
    desk = Desk()
    many = [["export", -number - 1] for number in range(CAPNWEB_IMPORTS_MAX + 1)]

    desk.say(["push", [many]])

    assert aborted(desk)[2] == "too_large"


def test_unanswered_calls_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draft, "CAPNWEB_PENDING_MAX", 10)
    desk = Desk()
    desk.say(pushed(["Shop"], "acme"))
    for _ in range(5):
        desk.ask(*[pushed(["order"], "pen", on=1)] * 10)
    desk.say(*[pushed(["order"], "pen", on=1)] * 11)

    assert aborted(desk)[0::2] == ("Error", "overloaded")


def test_unanswered_bytes_are_bounded() -> None:
    desk = Desk()
    desk.say(pushed(["Shop"], "acme"), pushed(["echo"], "x" * 10_000_000, on=1), ["pull", 2])
    desk.work()
    assert desk.session.broken is None

    for _ in range(7):  # each brings the text along from here
        desk.say(pushed(["echo"], ["pipeline", 2], on=1))

    desk.heard()
    assert desk.session.broken is not None
    assert "unanswered" in str(desk.session.broken)


def test_a_value_that_names_itself_twice_again_and_again_ends_at_a_frame() -> None:
    desk = Desk(batch=True)
    say: list[Any] = [pushed(["square"], 3)]
    say += [["push", [[["pipeline", n], ["pipeline", n]]]] for n in range(1, 60)]
    say += [pushed(["Shop"], "acme"), pushed(["echo"], ["pipeline", 60], on=61)]

    heard = desk.batch(*say, ["pull", 10], ["pull", 60], ["pull", 62])

    assert heard[0][:2] == ["resolve", 10]
    assert [error_of(message)[2] for message in heard[1:]] == ["too_large"] * 2


def test_what_a_batch_has_copied_here_is_bounded() -> None:
    desk = Desk(batch=True)
    say = [pushed(["Shop"], "acme"), pushed(["days"], 10_000, on=1)]
    say += [["push", ["remap", 2, [], [], [["pipeline", 0, ["dau"]]] * 10]]] * 20
    say += [["pull", number] for number in range(3, 23)]

    heard = desk.batch(*say)

    outcomes = [message[0] for message in heard]
    assert len(outcomes) == 20
    assert outcomes.count("resolve") == 10
    assert error_of(heard[-1])[2] == "too_large"


def test_a_replayed_map_counts_for_more() -> None:
    desk = Desk(batch=True)
    say: list[Any] = [["push", [list(range(1_000))]]]
    say += [["push", ["remap", 1, [], [], [["pipeline", 0]] * 10]]] * 20
    say += [["pull", number] for number in range(2, 22)]

    outcomes = [message[0] for message in desk.batch(*say)]

    assert (len(outcomes), outcomes.count("resolve")) == (20, 10)


def test_a_map_is_bounded_in_items_and_in_calls() -> None:
    desk = Desk()
    items = [0] * (MAP_ITEMS_MAX + 1)
    call = ["pipeline", -1, ["square"], [["pipeline", 0]]]

    heard = desk.ask(
        ["push", [items]], ["push", ["remap", 1, [], [], [["pipeline", 0]]]], ["pull", 2],
        ["push", [items[1:]]], ["push", ["remap", 3, [], [["import", 0]], [call, call, call]]],
        ["pull", 4],
    )  # fmt: skip

    assert [error_of(message)[2] for message in heard] == ["too_large"] * 2
    assert desk.session.broken is None


@pytest.mark.slow
def test_a_map_that_a_program_has_no_room_for_is_replayed_or_refused() -> None:
    desk = Desk()
    desk.say(pushed(["Shop"], "acme"), pushed(["days"], 1, on=1))
    body = [["pipeline", -1, ["price"], ["pen"]]] * 25_000

    heard = desk.ask(["push", ["remap", 2, [], [["import", 1]], body]], ["pull", 3])

    assert error_of(heard[-1])[2] == "too_large"


@pytest.mark.slow
def test_programs_are_cut_before_they_are_too_long_for_an_object() -> None:
    desk = Desk(batch=True)
    desk.say(pushed(["Shop"], "acme"))

    heard = desk.batch(
        *[pushed(["order"], "pen", on=1)] * 15_000, pushed(["orders"], on=1), ["pull", 15_002]
    )

    assert len(heard[0][2][0]) == 15_000
    assert len(desk.programs) == 2


def test_a_call_too_large_for_a_program_is_that_calls_error() -> None:
    desk = Desk()
    text = "x" * 12_000_000
    desk.say(pushed(["Shop"], "acme"), ["push", text], ["push", text], ["push", text])
    args = [["pipeline", number] for number in (2, 3, 4)]

    heard = desk.ask(pushed(["echo"], *args, on=1), ["pull", 5])

    assert error_of(heard[0])[2] == "too_large"
    assert FRAME_BYTES_MAX < 36_000_000


def test_answers_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "CAPNWEB_ANSWER_VALUES_MAX", 100)
    monkeypatch.setattr(writer, "CAPNWEB_ANSWER_CHARS_MAX", 1_000)
    desk = Desk()
    heard = desk.ask(
        pushed(["generateFibonacci"], 101), ["pull", 1], ["push", "x" * 1_001], ["pull", 2],
        ["push", ["bytes", "AAAA" * 300]], ["pull", 3], ["push", "x" * 900], ["pull", 4],
    )  # fmt: skip

    assert [message[0] for message in heard] == ["reject", "reject", "reject", "resolve"]


def test_answers_that_are_not_read_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outgoing, "CAPNWEB_UNSENT_CHARS_MAX", 1_000)
    desk = Desk()
    for number in range(1, 20):
        desk.say(["push", "x" * 200], ["pull", number])

    heard = desk.heard()
    assert 3 < len(heard) < 8
    assert heard[-1][0] == "abort"


def test_a_stream_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipe, "CAPNWEB_PIPE_BYTES_MAX", 10)
    desk = Desk()
    write = ["stream", ["pipeline", 1, ["write"], ["123456"]]]

    heard = desk.ask(["pipe"], pushed(["echo"], ["readable", 1]), ["pull", 2], write, write)

    assert [message[:2] for message in heard] == [["resolve", 3], ["reject", 4], ["reject", 2]]
    assert {error_of(message)[2] for message in heard[1:]} == {"too_large"}


def test_calls_of_the_client_are_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "CAPNWEB_IMPORTS_MAX", 5)
    desk = Desk()
    desk.say(pushed(["keep"], ["export", -1]), *[pushed(["tellKept"], 1)] * 10)

    heard = desk.ask(["pull", 11])

    assert error_of(heard[-1])[2] == "too_large"
    assert desk.session.broken is None
