"""Sessions by a seed: whatever is said, nothing escapes, nothing is left over, nothing hangs."""

from __future__ import annotations

import gc
import json
import logging
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from random import Random
from typing import Any

import pytest
from support.caller import Caller
from support.desk import Desk

SESSIONS = int(os.environ.get("RAYDO_FUZZ", "1"))  # times as many
STEPS = 60

HOSTILE: list[Any] = [
    "", "[", "nul", '"x"', "[[]]", '["push"]', '["push",["pipeline",0,[],[[]]]]',
    ["push", ["pipeline", 10**30, []]], ["push", ["pipeline", -1, ["x"], []]], ["pull", -1],
    ["pull", 0], ["release", 1, 10**20], ["release", -1, 1], ["resolve", 0, 1], ["resolve", 1, 1],
    ["reject", -1, ["error", "Error", "x"]], ["abort"], ["abort", 1], ["push", ["export", 0]],
    ["push", ["export", 1]], ["push", ["promise", 0]], ["push", [["export", -1], ["promise", -1]]],
    ["push", [[["export", -1], ["promise", -1]]]], ["push", ["writable", -3]], ["pipe", 1],
    ["push", ["readable", 1]], ["push", ["blob", "x", ["readable", 1]]], ["stream", ["import", 0]],
    ["push", ["remap", 0, ["__class__"], [["import", 0]], [["pipeline", -1, ["__init__"], []]]]],
    ["push", ["remap", 1, [], [["import", 0]], [["remap", 0, [], [["import", -1]], [1]]]]],
    ["push", ["pipeline", 0, ["echo"], [{"__proto__": ["pipeline", 0, ["__class__"]]}]]],
    ["push", ["pipeline", 0, ["find"], ["square"]]], ["push", ["pipeline", 0, ["dispose"], []]],
    ["push", ["pipeline", 0, ["Shop"], ["\ud800"]]], ["push", ["pipeline", 0, ["\ud800"], ["x"]]],
    ["push", ["pipeline", 0, ["echo"], ["\ud800" * 3]]], ["push", {"\ud800": 1}],
    ["push", ["bytes", "====", "DataView"]], ["push", ["date", 1e308]], ["push", ["date", -1e308]],
    ["push", ["bigint", "-"]], ["push", ["bigint", "١٢"]], ["push", ["error", "__class__", "x"]],
    ["push", ["headers", [["a"]]]], ["push", ["request", "x", {"body": ["pipeline", 0]}]],
    ["push", ["response", ["pipeline", 0], {"headers": 1}]], ["nope"], [["push"]], {"push": 1},
]  # fmt: skip


@pytest.fixture
def silent() -> Iterator[None]:
    """Keep no log records, whose tracebacks hold stubs, and collect no cycles: there are to be none."""
    logging.disable(logging.CRITICAL)
    gc.disable()
    yield
    gc.enable()
    logging.disable(logging.NOTSET)


@pytest.mark.usefixtures("silent")
@pytest.mark.parametrize("seed", range(8))
def test_a_client_that_keeps_the_rules_is_served_to_the_end(seed: int) -> None:
    for number in range(12 * SESSIONS):
        desk = Desk()
        caller = Caller(Random(f"valid {seed} {number}"), desk)
        for _ in range(STEPS):
            caller.step()
        caller.finish()

        assert desk.session.broken is None
        assert desk.session.stats() == {"imports": 1, "exports": 1}, caller.said
        assert (caller.held, caller.given, caller.asked) == ({}, {}, []), caller.said
        assert all(counter.disposed == 1 for counter in desk.targets.counters)
        assert not desk.session.busy
        assert desk.session.calls_under_way == 0


