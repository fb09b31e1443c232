"""What a client may say, in which order it is done, and what it hears."""

from __future__ import annotations

import gc
from typing import Any

import pytest
from support.desk import Desk, error_of, pushed

from raydo.pipelining.capnweb.targets import remote
from raydo.pipelining.errors import Overloaded
from raydo.pipelining.noun import Noun
from raydo.pipelining.program import Call


@pytest.fixture
def desk() -> Desk:
    return Desk()


def calls(desk: Desk) -> list[str]:
    return [op.name for _, program in desk.programs for op in program.ops if isinstance(op, Call)]


def test_the_root_opens_objects_and_a_chain_is_one_program(desk: Desk) -> None:
    heard = desk.batch(
        pushed(["Shop"], "acme"),
        pushed(["days"], 3, on=1),
        ["push", ["pipeline", 2, ["0", "dau"]]],
        pushed(["price"], ["pipeline", 2, [1, "date"]], on=1),
        ["push", ["remap", 2, [], [], [["pipeline", 0, ["dau"]]]]],
        ["pull", 3],
        ["pull", 4],
        ["pull", 5],
    )

    assert heard == [["resolve", 4, 10], ["resolve", 3, 0], ["resolve", 5, [[0, 1, 2]]]]
    assert [noun for noun, _ in desk.programs] == [Noun("Shop", "acme")]


def test_a_session_may_begin_at_a_tenants_own_object() -> None:
    desk = Desk(remote(Noun("Shop", "acme")))

    assert desk.ask(pushed(["listOrders"]), ["pull", 1]) == [["resolve", 1, [[]]]]


def test_calls_reach_their_object_in_the_order_of_the_messages(desk: Desk) -> None:
    say = [pushed(["Shop"], "acme")]
    say += [pushed(["order"], f"item {k}", on=1) for k in range(50)]
    desk.say(*say)

    heard = desk.ask(pushed(["orders"], on=1), ["pull", 52])

    assert heard == [["resolve", 52, [[f"item {k}" for k in range(50)]]]]
    assert len(desk.programs) == 1


def test_a_batch_sends_back_only_what_was_pulled() -> None:
    desk = Desk(batch=True)

    heard = desk.batch(pushed(["Shop"], "acme"), *[pushed(["order"], "pen", on=1)] * 1000)

    assert heard == []
    assert len(desk.object(Noun("Shop", "acme")).ordered) == 1000
    [(_, program)] = desk.programs
    assert program.outputs == ()


def test_what_a_client_still_holds_can_be_asked_for_later(desk: Desk) -> None:
    desk.ask(pushed(["Shop"], "acme"), pushed(["days"], 2, on=1))

    assert desk.ask(["pull", 2]) == [
        ["resolve", 2, [[{"date": "2026-01-01", "dau": 0}, {"date": "2026-01-02", "dau": 1}]]]
    ]
    assert desk.ask(["push", ["pipeline", 2, ["1", "dau"]]], ["pull", 3]) == [["resolve", 3, 1]]
    assert calls(desk) == ["days"]


def test_a_property_of_a_promise_let_go_can_still_be_asked_for(desk: Desk) -> None:
    desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["days"], 1, on=1),
        ["push", ["pipeline", 2, [0]]],
        ["push", ["pipeline", 3, ["dau"]]],
        ["release", 2, 1],
        ["release", 3, 1],
    )

    assert desk.ask(["pull", 4]) == [["resolve", 4, 0]]


def test_what_was_let_go_before_it_was_sent_brings_no_result_back(desk: Desk) -> None:
    desk.ask(pushed(["Shop"], "acme"), pushed(["order"], "pen", on=1), ["release", 2, 1])

    assert desk.programs[0][1].outputs == ()


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([0], {"date": "2026-01-01", "dau": 0}),
        (["0", "dau"], 0),
        (["1", "date"], "2026-01-02"),
        ([7], ["undefined"]),
        (["07"], ["undefined"]),
        ([-1], ["undefined"]),
        (["-1"], ["undefined"]),
        (["length"], ["undefined"]),
        ([0, "nope"], ["undefined"]),
        ([0, "constructor"], ["undefined"]),
        ([0, "__class__"], ["undefined"]),
        ([0, "date", "x"], ["undefined"]),
    ],
)
def test_data_is_stepped_into_as_javascript_does(desk: Desk, path: list[Any], value: Any) -> None:
    heard = desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["days"], 2, on=1),
        ["push", ["pipeline", 2, path]],
        ["pull", 3],
    )

    assert heard == [["resolve", 3, value]]


