"""What a subscriber is told: everything once, in order, and only what no crash can take back."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import raydo
from raydo.actors.analytics import Analytics
from raydo.actors.changes import CHANGES_MAX
from raydo.actors.world import World
from raydo.gateway.archiving import archive_now
from raydo.gateway.backend import Backend
from raydo.pipelining.errors import ConnectionLost, InvalidArgument, TimedOut


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "data") as world:
        yield world


def changes(world: World, since: int | None = None, *more: Any) -> Any:
    return world.wait(world.stub(Analytics, "acme").changes(since, *more))


def track(world: World, *names: str, **fields: Any) -> None:
    acme = world.stub(Analytics, "acme")
    for name in names:
        world.wait(acme.track(name, **fields))


def names(change: Any) -> list[str]:
    return [event["event"] for event in change["events"]]


def test_every_event_comes_once_in_the_order_of_its_arrival(world: World) -> None:
    track(world, "A", "B")
    first = changes(world, 0)
    track(world, "Late", timestamp=world.now_ms - 3 * 86_400_000)
    world.crash()
    track(world, "C")
    second = changes(world, first["cursor"])

    assert names(first) == ["A", "B"]
    assert names(second) == ["Late", "C"]
    assert changes(world, second["cursor"])["events"] == []
    assert changes(world)["events"] == []
    assert changes(world)["cursor"] == second["cursor"]


def test_an_event_is_told_as_it_was_recorded_and_counters_as_they_are(world: World) -> None:
    track(world, "PageView", userId="alice", properties={"page": "/"}, messageId="m1")

    change = changes(world, 0)

    [event] = change["events"]
    assert event == {
        "seq": change["cursor"],
        "id": "m1",
        "event": "PageView",
        "userId": "alice",
        "anonymousId": None,
        "timestamp": world.now_ms,
        "receivedAt": world.now_ms,
        "properties": {"page": "/"},
    }
    assert change["counters"]["event:PageView"] == change["counters"]["active_1m"] == 1
    assert change["counters"]["pageviews_1m"] == 1


def test_a_long_absence_is_told_in_parts(world: World) -> None:
    track(world, *(f"E{number}" for number in range(7)))
    told: list[str] = []
    cursor, more = 0, True
    while more:
        change = changes(world, cursor, 3)
        told += names(change)
        cursor, more = change["cursor"], change["more"]

    assert told == [f"E{number}" for number in range(7)]


@pytest.mark.parametrize("since", [-1, 10, "1", True, 1.5])
def test_what_is_no_cursor_is_refused(world: World, since: Any) -> None:
    track(world, "A")
    with pytest.raises(InvalidArgument):
        changes(world, since)
    for limit in (0, CHANGES_MAX + 1, "3"):
        with pytest.raises(InvalidArgument):
            changes(world, 0, limit)


def test_what_was_told_is_there_after_a_crash(world: World) -> None:
    acme = world.stub(Analytics, "acme")
    for number in range(5):
        acme.track(f"E{number}")
        told = world.wait(acme.changes(0))  # in the same turn as the event
        world.crash()

        kept = changes(world, 0)
        assert (kept["cursor"], kept["events"]) == (told["cursor"], told["events"])
        assert len(told["events"]) == number + 1


def test_asking_makes_no_tenant(world: World) -> None:
    cursor = changes(world)["cursor"]
    assert (cursor, changes(world, 0)["events"]) == (0, [])
    assert not [path for path in world.data.glob("*/*") if path.is_dir()]

    track(world, "First")
    assert names(changes(world, cursor)) == ["First"]


class Flaky:
    """A stub that is sometimes out of reach."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers
        self.asked: list[Any] = []

    async def changes(self, since: int | None) -> Any:
        self.asked.append(since)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def change(cursor: int, counters: dict[str, int], *, more: bool = False, events: Any = ()) -> Any:
    return {"cursor": cursor, "events": list(events), "counters": counters, "more": more}


async def test_python_follows_by_the_cursor_through_failures_and_tells_only_what_changed() -> None:
    stub = Flaky(
        [
            change(3, {"a": 1, "b": 1}, events=["x"], more=True),
            change(5, {"a": 1, "b": 1}),
            ConnectionLost("cut"),
            TimedOut("late"),
            change(6, {"a": 2}, events=["y"]),
            InvalidArgument("no"),
        ]
    )
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    following = raydo.subscribe(stub, 1, look_s=7, sleep=sleep)
    told = [await anext(following), await anext(following)]
    with pytest.raises(InvalidArgument):
        await anext(following)

    assert told == [
        {"cursor": 3, "events": ["x"], "counters": {"a": 1, "b": 1}},
        {"cursor": 6, "events": ["y"], "counters": {"a": 2, "b": 0}},
    ]
    assert stub.asked == [1, 3, 5, 5, 5, 6]
    assert slept == [7, 2, 2, 7]


async def test_python_follows_real_objects(tmp_path: Path) -> None:
    async with raydo.connect(data=tmp_path / "data") as connection:
        acme = connection.stub(Analytics, "acme")
        await acme.track("A")
        async with asyncio.timeout(20):
            async for each in raydo.subscribe(acme, 0, look_s=0.01):
                if names(each) == ["B"]:
                    break
                assert names(each) == ["A"]
                acme.track("B")


async def test_a_cursor_whose_events_the_archive_has_is_told_where_to_go_on(
    backend: Backend,
) -> None:
    acme = backend.analytics("acme")
    await acme.track("Old")
    await archive_now(acme, 0.0)
    await acme.track("New")

    with pytest.raises(InvalidArgument, match="in the archive") as refused:
        await acme.changes(0)

    assert names(await acme.changes(refused.value.detail["cursor"])) == ["New"]