@pytest.mark.parametrize("seed", range(8))
def test_a_client_that_breaks_them_ends_its_session_and_nothing_else(
    seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(25 * SESSIONS):
        random = Random(f"broken {seed} {number}")
        desk = Desk(batch=random.random() < 0.3)
        for text in mutated(random, transcript(random)):
            desk.say(text)
            if random.random() < 0.3:
                desk.work()
            if desk.session.broken is not None:
                break
        desk.session.end()
        desk.work()
        desk.session.close()

        assert_texts(desk)
        assert all(counter.disposed == 1 for counter in desk.targets.counters)
    assert "Cap'n Web session failed" not in caplog.text


@pytest.mark.parametrize("seed", range(4))
def test_when_the_work_is_done_makes_no_difference(seed: int) -> None:
    for number in range(30 * SESSIONS):
        messages = questions(Random(f"timing {seed} {number}"))
        heard = [answers(messages, often, Random(number)) for often in (1.0, 0.0, 0.3)]

        strict = {n for each in heard for n, text in each.items() if STRICT.search(text)}
        for each in heard:
            for n in strict:
                each.pop(n, None)
        assert heard[0] == heard[1] == heard[2], messages


# An object's own GET, taken where a call there needs a value, refuses keys that are not there.
STRICT = re.compile("outside of|There is no|has no|has indexes")


def answers(messages: list[Any], often: float, random: Random) -> dict[int, str]:
    """Say messages, working now and then, and give the answers by number."""
    desk = Desk(batch=often == 0.0)
    for message in messages:
        desk.say(message)
        if random.random() < often:
            desk.work()
    desk.session.end()
    desk.work()
    texts = [re.sub(r'"export",-\d+', '"export",-1', text) for text in desk.session.messages()]
    return {json.loads(text)[1]: text for text in texts}


def questions(random: Random) -> list[Any]:
    """Ask what has the same answer whenever it is asked, and pull everything."""
    messages: list[Any] = [
        ["push", ["pipeline", 0, ["Shop"], [tenant]]] for tenant in ("acme", "globex")
    ]
    for number in range(3, random.randint(6, 16)):
        messages.append(["push", question(random, number)])
    pulls = [["pull", number] for number in range(1, len(messages) + 1)]
    return messages + random.sample(pulls, len(pulls))


def question(random: Random, number: int) -> Any:
    """Make the expression of a push, with what was pushed before."""
    named = random.randrange(3, number) if number > 3 else 1
    value = random.choice([["pipeline", named], ["pipeline", named, [0]], ["import", named]])
    shop = random.choice([1, 2])
    choice = random.random()
    if choice < 0.2:
        return ["pipeline", shop, ["days"], [random.randint(0, 3)]]
    if choice < 0.4:
        return ["pipeline", shop, ["echo"], [value, {"v": value, "w": 7}][: random.randint(1, 2)]]
    if choice < 0.5:
        return ["pipeline", 0, ["generateFibonacci"], [random.randint(0, 4)]]
    if choice < 0.6:
        return {"a": value, "b": [[value, value]]}
    if choice < 0.7:
        return ["pipeline", named, random.choice([[0], ["0", "dau"], ["a"], ["b", 1]])]
    if choice < 0.8:
        return [
            "remap",
            named,
            [],
            [],
            [random.choice([["pipeline", 0], {"x": ["pipeline", 0, ["dau"]]}])],
        ]
    captured = random.choice([shop, 0])
    call = ["pipeline", -1, ["price" if captured else "square"], ["pen" if captured else 3]]
    return [
        "remap",
        named,
        [],
        [["import", captured]],
        [call, {"e": ["pipeline", 0], "p": ["pipeline", 1]}],
    ]


def transcript(random: Random) -> list[Any]:
    """Make what a client that keeps the rules might say."""
    caller = Caller(random, Desk())
    for _ in range(STEPS // 2):
        caller.step()
    return caller.said


def mutated(random: Random, messages: list[Any]) -> list[str]:
    """Spoil a transcript in some places."""
    texts = [json.dumps(message) for message in messages]
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(texts))
        choice = random.random()
        if choice < 0.3:
            hostile = random.choice(HOSTILE)
            texts.insert(at, hostile if isinstance(hostile, str) else json.dumps(hostile))
        elif choice < 0.5:
            with suppress(ValueError):  # it may be spoiled already
                texts[at] = json.dumps(twisted(random, json.loads(texts[at])))
        elif choice < 0.6:
            texts.insert(at, texts[random.randrange(len(texts))])
        elif choice < 0.7 and len(texts) > 1:
            del texts[at]
        else:
            texts[at] = spoiled(random, texts[at])
    return texts


def twisted(random: Random, value: Any) -> Any:
    """Change one thing deep inside a message."""
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], twisted(random, value[at]), *value[at + 1 :]]
    return random.choice(
        [None, True, -1, 0, 1, 3, 99, 1.5, "", "push", [], {}, [[]], value, [value], [[value]],
         {"k": value}, ["pipeline", 0], ["pipeline", 2, ["x"], []], ["export", -1], ["promise", -9]]
    )  # fmt: skip


def spoiled(random: Random, text: str) -> str:
    """Change a character or two."""
    for _ in range(random.randint(1, 2)):
        at = random.randrange(len(text)) if text else 0
        text = (
            text[:at]
            + random.choice(["", "[", "]", '"', ",", "0", "-", "é", "\x00"])
            + text[at + 1 :]
        )
    return text


def assert_texts(desk: Desk) -> None:
    for text in desk.session.messages():
        text.encode()
        json.loads(text)
