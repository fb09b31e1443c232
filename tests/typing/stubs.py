"""What type checkers know about stubs, objects and promises. Checked by tests/test_typing.py."""

from __future__ import annotations

from typing import Any, assert_type

import raydo
from raydo import Analytics, DurableObject, Exposed, Promise, Stub, call, cast


class Part:
    @call
    def size(self, of: str) -> int:
        return len(of)


class Cart(DurableObject):
    part = Exposed(Part)

    def on_start(self) -> None:
        self.part = Part()

    @cast
    def add(self, item: str, amount: int = 1) -> str:
        assert_type(self.count(item), int)
        assert_type(self.part.size(item), int)
        return item

    @call(js="countItems", alias=("how_many",))
    def count(self, item: str) -> int:
        return len(item)

    @call
    def lines(self) -> list[dict[str, float]]:
        return []


def price(line: Promise[dict[str, float]]) -> Promise[float]:
    return line["price"]


cart = Cart("acme")
assert_type(cart, Stub[Cart])
assert_type(cart.noun.id, str)
assert_type(cart.add("pen", amount=2), Promise[str])
assert_type(cart.count("pen"), Promise[int])
assert_type(cart.part.size("x"), Promise[int])
assert_type(cart.lines()[0], Promise[dict[str, float]])
assert_type(cart.lines()[0]["price"], Promise[float])
assert_type(cart.lines().map(price), Promise[list[float]])  # of a lambda mypy knows only Any
assert_type(cart.lines().then(len), Promise[int])
assert_type(cart.lines()[0].price, Promise[Any])

assert_type(Analytics("acme"), Stub[Analytics])


async def awaited() -> None:
    assert_type(await cart.count("pen"), int)
    assert_type(await cart.add("pen"), str)
    assert_type(await cart.lines()[0]["price"], float)
    assert_type(await raydo.gather(cart.count("x"), cart.add("y")), tuple[int, str])
    async with raydo.connect(data="./data") as connection:
        assert_type(connection.stub(Cart, "acme"), Stub[Cart])
        assert_type(await connection.stub(Cart, "acme").count("x"), int)
        await connection.flush()


def waited() -> None:
    with raydo.connect("http://127.0.0.1:8000"):
        assert_type(raydo.wait(cart.count("pen"), timeout_s=3), int)
        assert_type(raydo.wait(raydo.gather(cart.count("x"))), tuple[int])


# What must not pass: an unused ignore is an error, so each line proves one.
cart.count(7)  # type: ignore[arg-type]
cart.count()  # type: ignore[call-arg]
cart.sum_up()  # type: ignore[attr-defined]
cart.count("pen") + 1  # type: ignore[operator]
for _ in cart.lines():  # type: ignore[attr-defined]
    pass
Cart(7)  # type: ignore[arg-type]
