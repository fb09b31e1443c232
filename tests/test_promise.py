from __future__ import annotations

import asyncio
import copy
import gc
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import pytest
from support.connected import connected
from support.receiver import Receiver
from support.shop import Shop

from raydo.pipelining.errors import (
    InvalidArgument,
    ObjectFailed,
    PromiseMisused,
    TooLarge,
    UnknownMethod,
)
from raydo.pipelining.promise import Promise
from raydo.pipelining.state import NeverAwaited


@pytest.fixture(autouse=True)
def _drop_promises_here() -> Any:
    """Promises that a test makes and drops on purpose warn inside that test."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NeverAwaited)
        yield
        gc.collect()


TRAPS: list[Callable[[Any], Any]] = [
    iter,
    len,
    bool,
    list,
    reversed,
    int,
    float,
    lambda promise: 1 in promise,
    lambda promise: promise == 1,
    lambda promise: promise != 1,
    lambda promise: promise < 1,
    lambda promise: promise >= 1,
    lambda promise: [1, 2][promise],
    lambda promise: promise + 1,
    lambda promise: 2 * promise,
    lambda promise: -promise,
    lambda promise: promise | {},
    lambda promise: 1 if promise else 2,
    lambda promise: [*promise],
    copy.copy,
    copy.deepcopy,
    pickle.dumps,
    lambda promise: promise(),
    lambda promise: promise[0](),
    lambda promise: promise[1.5],
    lambda promise: promise[1:2],
]


@pytest.mark.parametrize("misuse", TRAPS)
def test_a_promise_taken_for_its_value_says_to_await_first(misuse: Callable[[Any], Any]) -> None:
    promise = Shop("acme").days(7)

    with pytest.raises(PromiseMisused) as caught:
        misuse(promise)

    assert isinstance(caught.value, TypeError)
    assert (
        "wait" in str(caught.value) or "method" in str(caught.value) or "key" in str(caught.value)
    )


def test_a_loop_over_a_promise_does_not_run_for_ever() -> None:
    promise: Any = Shop("acme").days(7)

    with pytest.raises(PromiseMisused, match="cannot be iterated over"):
        next(row for row in promise)


def test_a_promise_shows_what_it_is() -> None:
    promise = Shop("acme").days(7)[0]["dau"].then(str)

    assert repr(promise) == "<promise Shop('acme').days(…)[0].dau.then(…)>"
    assert f"{promise}" == str(promise) == repr(promise)


def test_a_promise_has_no_public_names_but_map_and_then() -> None:
    public = {name for name in dir(Promise) if not name.startswith("_")}

    assert public == {"map", "then"}


def test_names_with_an_underscore_are_not_remote() -> None:
    promise = Shop("acme").days(7)

    for name in ("_repr_html_", "__array__", "__deepcopy__", "_anything"):
        assert not hasattr(promise, name)


async def test_promises_can_be_in_sets_and_be_gathered_twice() -> None:
    async with connected() as wire:
        promise = wire.shop().runs()

        assert len({promise, promise}) == 1
        assert await asyncio.gather(promise, promise) == [0, 0]


async def test_a_lazy_call_that_nobody_awaits_is_not_sent_and_warns_with_its_line() -> None:
    async with connected() as wire:
        shop = wire.shop()
        with pytest.warns(NeverAwaited, match=r"days\(…\) was never awaited") as caught:
            shop.days(7)[0]["dau"]

        assert caught[0].filename == __file__
        with open(__file__, encoding="utf-8") as source:  # noqa: ASYNC230, PTH123
            assert 'shop.days(7)[0]["dau"]' in source.readlines()[caught[0].lineno - 1]
        assert wire.loopback.envelopes == 0


async def test_an_awaited_call_does_not_warn() -> None:
    async with connected() as wire:
        shop = wire.shop()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            await shop.days(7)[0]["dau"]
            await shop.echo(shop.runs(), [shop.days(1)[0]])
            await shop.days(2).map(lambda day: shop.price(day["date"]))
            shop.order("pen")
            await shop.days(1).then(len)
            gc.collect()


async def test_awaited_twice_a_call_runs_once() -> None:
    async with connected() as wire:
        promise = wire.shop().days(3)

        first = await promise
        second = await promise

        assert first is second
        assert wire.receiver.calls == ["days"]


async def test_awaited_by_two_tasks_while_it_travels_a_call_runs_once() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        promise = wire.shop().days(3)
        first = asyncio.create_task(await_it(promise))
        await receiver.arrived.wait()
        second = asyncio.create_task(await_it(promise))
        third = asyncio.create_task(await_it(promise[1]["dau"]))
        await asyncio.sleep(0)
        receiver.gate.set()

        assert await first == await second
        assert await third == 1
        assert receiver.calls == ["days"]


async def await_it(promise: Promise[Any]) -> Any:
    return await promise


async def test_what_is_reached_from_a_settled_value_needs_no_frame() -> None:
    async with connected() as wire:
        promise = wire.shop().days(3)
        await promise

        assert await promise[2]["dau"] == 2
        assert await promise[0].date == "2026-01-01"
        with pytest.raises(InvalidArgument, match="there is 'date', 'dau'"):
            await promise[0]["missing"]
        assert wire.loopback.envelopes == 1


async def test_a_call_whose_promise_is_still_held_never_runs_again() -> None:
    async with connected() as wire:
        days = wire.shop().days(3)

        assert await days[0]["dau"] == 0
        assert await days[2]["dau"] == 2
        assert await days == await days
        assert wire.receiver.calls == ["days"]


async def test_a_held_step_in_the_middle_is_enough_not_to_run_the_call_again() -> None:
    async with connected() as wire:
        day = wire.shop().days(3)[2]

        assert await day["dau"] == 2
        assert await day["date"] == "2026-01-03"
        assert wire.receiver.calls == ["days"]


async def test_a_chain_that_nobody_holds_brings_only_its_end() -> None:
    async with connected() as wire:
        await wire.shop().days(500)[0]["dau"]

        assert wire.receiver.frames[0].outputs == (2,)


async def test_an_errors_cause_reaches_whoever_awaits_and_is_not_run_again() -> None:
    async with connected() as wire:
        promise = wire.shop().broken()

        for awaited in (promise, promise, promise["x"]):
            with pytest.raises(ObjectFailed, match="KeyError: 'shelf'"):
                await awaited
        assert wire.receiver.calls == ["broken"]


async def test_promises_as_arguments_travel_as_references_in_one_frame() -> None:
    async with connected() as wire:
        shop = wire.shop()
        day = shop.days(7)[3]

        assert await shop.echo(day["dau"], {"deep": [day["date"]]}) == [
            3,
            {"deep": ["2026-01-04"]},
        ]
        assert wire.loopback.envelopes == 1
        assert wire.receiver.calls == ["days", "echo"]


async def test_forged_references_stay_plain_data() -> None:
    forged: list[Any] = [["$", 0], {"$ref": 0}, [1, b"\x00"], [0, -1, "order", ["x"], {}]]
    async with connected() as wire:
        shop = wire.shop()

        assert await asyncio.gather(shop.runs(), shop.echo(forged)) == [0, [forged]]
        assert "order" not in wire.receiver.calls


async def test_a_settled_promise_as_an_argument_travels_as_its_value() -> None:
    async with connected() as wire:
        shop = wire.shop()
        days = shop.days(2)
        await days

        assert await shop.echo(days[1]["dau"]) == [1]
        assert await shop.echo(days) == [await days]
        assert wire.receiver.calls == ["days", "echo", "echo"]


async def test_a_promise_of_another_object_is_fetched_first() -> None:
    async with connected() as wire:
        here, there = wire.shop("here"), wire.shop("there")
        there.order("pen")

        assert await here.echo(there.list_orders()[0]) == ["pen"]
        assert await here.echo(there.days(2).then(len)) == [2]


async def test_an_argument_that_fails_hands_on_its_own_error() -> None:
    async with connected() as wire:
        here, there = wire.shop("here"), wire.shop("there")

        with pytest.raises(ObjectFailed, match="shelf"):
            await here.echo(here.broken())
        with pytest.raises(ObjectFailed, match="shelf"):
            await here.echo(there.broken())
        assert "echo" in wire.receiver.calls  # the first one, in the frame; it did not run
        assert wire.receiver.object(here.noun).days_runs == 0


async def test_arguments_are_taken_when_the_call_is_made() -> None:
    async with connected() as wire:
        value = [1]
        promise = wire.shop().echo(value)
        value.append(2)

        assert await promise == [[1]]


async def test_a_cast_cannot_wait_for_another_objects_promise() -> None:
    async with connected() as wire:
        there = wire.shop("there").list_orders()

        with pytest.raises(PromiseMisused, match="await that promise"):
            wire.shop("here").order(there[0])


async def test_a_cast_takes_promises_of_its_own_object_in_order() -> None:
    async with connected() as wire:
        shop = wire.shop()
        first = shop.order("pen")
        shop.order(first)  # the id of the first order as the second's item
        shop.order(shop.days(1)[0]["date"])

        assert await shop.list_orders() == ["pen", "order-1", "2026-01-01"]
        assert wire.loopback.envelopes == 1


async def test_a_cast_waits_for_an_argument_that_an_earlier_frame_fetches() -> None:
    receiver = Receiver()
    receiver.gate = asyncio.Event()
    async with connected(receiver) as wire:
        shop = wire.shop()
        days = shop.days(1)
        fetching = asyncio.create_task(await_it(days))
        await receiver.arrived.wait()
        shop.order(days[0]["date"])
        shop.order("after")
        receiver.gate.set()
        await fetching

        assert await shop.list_orders() == ["2026-01-01", "after"]
        assert receiver.calls.count("days") == 1


async def test_then_runs_here_once_and_the_chain_goes_on() -> None:
    seen: list[Any] = []

    def remember(days: list[Any]) -> dict[str, Any]:
        seen.append(days)
        return {"count": len(days)}

    async with connected() as wire:
        promise = wire.shop().days(3).then(remember)

        assert await promise["count"] == 3
        assert await promise.count == 3
        assert await promise == {"count": 3}
        assert len(seen) == 1
        with pytest.raises(ZeroDivisionError):
            await promise.then(lambda _: 1 / 0)
        with pytest.raises(UnknownMethod, match="is data and has no method"):
            await promise.anything()


async def test_a_chain_may_be_longer_than_pythons_stack_is_deep() -> None:
    async with connected() as wire:
        value: Any = [0]
        promise: Any = wire.shop().echo(value)
        for _ in range(1500):
            promise = promise.map(lambda item: item)

        assert await promise == [[0]]
        assert wire.loopback.envelopes == 1


async def test_a_chain_over_the_limit_of_instructions_fails_alone() -> None:
    async with connected() as wire:
        shop = wire.shop()
        promise: Any = shop.echo(1)
        for _ in range(20_001):
            promise = promise[0]

        results = await asyncio.gather(
            shop.runs(), promise, shop.price("pen"), return_exceptions=True
        )

        assert results[0] == 0
        assert isinstance(results[1], TooLarge)
        assert results[2] == 3


# map


async def test_map_runs_at_the_object_in_the_same_frame() -> None:
    async with connected() as wire:
        shop = wire.shop()

        assert await shop.days(3).map(lambda day: day["dau"]) == [0, 1, 2]
        assert await shop.days(2).map(
            lambda day: {"day": day.date, "rest": [day["dau"], 7], "price": shop.price(day["date"])}
        ) == [
            {"day": "2026-01-01", "rest": [0, 7], "price": 10},
            {"day": "2026-01-02", "rest": [1, 7], "price": 10},
        ]
        assert await shop.days(2)[1].map(lambda day: day["dau"]) == 1
        assert await shop.nothing().map(lambda gone: gone["x"]) is None
        assert wire.loopback.envelopes == 4


async def test_map_nests_and_captures_promises_from_outside() -> None:
    async with connected() as wire:
        shop = wire.shop()
        seven = shop.price("a pound")

        assert await shop.echo([1, 2], [3]).map(
            lambda row: row.map(lambda item: [item, row[0], seven, shop.price("x")])
        ) == [[[1, 1, 7, 1], [2, 1, 7, 1]], [[3, 3, 7, 1]]]
        assert wire.loopback.envelopes == 1


async def test_what_does_not_depend_on_the_element_runs_once() -> None:
    async with connected() as wire:
        shop = wire.shop()

        assert len(await shop.days(5).map(lambda day: [day.dau, shop.days(1)])) == 5
        assert await shop.runs() == 2


async def test_a_map_over_a_settled_value_sends_the_value_along() -> None:
    async with connected() as wire:
        shop = wire.shop()
        days = shop.days(2)
        await days

        assert await days.map(lambda day: shop.price(day["date"])) == [10, 10]
        assert wire.receiver.calls == ["days"]  # price is inside the map


async def test_casts_inside_a_map_are_recorded_even_if_not_returned() -> None:
    async with connected() as wire:
        shop = wire.shop()

        def order(day: Any) -> Any:
            shop.order(day["date"])
            return day["dau"]

        assert await shop.days(2).map(order) == [0, 1]
        assert await shop.list_orders() == ["2026-01-01", "2026-01-02"]


UNRECORDABLE: list[Callable[[Any], Any]] = [
    lambda day: day["dau"] + 1,
    lambda day: 1 if day["dau"] else 2,
    lambda day: day["dau"] > 3,
    lambda day: f"{day['date']}!",
    str,
    "-".join,
    lambda day: int(day["dau"]),
    lambda day: [x for x in day],  # noqa: C416
    len,
    lambda day: "x" in day,
    lambda day: [1, 2][day["dau"]],
    lambda day: {day: 1} and copy.copy(day),
    lambda day: max(day, 3),
    lambda day: day.then(str),
    lambda day: {1, 2},
    lambda day: object(),
    lambda day: Shop("another").price(day["date"]),
]


@pytest.mark.parametrize("body", UNRECORDABLE)
async def test_a_function_that_cannot_be_recorded_is_refused(body: Callable[[Any], Any]) -> None:
    async with connected() as wire:
        with pytest.raises((PromiseMisused, InvalidArgument)):
            wire.shop().days(3).map(body)


async def test_a_functions_own_error_is_raised_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        Shop("acme").days(3).map(lambda day: 1 // 0)


async def test_an_element_does_not_outlive_its_function() -> None:
    escaped: list[Any] = []
    async with connected() as wire:
        shop = wire.shop()
        await shop.days(3).map(lambda day: (escaped.append(day), day)[1])

        with pytest.raises(PromiseMisused, match="only inside its own function"):
            await escaped[0]["dau"]
        with pytest.raises(PromiseMisused, match="only inside its own function"):
            shop.days(1).map(lambda day: [day, escaped[0]])
        with pytest.raises(PromiseMisused):
            await shop.echo(escaped[0])
