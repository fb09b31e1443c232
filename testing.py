"""The pytest plugin of raydo: a `world` in which durable objects live for one test.

    def test_a_cart_counts(world):
        cart = world.stub(Cart, "acme")
        assert world.wait(cart.add("pen", 2)) == 2

        world.crash()
        assert world.wait(cart.count("pen")) == 2

It is on as soon as raydo is installed; nothing is loaded until a test asks for the fixture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from raydo.actors.world import World


def __getattr__(name: str) -> Any:
    """Load `World` when a test names it, and not with every run of pytest."""
    if name != "World":
        raise AttributeError(f"raydo.testing has no {name!r}.")
    from raydo.actors.world import World

    return World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Give objects a folder of their own, a clock that the test moves, and no Ray."""
    from raydo.actors.world import World

    with World(tmp_path / "raydo") as world:
        yield world
