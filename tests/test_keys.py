"""The keys that an object keeps, in a world whose time stands still."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raydo.actors import keys as module
from raydo.actors.analytics import Analytics
from raydo.actors.world import World
from raydo.pipelining.errors import InvalidArgument, RaydoError, TooLarge

HASHES = [f"{number:064x}" for number in range(20)]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path / "data") as world:
        yield world


@pytest.fixture
def keys(world: World) -> Any:
    return Handle(world)


class Handle:
    """Call the keys of one tenant, and wait."""

    def __init__(self, world: World) -> None:
        self.world = world

    def __getattr__(self, name: str) -> Any:
        part = self.world.stub(Analytics, "acme").keys
        return lambda *args: self.world.wait(getattr(part, name)(*args))


def test_a_key_is_found_by_its_hash_alone_and_after_a_crash(world: World, keys: Any) -> None:
    made = keys.add(HASHES[0], "read", "the dashboard")
    world.crash()

    assert keys.find(HASHES[0]) == made
    assert keys.find(HASHES[1]) is None
    assert keys.list() == [made]
    assert made["kind"] == "read"


def test_the_same_key_again_changes_nothing(world: World, keys: Any) -> None:
    made = keys.add(HASHES[0], "read")
    world.advance(seconds=5)

    assert keys.add(HASHES[0], "admin") == made


def test_a_revoked_key_opens_nothing_and_stays_listed(world: World, keys: Any) -> None:
    made = keys.add(HASHES[0], "write")
    revoked = keys.revoke(made["id"])
    world.advance(seconds=5)

    assert keys.find(HASHES[0]) is None
    assert keys.revoke(made["id"]) == revoked
    assert keys.list() == [revoked]
    with pytest.raises(InvalidArgument, match="no key"):
        keys.revoke("nothing")


def test_a_key_ends_when_it_was_said_to(world: World, keys: Any) -> None:
    keys.add(HASHES[0], "write", "", world.now_ms + 10_000)

    world.advance(seconds=9)
    assert keys.find(HASHES[0]) is not None
    world.advance(seconds=1)
    assert keys.find(HASHES[0]) is None


def test_looking_for_a_key_makes_no_tenant(world: World, keys: Any) -> None:
    assert keys.find(HASHES[0]) is None
    assert keys.list() == []
    assert not [path for path in world.data.glob("*/*") if path.is_dir()]


def test_room_is_made_by_forgetting_what_opens_nothing(
    world: World, keys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "KEYS_MAX", 3)
    first, *_ = [keys.add(hashed, "read") for hashed in HASHES[:3]]
    with pytest.raises(TooLarge, match="revoke some"):
        keys.add(HASHES[3], "read")

    keys.revoke(first["id"])
    keys.add(HASHES[3], "read")
    world.crash()

    assert [keys.find(hashed) is not None for hashed in HASHES[:4]] == [False, True, True, True]


@pytest.mark.parametrize(
    "arguments",
    [
        ("secret", "read"),
        (HASHES[0].upper().replace("0", "G"), "read"),
        (HASHES[0], "server"),
        (HASHES[0], "read", "x" * 201),
        (HASHES[0], "read", "", "tomorrow"),
        (7, "read"),
    ],
)
def test_what_is_no_key_is_refused(keys: Any, arguments: tuple[Any, ...]) -> None:
    with pytest.raises(RaydoError):
        keys.add(*arguments)


def test_no_query_sees_keys(world: World, keys: Any) -> None:
    keys.add(HASHES[7], "read")
    acme = world.stub(Analytics, "acme")

    for table in ("_raydo_meta", "main._raydo_meta"):
        with pytest.raises(RaydoError):
            world.wait(acme.query(f"SELECT * FROM {table}"))