def test_a_step_into_nothing_is_a_type_error(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["Shop"], "acme"), pushed(["days"], 1, on=1), ["push", ["pipeline", 2, [4, "dau"]]],
        ["pull", 3],
    )  # fmt: skip

    assert error_of(heard[0])[:2] == (
        "TypeError",
        "Cannot read properties of undefined (reading 'dau')",
    )


@pytest.mark.parametrize(
    "path",
    [
        ["hidden"],
        ["ordered"],
        ["__init__"],
        ["__class__"],
        ["tally", "counts"],
        ["tally", "secret"],
        ["tally", "counts", "clear"],
        ["listOrders", "__func__"],
        ["constructor"],
        ["toString"],
        [""],
        ["x" * 5000],
        [0],
    ],
)
def test_only_declared_methods_can_be_reached(desk: Desk, path: list[Any]) -> None:
    desk.say(pushed(["Shop"], "acme"))

    called = desk.ask(pushed(path, on=1), ["pull", 2])
    read = desk.ask(["push", ["pipeline", 1, path]], ["pull", 3])

    assert called[0][:2] == ["reject", 2]
    assert error_of(called[0])[0] == "TypeError"
    assert read[0][0] == "reject" or read[0][2] == ["undefined"]
    assert desk.programs == []


def test_an_unknown_method_names_those_that_there_are_as_javascript_has_them(desk: Desk) -> None:
    heard = desk.ask(pushed(["Shop"], "acme"), pushed(["nope"], on=1), ["pull", 2])

    name, sentence, code = error_of(heard[0])
    assert (name, code) == ("TypeError", "unknown_method")
    assert "listOrders" in sentence


def test_exposed_parts_are_stubs_of_their_own(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["tally", "add"], "x", 3, on=1),
        ["push", ["pipeline", 1, ["tally"]]],
        pushed(["get"], "x", on=3),
        ["pull", 3],
        ["pull", 4],
    )

    assert heard == [["resolve", 3, ["export", -1]], ["resolve", 4, 3]]
    assert desk.ask(pushed(["get"], "x", on=-1), ["pull", 5]) == [["resolve", 5, 3]]


def test_a_method_can_be_held_and_called(desk: Desk) -> None:
    desk.ask(pushed(["Shop"], "acme"), ["push", ["pipeline", 1, ["days"]]], ["pull", 2])

    assert desk.ask(pushed([], 1, on=-1), ["pull", 3]) == [
        ["resolve", 3, [[{"date": "2026-01-01", "dau": 0}]]]
    ]


def test_a_failing_call_fails_what_follows_from_it_and_nothing_else(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["broken"], on=1),
        pushed(["price"], ["pipeline", 2], on=1),
        ["push", ["pipeline", 2, ["x", "y"]]],
        pushed(["order"], "pen", on=1),
        *[["pull", number] for number in (2, 3, 4, 5)],
    )

    outcomes = {message[1]: message for message in heard}
    assert outcomes[5] == ["resolve", 5, "order-1"]
    for number in (2, 3, 4):
        assert error_of(outcomes[number]) == ("Error", "KeyError: 'shelf'", "object_failed")


def test_promises_of_other_objects_are_brought_to_a_call(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["Shop"], "globex"),
        pushed(["days"], 1, on=1),
        pushed(["price"], ["pipeline", 3, [0, "date"]], on=2),
        pushed(["order"], "pen", on=2),
        pushed(["echo"], {"a": ["pipeline", 4], "b": [[["pipeline", 5]]]}, on=1),
        ["pull", 6],
    )

    assert heard == [["resolve", 6, [[{"a": 10, "b": [["order-1"]]}]]]]
    assert [noun.id for noun, _ in desk.programs] == ["acme", "globex", "globex", "acme"]


def test_a_call_without_promises_does_not_wait_for_one_that_has_some(desk: Desk) -> None:
    desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["Shop"], "globex"),
        pushed(["price"], "x", on=1),
        pushed(["echo"], ["pipeline", 3], on=2),
        pushed(["order"], "pen", on=2),
    )

    assert calls(desk) == ["price", "order", "echo"]


