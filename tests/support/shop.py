"""The durable object that the pipelining tests call."""

from __future__ import annotations

import sys
from typing import Any

from raydo.pipelining.method import Exposed, call, cast
from raydo.pipelining.stub import Remote


class Tally:
    """A part of the shop that callers may step into."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    @call
    def get(self, key: str) -> int:
        return self.counts.get(key, 0)

    @cast
    def add(self, key: str, by: int = 1) -> None:
        self.counts[key] = self.counts.get(key, 0) + by

    def secret(self) -> str:
        return "not for callers"


class Bench(Remote, register=False):
    """A base that may have an `__init__`, which a user's class may not."""

    tally = Exposed(Tally)

    def __init__(self) -> None:
        self.tally = Tally()
        self.ordered: list[str] = []
        self.days_runs = 0


class Shop(Bench):
    """Orders in a list, and something to read."""

    @cast
    def order(self, item: str, amount: int = 1) -> str:
        if amount < 1:
            raise ValueError("an order has at least one item")
        self.ordered.append(item)
        return f"order-{len(self.ordered)}"

    @call(js="listOrders", alias=("orders",))
    def list_orders(self) -> list[str]:
        return list(self.ordered)

    @call
    def days(self, count: int = 7) -> list[dict[str, Any]]:
        self.days_runs += 1
        return [{"date": f"2026-01-{day + 1:02}", "dau": day} for day in range(count)]

    @call
    def runs(self) -> int:
        return self.days_runs

    @call
    def echo(self, *values: Any, **named: Any) -> Any:
        return [*values, named] if named else list(values)

    @call
    def price(self, item: str) -> int:
        return len(item)

    @call
    def nothing(self) -> None:
        return None

    @call
    def broken(self) -> int:
        raise KeyError("shelf")

    @call
    def leave(self) -> None:
        sys.exit(3)

    @call
    def unsendable(self) -> object:
        return object()

    def hidden(self) -> str:
        return "not for callers"
