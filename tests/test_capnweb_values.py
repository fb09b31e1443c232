"""What travels: each form of the wire, through objects of both kinds and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import pytest
from support.desk import Desk, error_of, pushed

from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.values import UNDEFINED, PeerError
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun

THE_SAME = [
    None,
    True,
    False,
    0,
    -1,
    1.5,
    2**53 - 1,
    "",
    "text",
    "naïve ✓ 𝄞",
    "a\nb",
    {},
    {"a": 1, "b": {"c": None}},
    [[]],
    [[1, "x", [[2]], {"y": [[]]}]],
    ["undefined"],
    ["inf"],
    ["-inf"],
    ["nan"],
    ["bigint", "9007199254740993"],
    ["bigint", "-" + "9" * 100],
    ["date", 0],
    ["date", 1_700_000_000_123],
    ["date", -1],
    ["date", None],
    ["date", 8_640_000_000_000_000],
    ["bytes", ""],
    ["bytes", "aGk"],
    ["bytes", "/+8", "Uint8ClampedArray"],
    ["bytes", "AAAAAAAAAAA", "Float64Array"],
    ["bytes", "aGk", "ArrayBuffer"],
    ["url", "https://example.com/x"],
    ["headers", [["a", "1"], ["a", "2"]]],
    ["request", "https://example.com/", {"method": "POST", "body": ["bytes", "aGk"]}],
    ["response", "text", {"status": 404, "headers": [["a", "b"]]}],
    ["error", "RangeError", "too far"],
    ["error", "Error", "with more", None, {"code": "E1", "cause": ["error", "Error", "why"]}],
    {"constructor": 1, "toString": "x", "__proto__": {"y": 2}, "toJSON": 3},
]


@pytest.mark.parametrize("expression", THE_SAME, ids=repr)
def test_a_value_comes_back_as_it_was_sent(expression: Any) -> None:
    for method in ("echo", "echoLater"):
        desk = Desk()
        desk.say(pushed([method], expression), ["pull", 1])
        assert desk.take() == []
        for waiting in desk.awaits:
            waiting.awaitable.close()  # type: ignore[attr-defined]
            desk.session.finish(waiting.ticket, read(expression))

        assert desk.heard() == [["resolve", 1, expression]]


def read(expression: Any) -> Any:
    """Read an expression as a method of the gateway's own gets it."""
    taken: list[Any] = []

    class Taker(Local):
        @call
        def take(self, value: Any) -> None:
            taken.append(value)

    Desk(Taker()).ask(pushed(["take"], expression))
    [value] = taken
    return value


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (["undefined"], None),
        ({"a": ["undefined"], "b": [[["undefined"]]]}, {"b": [None]}),
        (["bigint", "9007199254740993"], 9_007_199_254_740_993),
        (["date", 1_500], datetime(1970, 1, 1, 0, 0, 1, 500_000, UTC)),
        (["date", None], None),
        (["bytes", "aGk="], b"hi"),
        (["bytes", "aGk", "ArrayBuffer"], b"hi"),
        (["url", "https://example.com/"], "https://example.com/"),
        (["headers", [["a", "1"]]], {"a": "1"}),
        (
            ["error", "TypeError", "no", "stack", {"code": ["bigint", "7"]}],
            {"name": "TypeError", "message": "no", "code": 7},
        ),
        (["response", ["bytes", "aGk"], {"status": 404}], {"status": 404, "body": b"hi"}),
        (["request", "https://example.com/", {}], {"url": "https://example.com/"}),
        ({"constructor": {"__proto__": 1}}, {"constructor": {"__proto__": 1}}),
        ([[["pipeline", 0, ["square"], [3]]]], [9]),
    ],
    ids=repr,
)
def test_a_durable_object_gets_plain_data(sent: Any, kept: Any) -> None:
    desk = Desk()
    desk.ask(pushed(["Shop"], "acme"), pushed(["order"], sent, 1, on=1))

    [value] = desk.object(Noun("Shop", "acme")).ordered
    assert value == kept
    assert type(value) is type(kept)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (["date", 8_640_000_000_000_000], "years 1 to 9999"),
        ("lone \ud800", "lone surrogate"),
        ({"deep": [[[[[[[[[[[[[[]]]]]]]]]]]]]]}, None),
    ],
)
def test_what_no_object_can_keep_is_that_calls_error(sent: Any, sentence: str | None) -> None:
    desk = Desk()
    heard = desk.ask(pushed(["Shop"], "acme"), pushed(["echo"], sent, on=1), ["pull", 2])

    if sentence is None:
        assert heard[0][0] == "resolve"
    else:
        assert sentence in error_of(heard[0])[1]
    assert desk.session.broken is None


def test_a_lone_surrogate_goes_back_as_it_came() -> None:
    desk = Desk()
    desk.say('["push",["pipeline",0,["echo"],["x\\ud800"]]]', '["pull",1]')

    assert desk.session.messages() == ['["resolve",1,"x\\ud800"]']


EAST = timezone(timedelta(hours=2))


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        (7.0, 7.0),
        (2**53, ["bigint", "9007199254740992"]),
        (-(2**53), ["bigint", "-9007199254740992"]),
        ((1, (2,)), [[1, [[2]]]]),
        ({1: "a"}, {"1": "a"}),
        (date(2026, 1, 2), "2026-01-02"),
        (datetime(1970, 1, 1, 2, tzinfo=EAST), ["date", 0]),
        (datetime(1, 1, 1, tzinfo=UTC), ["date", -62_135_596_800_000]),
        (UNDEFINED, ["undefined"]),
        (PeerError("Strange", "no", {"x": 1}), ["error", "Error", "no", None, {"x": 1}]),
    ],
    ids=repr,
)
def test_python_values_have_a_form_in_javascript(value: Any, expression: Any) -> None:
    class Giver(Local):
        @call
        def give(self) -> Any:
            return value

    assert Desk(Giver()).ask(pushed(["give"]), ["pull", 1]) == [["resolve", 1, expression]]


NAIVE = datetime(2026, 1, 1, tzinfo=UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    "value",
    [object(), {"a": [NAIVE]}, 10**5_000, range(3)],
    ids=["object", "naive", "digits", "range"],
)
def test_what_has_none_rejects_and_takes_back_what_it_gave(value: Any) -> None:
    class Giver(Local):
        @call
        def give(self) -> Any:
            return [Local(), {"deep": Local()}, value]

    desk = Desk(Giver())
    heard = desk.ask(pushed(["give"]), ["pull", 1])

    assert heard[0][:2] == ["reject", 1]
    assert desk.ask(["release", 1, 1]) == []
    assert desk.session.stats() == {"imports": 1, "exports": 1}


def test_what_an_error_carries_is_left_out_if_it_cannot_travel() -> None:
    class Thrower(Local):
        @call
        def throw(self) -> None:
            raise PeerError("TypeError", "no", {"x": object()})

    heard = Desk(Thrower()).ask(pushed(["throw"]), ["pull", 1])

    assert heard == [["reject", 1, ["error", "TypeError", "no"]]]