def test_what_waits_for_one_promise_is_done_in_order(desk: Desk) -> None:
    """The client's own promise stands for the object; all calls on it wait, then go together."""
    desk.say(
        pushed(["echoLater"], ["import", 0]),
        pushed(["Shop"], "acme", on=1),
        *[pushed(["order"], f"item {k}", on=2) for k in range(5)],
        pushed(["orders"], on=2),
        ["pull", 8],
    )
    assert desk.take() == []
    [waiting] = desk.awaits
    waiting.awaitable.close()  # type: ignore[attr-defined]
    desk.session.finish(waiting.ticket, desk.targets)
    desk.work()

    assert desk.heard() == [["resolve", 8, [[f"item {k}" for k in range(5)]]]]
    assert len(desk.programs) == 1


def test_literals_may_be_pushed_and_hold_promises(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["square"], 3),
        ["push", {"nine": ["pipeline", 1], "list": [[["pipeline", 1], "x"]]}],
        ["push", ["pipeline", 2, ["list", 0]]],
        ["pull", 2],
        ["pull", 3],
    )

    assert heard == [["resolve", 2, {"nine": 9, "list": [[9, "x"]]}], ["resolve", 3, 9]]


def test_a_pull_is_answered_once(desk: Desk) -> None:
    heard = desk.ask(pushed(["square"], 3), ["pull", 1], ["pull", 1])

    assert heard == [["resolve", 1, 9]]


def test_the_main_object_itself_can_be_pulled(desk: Desk) -> None:
    assert desk.ask(["pull", 0]) == [["resolve", 0, ["export", -1]]]


def test_default_arguments_count_for_undefined(desk: Desk) -> None:
    desk.ask(
        pushed(["Shop"], "acme"),
        pushed(["order"], "pen", ["undefined"], on=1),
        pushed(["echo"], ["undefined"], {"a": ["undefined"], "b": 1}, ["undefined"], on=1),
        ["pull", 3],
    )

    program = desk.programs[0][1]
    assert [op.args for op in program.ops if isinstance(op, Call)] == [["pen"], [None, {"b": 1}]]


def test_too_few_arguments_are_the_callers_mistake(desk: Desk) -> None:
    heard = desk.ask(pushed(["square"]), ["pull", 1], pushed(["Shop"]), ["pull", 2])

    assert error_of(heard[0])[0::2] == ("TypeError", "invalid_argument")
    assert error_of(heard[1])[0::2] == ("TypeError", "invalid_tenant")


