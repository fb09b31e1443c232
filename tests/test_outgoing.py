"""What an object tells others: with its call, after the gate, in order and once."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from raydo.actors.object import DurableObject
from raydo.actors.world import World
from raydo.pipelining.errors import ObjectFailed, OutboxFull, PromiseMisused
from raydo.pipelining.later import wait
from raydo.pipelining.method import call, cast
from raydo.pipelining.stub import new_instance


class Teller(DurableObject):
    """Tells a `Hearer` what it is told."""

    @cast
    def tell(self, to: str, *words: str) -> None:
        for word in words:
            self.stub(Hearer, to).hear(word)

    @call
    def tell_and_count(self, to: str, word: str) -> int:
        self.Hearer(to).hear(word)  # type: ignore[attr-defined]
        self.sql("CREATE TABLE IF NOT EXISTS told (word TEXT)")
        self.sql("INSERT INTO told VALUES (?)", word)
        return len(self.sql("SELECT * FROM told"))

    @call
    def tell_and_fail(self, to: str) -> None:
        self.stub(Hearer, to).hear("never")
        raise ValueError("after all, no")

    @call
    def ask(self, to: str) -> None:
        wait(self.stub(Hearer, to).heard())

    @call
    def chatter(self, to: str, count: int) -> None:
        for _ in range(count):
            self.stub(Hearer, to).hear("again")

    @cast
    def pass_on(self, to: str, word: str) -> None:
        self.stub(Teller, to).tell(to, word)


class Hearer(DurableObject):
    """Remembers what it hears, in order."""

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS words (n INTEGER PRIMARY KEY, word TEXT)")

    @cast
    def hear(self, word: str) -> None:
        if word == "bad":
            raise ValueError("a bad word")
        self.sql("INSERT INTO words (word) VALUES (?)", word)

    @call
    def heard(self) -> list[str]:
        return [row["word"] for row in self.sql("SELECT word FROM words ORDER BY n")]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "data") as world:
        yield world


def heard(world: World, tenant: str) -> list[str]:
    world.flush()
    return world.wait(world.stub(Hearer, tenant).heard())


def test_what_a_call_tells_another_object_arrives_in_order(world: World) -> None:
    world.stub(Teller, "a").tell("b", "one", "two")
    world.stub(Teller, "a").tell("b", "three")
    world.stub(Teller, "a").tell("c", "four")
    assert heard(world, "b") == ["one", "two", "three"]
    assert heard(world, "c") == ["four"]


def test_a_call_that_uses_sql_tells_too(world: World) -> None:
    teller = world.stub(Teller, "a")
    assert [world.wait(teller.tell_and_count("b", word)) for word in ("one", "two")] == [1, 2]
    assert heard(world, "b") == ["one", "two"]


def test_a_call_that_raises_has_told_nobody_anything(world: World) -> None:
    with pytest.raises(ObjectFailed):
        world.wait(world.stub(Teller, "a").tell_and_fail("b"))
    assert heard(world, "b") == []


def test_an_object_may_tell_itself_and_others_in_a_chain(world: World) -> None:
    world.stub(Teller, "a").pass_on("b", "round")
    world.stub(Teller, "c").pass_on("c", "self")
    assert heard(world, "b") == ["round"]
    assert heard(world, "c") == ["self"]


def test_a_turn_waits_for_nobody_and_says_so(world: World) -> None:
    with pytest.raises(PromiseMisused, match="casts only"):
        world.wait(world.stub(Teller, "a").ask("b"))


def test_what_the_other_object_refuses_is_logged_and_the_next_arrives(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR, "raydo"):
        world.stub(Teller, "a").tell("b", "bad", "good")
        assert heard(world, "b") == ["good"]
    assert "a bad word" in caplog.text


def test_after_a_crash_what_was_told_arrives_once(world: World) -> None:
    for number in range(5):
        world.stub(Teller, "a").tell("b", str(number))
        world.crash()
    world.wait(world.stub(Teller, "a").tell_and_count("b", "last"))
    assert heard(world, "b") == [*"01234", "last"]


def test_a_sleeping_object_keeps_no_letter_that_has_arrived(world: World) -> None:
    world.stub(Teller, "a").tell("b", "one")
    world.flush()
    world.advance(hours=1)
    assert world.wait(world.stub(Teller, "a").tell_and_count("b", "two")) == 1
    assert heard(world, "b") == ["one", "two"]


def test_more_than_may_wait_is_refused_whole(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raydo.actors.outgoing.LETTERS_MAX", 10)
    with pytest.raises(OutboxFull):
        world.wait(world.stub(Teller, "a").chatter("b", 11))
    world.wait(world.stub(Teller, "a").chatter("b", 10))
    assert heard(world, "b") == ["again"] * 10


def test_an_attribute_that_is_no_object_is_an_ordinary_mistake(world: World) -> None:
    teller = new_instance(Teller)
    for name in ("nobody", "Nobody"):
        with pytest.raises(AttributeError, match=name):
            getattr(teller, name)
