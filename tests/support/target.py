"""The gateway's own objects that the Cap'n Web tests call: the root, and what it hands out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from support.shop import Shop

from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.stub import Answer, ClientStub
from raydo.pipelining.capnweb.targets import Remote, Target, remote
from raydo.pipelining.capnweb.values import UNDEFINED, PeerError
from raydo.pipelining.method import call
from raydo.pipelining.noun import noun


class Counter(Local):
    def __init__(self, value: int = 0) -> None:
        self.value = value
        self.disposed = 0

    @call
    def increment(self, by: int = 1) -> int:
        self.value += by
        return self.value

    def dispose(self) -> None:
        self.disposed += 1


class Targets(Local):
    """Methods of every kind, under the names that the official client's own tests use."""

    def __init__(self) -> None:
        self.counters: list[Counter] = []
        self.kept: list[ClientStub] = []
        self.broken: list[Exception] = []

    def find(self, name: str) -> Callable[..., Any] | None:
        return open_shop if name == "Shop" else super().find(name)

    def fixed(self, name: str, args: list[Any]) -> Target | None:
        return open_shop(*args) if name == "Shop" else None

    @call
    def square(self, number: int) -> int:
        return number * number

    @call(js="callFunction")
    def call_function(self, func: ClientStub, number: int) -> dict[str, Answer]:
        return {"result": func(number)}

    @call(js="callSquare")
    def call_square(self, target: ClientStub, number: int) -> dict[str, Answer]:
        return {"result": target.call("square", number)}

    @call(js="throwError")
    def throw_error(self) -> None:
        raise PeerError("RangeError", "test error")

    @call
    def fail(self) -> None:
        raise LookupError("an inner detail")

    @call(js="makeCounter")
    def make_counter(self, value: int = 0) -> Counter:
        self.counters.append(Counter(value))
        return self.counters[-1]

    @call(js="makeCounters")
    def make_counters(self, count: int) -> list[dict[str, Counter]]:
        return [{"counter": self.make_counter(value)} for value in range(count)]

    @call(js="incrementCounter")
    def increment_counter(self, counter: Counter, by: int = 1) -> int:
        return counter.increment(by)

    @call(js="generateFibonacci")
    def generate_fibonacci(self, length: int) -> list[int]:
        numbers = [0, 1]
        while len(numbers) < length:
            numbers.append(numbers[-1] + numbers[-2])
        return numbers[:length]

    @call(js="returnNull")
    def return_null(self) -> None:
        return None

    @call(js="returnUndefined")
    def return_undefined(self) -> Any:
        return UNDEFINED

    @call
    def echo(self, value: Any) -> Any:
        return value

    @call(js="echoLater")
    def echo_later(self, value: Any) -> Awaitable[Any]:
        async def later() -> Any:
            return value

        return later()

    @call(js="twiceLater")
    def twice_later(self, func: ClientStub, number: int) -> Awaitable[int]:
        async def later() -> int:
            first: int = await func(number)
            second: int = await func(first)
            return second

        return later()

    @call
    def keep(self, func: ClientStub) -> None:
        func.on_broken(self.broken.append)
        self.kept.append(func)

    @call
    def forget(self) -> None:
        self.kept.clear()

    @call(js="tellKept")
    def tell_kept(self, value: Any) -> list[Answer]:
        return [func(value) for func in self.kept]


def open_shop(tenant: Any = None) -> Remote:
    return remote(noun(Shop.__name__, tenant))