def test_an_error_of_the_gateways_own_code_tells_nothing_of_its_inside(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    heard = desk.ask(pushed(["fail"]), ["pull", 1])

    name, sentence, code = error_of(heard[0])
    assert (name, code) == ("Error", "internal")
    assert "inner detail" not in sentence
    assert "inner detail" in caplog.text


def test_a_thrown_error_keeps_its_class_and_sentence(desk: Desk) -> None:
    heard = desk.ask(pushed(["throwError"]), ["pull", 1])

    assert heard == [["reject", 1, ["error", "RangeError", "test error"]]]


def test_functions_and_objects_cannot_be_given_to_a_durable_object(desk: Desk) -> None:
    for argument in (["export", -1], ["import", 0], ["pipeline", 1]):
        heard = Desk().ask(pushed(["Shop"], "acme"), pushed(["echo"], argument, on=1), ["pull", 2])
        [rejected] = [message for message in heard if message[0] == "reject"]
        assert error_of(rejected)[0::2] == ("TypeError", "invalid_argument")


# Callbacks, and who holds what.


def test_a_callback_is_called_and_given_back(desk: Desk) -> None:
    heard = desk.ask(pushed(["callFunction"], ["export", -1], 5), ["pull", 1])

    assert heard == [
        ["push", ["pipeline", -1, [], [5]]],
        ["pull", 1],
        ["release", -1, 1],
    ]
    assert desk.ask(["resolve", 1, 25]) == [["release", 1, 1], ["resolve", 1, {"result": 25}]]
    assert desk.ask(["release", 1, 1]) == []
    assert desk.session.stats() == {"imports": 1, "exports": 1}


def test_a_callback_that_throws_fails_the_call(desk: Desk) -> None:
    desk.ask(pushed(["callFunction"], ["export", -1], 5), ["pull", 1])

    heard = desk.ask(["reject", 1, ["error", "EvalError", "no"]])

    assert heard[-1] == ["reject", 1, ["error", "EvalError", "no"]]


def test_a_reference_sent_twice_is_given_back_twice_at_once(desk: Desk) -> None:
    desk.say(["push", {"a": ["export", -1], "b": ["export", -1]}])
    assert desk.session.stats()["imports"] == 2

    assert desk.ask(["release", 1, 1]) == [["release", -1, 2]]


def test_a_callback_that_is_kept_can_be_called_until_it_is_forgotten(desk: Desk) -> None:
    assert desk.ask(pushed(["keep"], ["export", -1])) == []
    assert desk.ask(pushed(["tellKept"], "hello"), ["pull", 2]) == [
        ["push", ["pipeline", -1, [], ["hello"]]],
        ["pull", 1],
    ]

    assert desk.ask(pushed(["forget"]))[-1] == ["release", -1, 1]


def test_whoever_kept_a_callback_is_told_that_the_client_has_gone(desk: Desk) -> None:
    desk.ask(pushed(["keep"], ["export", -1]))

    desk.session.close()

    assert [str(error) for error in desk.targets.broken] == [
        "The session has ended: The client has closed the session."
    ]
    assert desk.targets.kept[0](1).slot.error is not None


def test_one_who_fails_at_the_end_does_not_keep_the_others_from_hearing_of_it(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.ask(pushed(["keep"], ["export", -1]), pushed(["keep"], ["export", -2]))
    desk.targets.kept[0].on_broken(lambda error: 1 / 0)  # type: ignore[arg-type, return-value]

    desk.session.close()

    assert len(desk.targets.broken) == 2
    assert "ZeroDivisionError" in caplog.text


def test_a_stub_that_goes_back_to_its_owner_is_named_by_the_owners_number(desk: Desk) -> None:
    assert desk.ask(pushed(["echo"], ["export", -7]), ["pull", 1]) == [
        ["resolve", 1, ["import", -7]]
    ]


def test_objects_are_told_when_nobody_holds_them_any_more(desk: Desk) -> None:
    heard = desk.ask(pushed(["makeCounter"], 4), pushed(["increment"], on=1), ["pull", 1])
    assert heard == [["resolve", 1, ["export", -1]]]
    [counter] = desk.targets.counters

    desk.say(["release", 1, 1], ["release", 2, 1])
    assert (counter.value, counter.disposed) == (5, 0)
    assert desk.ask(pushed(["incrementCounter"], ["import", -1], 2), ["pull", 3]) == [
        ["resolve", 3, 7]
    ]
    desk.say(["release", -1, 1], ["release", 3, 1])

    assert counter.disposed == 1
    assert desk.session.stats() == {"imports": 1, "exports": 1}


def test_the_same_object_given_twice_has_two_numbers_and_one_end(desk: Desk) -> None:
    desk.ask(
        pushed(["makeCounter"]), ["push", [[["pipeline", 1], ["pipeline", 1]]]], ["pull", 2]
    )  # fmt: skip
    [counter] = desk.targets.counters

    desk.say(["release", 1, 1], ["release", 2, 1], ["release", -1, 1])
    assert counter.disposed == 0
    desk.say(["release", -2, 1])
    assert counter.disposed == 1


def test_everything_is_let_go_at_the_end(desk: Desk) -> None:
    desk.ask(pushed(["makeCounters"], 3), ["pull", 1], pushed(["makeCounter"]))

    desk.session.close()

    assert [counter.disposed for counter in desk.targets.counters] == [1, 1, 1, 1]


def test_a_promise_of_the_client_is_waited_for(desk: Desk) -> None:
    assert desk.ask(pushed(["square"], ["promise", -1]), ["pull", 1]) == []

    assert desk.ask(["resolve", -1, 6]) == [["release", -1, 1], ["resolve", 1, 36]]


def test_an_answer_to_a_released_number_is_taken_and_dropped(desk: Desk) -> None:
    assert desk.ask(["resolve", 99, ["export", -1]]) == [["release", -1, 1]]
    assert desk.session.broken is None


def test_a_result_let_go_while_it_is_under_way_is_not_answered(desk: Desk) -> None:
    desk.say(pushed(["Shop"], "acme"), pushed(["days"], 1, on=1), ["pull", 2])
    [run] = desk.take()
    desk.say(["release", 2, 1])

    desk.session.answer(run.ticket, desk.deliver(run))

    assert desk.heard() == []


# Streams.


def test_a_stream_call_is_answered_and_let_go_by_itself(desk: Desk) -> None:
    heard = desk.ask(["stream", ["pipeline", 0, ["square"], [4]]])

    assert heard == [["resolve", 1, 16]]
    assert desk.session.stats() == {"imports": 1, "exports": 1}


def test_a_stream_is_read_to_its_end(desk: Desk) -> None:
    heard = desk.ask(
        ["pipe"],
        pushed(["echo"], ["readable", 1]),
        ["pull", 2],
        ["stream", ["pipeline", 1, ["write"], ["ab"]]],
        ["stream", ["pipeline", 1, ["write"], ["c"]]],
        ["stream", ["pipeline", 1, ["close"], []]],
        ["release", 1, 1],
        ["release", 2, 1],
    )

    assert heard[-1] == ["resolve", 2, "abc"]
    assert desk.session.stats() == {"imports": 1, "exports": 1}


def test_a_blob_reaches_a_durable_object_as_bytes(desk: Desk) -> None:
    heard = desk.ask(
        ["pipe"],
        pushed(["Shop"], "acme"),
        pushed(["echo"], ["blob", "text/plain", ["readable", 1]], on=2),
        ["pull", 3],
        ["stream", ["pipeline", 1, ["write"], [["bytes", "aGk"]]]],
        ["stream", ["pipeline", 1, ["close"], []]],
    )

    assert heard[-1] == ["resolve", 3, [[["bytes", "aGk"]]]]


@pytest.mark.parametrize(
    "end",
    [
        ["stream", ["pipeline", 1, ["abort"], [["error", "Error", "enough"]]]],
        ["release", 1, 1],
    ],
)
def test_a_stream_that_ends_badly_fails_whoever_reads_it(desk: Desk, end: Any) -> None:
    heard = desk.ask(
        ["pipe"], pushed(["echo"], ["readable", 1]), ["pull", 2],
        ["stream", ["pipeline", 1, ["write"], ["ab"]]], end,
    )  # fmt: skip

    assert heard[-1][:2] == ["reject", 2] or heard[-2][:2] == ["reject", 2]


def test_a_blob_is_sent_through_a_pipe(desk: Desk) -> None:
    heard = desk.ask(
        ["pipe"],
        ["stream", ["pipeline", 1, ["write"], [["bytes", "aGk"]]]],
        ["stream", ["pipeline", 1, ["close"], []]],
        pushed(["echo"], ["blob", "text/plain", ["readable", 1]]),
        ["pull", 4],
    )

    assert heard[2:] == [
        ["pipe"],
        ["resolve", 4, ["blob", "text/plain", ["readable", 1]]],
        ["stream", ["pipeline", 1, ["write"], [["bytes", "aGk"]]]],
        ["stream", ["pipeline", 1, ["close"], []]],
        ["release", 1, 1],
    ]
    desk.ask(["resolve", 2, ["undefined"]], ["resolve", 3, ["undefined"]])
    assert desk.session.stats()["imports"] == 1


# Batches.


def test_in_a_batch_callbacks_and_promises_of_the_client_fail_at_once() -> None:
    desk = Desk(batch=True)

    heard = desk.batch(
        pushed(["callFunction"], ["export", -1], 5),
        pushed(["square"], ["promise", -2]),
        ["pipe"],
        pushed(["echo"], ["readable", 3]),
        *[["pull", number] for number in (1, 2, 4)],
    )

    rejected = [message for message in heard if message[0] == "reject"]
    assert sorted(message[1] for message in rejected) == [1, 2, 4]
    assert all("batch" in error_of(message)[1] for message in rejected)


def test_a_promise_that_is_resolved_within_the_batch_is_good() -> None:
    heard = Desk(batch=True).batch(
        pushed(["square"], ["promise", -1]), ["resolve", -1, 3], ["pull", 1]
    )

    assert heard == [["release", -1, 1], ["resolve", 1, 9]]


# Trouble.


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "[1]",
        '["push"]',
        '["nope", 1]',
        '["push", ["nope"]]',
        '["push", []]',
        '["push", ["pipeline"]]',
        '["push", ["pipeline", 42]]',
        '["push", ["pipeline", true, []]]',
        '["push", ["pipeline", 0, "x"]]',
        '["push", ["pipeline", 0, [{}]]]',
        '["push", ["pipeline", 0, [], {}]]',
        '["push", ["pipeline", 0, [], [], 1]]',
        '["push", ["import", -9]]',
        '["push", ["remap", 0, [], [], []]]',
        '["push", ["remap", 0, [], [["pipeline", 0]], [1]]]',
        '["push", ["remap", 0, []]]',
        '["push", ["export", "x"]]',
        '["push", ["readable", 0]]',
        '["push", ["date", "x"]]',
        '["push", ["date", true]]',
        '["push", ["bytes", "\\u00e9"]]',
        '["push", ["bytes", "a"]]',
        '["push", ["bytes", "aGk", "Nope"]]',
        '["push", ["bytes", "aGk", "Float64Array"]]',
        '["push", ["bigint", "x"]]',
        '["push", ["bigint", 1]]',
        '["push", ["error", 1, 2]]',
        '["push", NaN]',
        '["pull"]',
        '["pull", "1"]',
        '["pull", 42]',
        '["pull", true]',
        '["release", 1, 1]',
        '["release", 0, 1]',
        '["resolve", 1]',
        '["resolve"]',
        '["push", ' + "[" * 100_000,
        '["push", ' + '{"a":' * 300 + "1" + "}" * 300 + "]",
    ],
)
def test_what_is_not_of_the_protocol_ends_the_session_with_a_reason(text: str) -> None:
    desk = Desk()

    desk.say(text, pushed(["square"], 2), ["pull", 1])

    [message] = desk.heard()
    assert message[0] == "abort"
    name, sentence, _ = error_of(message)
    assert name in {"TypeError", "RangeError"}
    assert sentence
    assert desk.session.broken is not None


