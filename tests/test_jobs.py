"""Work that an object gives away: with its call, elsewhere, and its end told once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support import chores

from raydo.actors.object import DurableObject
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument, ObjectFailed, OutboxFull
from raydo.pipelining.method import call, cast


class Giver(DurableObject):
    """Gives work away, and remembers how it ended."""

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS ends (end_ TEXT)")

    @cast
    def give(self, name: str, *args: Any) -> None:
        self.background(getattr(chores, name), *args, then=self.got, failed=self.missed)

    @call
    def give_and_fail(self, folder: str) -> None:
        self.background(chores.write_down, folder, "never")
        raise ValueError("after all, no")

    @call
    def give_nonsense(self, which: str) -> None:
        match which:
            case "lambda":
                self.background(lambda: None)
            case "handler":
                self.background(chores.add, 1, 2, then=chores.add)
            case "value":
                self.background(chores.add, object())

    @cast
    def give_without_end(self, folder: str) -> None:
        self.background(chores.write_down, folder, "alone")

    @cast
    def give_badly_handled(self) -> None:
        self.background(chores.add, 1, 1, then=self.stumble)

    def got(self, result: Any) -> None:
        self.sql("INSERT INTO ends VALUES (?)", f"got {result}")
        self.counters.incr("got")

    def missed(self, error: str) -> None:
        self.sql("INSERT INTO ends VALUES (?)", f"missed {error}")

    def stumble(self, result: int) -> None:
        self.sql("INSERT INTO ends VALUES (?)", "half")
        raise ValueError(f"{result} is too much")

    @call
    def ends(self) -> list[str]:
        return [row["end_"] for row in self.sql("SELECT end_ FROM ends")]


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setattr("raydo.actors.outside.JOB_RETRY_FIRST_S", 0.001)
    with World(tmp_path / "data") as world:
        yield world


def ends(world: World) -> list[str]:
    world.flush()
    return world.wait(world.stub(Giver, "a").ends())


def test_a_result_comes_back_in_a_turn_of_its_own(world: World) -> None:
    world.stub(Giver, "a").give("add", 1, 2)
    world.stub(Giver, "a").give("add", 3, 4)
    assert sorted(ends(world)) == ["got 3", "got 7"]
    assert world.wait(world.stub(Giver, "a").counters.get("got")) == 2


def test_a_call_that_raises_has_given_nothing_away(world: World, tmp_path: Path) -> None:
    with pytest.raises(ObjectFailed):
        world.wait(world.stub(Giver, "a").give_and_fail(str(tmp_path)))
    world.flush()
    assert not (tmp_path / "ran").exists()


def test_what_raises_is_tried_again_and_at_last_told(world: World, tmp_path: Path) -> None:
    world.stub(Giver, "a").give("fail", str(tmp_path))
    [end] = ends(world)
    assert end.startswith("missed")
    assert "not today" in end
    assert (tmp_path / "ran").read_text() == "failed\n" * 4


def test_a_result_that_cannot_travel_is_told_as_a_failure(world: World) -> None:
    world.stub(Giver, "a").give("give_an_object")
    [end] = ends(world)
    assert end.startswith("missed")


@pytest.mark.parametrize("which", ["lambda", "handler", "value"])
def test_what_another_process_could_not_do_is_refused_at_once(world: World, which: str) -> None:
    with pytest.raises(InvalidArgument):
        world.wait(world.stub(Giver, "a").give_nonsense(which))


def test_work_without_a_handler_is_done_too(world: World, tmp_path: Path) -> None:
    world.stub(Giver, "a").give_without_end(str(tmp_path))
    assert ends(world) == []
    assert (tmp_path / "ran").read_text() == "alone\n"


def test_a_handler_that_raises_is_logged_taken_back_and_not_called_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "raydo"):
        world.stub(Giver, "a").give_badly_handled()
        assert ends(world) == []
    assert "too much" in caplog.text
    world.crash()
    assert ends(world) == []


def test_after_a_crash_it_is_done_again_and_its_end_told_once(world: World, tmp_path: Path) -> None:
    for number in range(5):
        world.stub(Giver, "a").give("write_down", str(tmp_path), str(number))
        world.crash()
    assert len(ends(world)) == 5
    assert world.wait(world.stub(Giver, "a").counters.get("got")) == 5
    assert set((tmp_path / "ran").read_text().split()) == {*"01234"}


def test_only_so_many_wait(world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("raydo.actors.jobs.JOBS_MAX", 0)
    with pytest.raises(OutboxFull):
        world.wait(world.stub(Giver, "a").give("add", 1, 2))
    assert not (tmp_path / "ran").exists()


class Chainer(DurableObject):
    """Does everything that a turn can do in the turn that ends a job."""

    @cast
    def begin(self) -> None:
        self.background(chores.add, 1, 2, then=self.first)

    def first(self, result: int) -> None:
        self.counters.incr("sum", result)
        self.stub(Chainer, "other").hear()
        self.background(chores.add, result, 10, then=self.second)
        self.alarms.set(self.now_ms + 60_000, self.ring)

    def second(self, result: int) -> None:
        self.counters.incr("sum", result)

    def ring(self) -> None:
        self.counters.incr("rung")

    @cast
    def hear(self) -> None:
        self.counters.incr("heard")

    @call
    def counts(self) -> list[int]:
        return [self.counters.get(name) for name in ("sum", "heard", "rung")]


def test_what_the_end_of_a_job_begins_goes_on_at_once(world: World) -> None:
    world.stub(Chainer, "a").begin()
    world.flush()
    assert world.wait(world.stub(Chainer, "a").counts()) == [16, 0, 0]
    assert world.wait(world.stub(Chainer, "other").counts()) == [0, 1, 0]
    world.advance(minutes=2)
    assert world.wait(world.stub(Chainer, "a").counts()) == [16, 0, 1]


def test_work_that_exits_ends_nothing_but_itself(world: World) -> None:
    world.stub(Giver, "a").give("leave")
    [end] = ends(world)
    assert end.startswith("missed")
    assert "SystemExit" in end