def test_a_release_of_more_than_is_held_ends_the_session(desk: Desk) -> None:
    for count in (2, 0, -1):
        desk = Desk()
        heard = desk.ask(pushed(["square"], 2), ["release", 1, count])
        assert "refcount would go negative" in error_of(heard[-1])[1]


def test_an_abort_of_the_client_is_not_answered(desk: Desk) -> None:
    assert desk.ask(["abort", ["error", "Error", "enough"]]) == []
    assert "enough" in str(desk.session.broken)


def test_calls_taken_before_the_end_are_still_work(desk: Desk) -> None:
    desk.say(pushed(["Shop"], "acme"), pushed(["order"], "pen", on=1))

    desk.session.close()
    desk.work()

    assert desk.object(Noun("Shop", "acme")).ordered == ["pen"]


def test_a_lost_program_rejects_what_was_awaited(desk: Desk) -> None:
    desk.say(pushed(["Shop"], "acme"), pushed(["days"], on=1), ["pull", 2])
    [run] = desk.take()

    desk.session.answer(run.ticket, Overloaded("Not now.", retry_after_s=2.0))

    [message] = desk.heard()
    assert message == [
        "reject",
        2,
        ["error", "Error", "Not now.", None,
         {"code": "overloaded", "retryable": True, "retryAfter": 2.0}],
    ]  # fmt: skip
    assert desk.session.broken is None


def test_a_lost_call_that_nobody_awaits_ends_the_session(desk: Desk) -> None:
    desk.say(pushed(["Shop"], "acme"), pushed(["order"], "pen", on=1), ["release", 2, 1])
    [run] = desk.take()

    desk.session.answer(run.ticket, Overloaded("Not now."))

    assert desk.heard() == [
        ["abort", ["error", "Error", "Not now.", None, {"code": "overloaded", "retryable": True}]]
    ]


def test_a_result_that_cannot_travel_is_that_calls_error(desk: Desk) -> None:
    heard = desk.ask(
        pushed(["Shop"], "acme"), pushed(["unsendable"], on=1), ["pull", 2], pushed(["echo"], 1),
        ["pull", 3],
    )  # fmt: skip

    assert [message[:2] for message in heard] == [["resolve", 3], ["reject", 2]]


def test_a_session_leaves_nothing_behind(desk: Desk) -> None:
    gc.collect()
    for _ in range(3):
        desk.ask(
            pushed(["callFunction"], ["export", -1], 5),
            pushed(["Shop"], "acme"),
            ["push", ["remap", 0, [], [["export", -2]], [["pipeline", -1, [], []]]]],
        )
        desk.session.close()
        desk = Desk()

    assert gc.collect() < 200
