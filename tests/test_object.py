from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from raydo.actors.object import DurableObject
from raydo.pipelining.errors import InvalidArgument, ObjectFailed, QueryForbidden, UnknownMethod
from raydo.pipelining.method import call, cast


class Cart(DurableObject):
    def on_start(self) -> None:
        self.items = self.db["items"]  # kept over calls, as sqlite-utils' users do
        if not self.items.exists():
            self.items.create({"sku": str, "count": int}, pk="sku")
        self.every(15).minutes(self.remind)
        self.counters.define("kinds", self.kinds)

    def kinds(self) -> int:
        return self.items.count

    @call(js="addItem", alias=("put",))
    def add(self, sku: str, count: int = 1) -> int:
        self.items.upsert({"sku": sku, "count": count}, pk="sku")
        self.pipeline.emit("ItemAdded", "cart", {"sku": sku, "userId": self.tenant})
        return int(self.counters.incr(f"added:{sku}", count))

    @cast
    def empty(self) -> None:
        self.items.delete_where()

    @call
    def add_all_or_none(self, skus: list[str]) -> None:
        with self.db.atomic():
            for sku in skus:
                self.items.insert({"sku": sku, "count": 1})

    @call
    def contents(self) -> dict[str, int]:
        return {row["sku"]: row["count"] for row in self.sql("SELECT * FROM items ORDER BY sku")}

    @call
    def who(self) -> list[Any]:
        return [self.tenant, self.now_ms, self.zone]

    @call
    def added(self) -> list[str]:
        return [row["user_id"] for row in self.sql("SELECT user_id FROM events")]

    @call
    def move(self, zone: str) -> None:
        self.zone = zone

    @call
    def timers(self) -> list[list[Any]]:
        return [list(timer[:4]) for timer in self.alarms.timers()]

    @call
    def peek(self) -> None:
        self.sql("SELECT * FROM _raydo_sessions")

    @call
    def remind(self) -> None:
        """Send a reminder."""


def test_an_object_finds_its_tenant_time_and_zone(live: Any) -> None:
    cart = live(Cart, "acme/eu")
    assert cart.call("who") == ["acme/eu", cart.clock.now_ms(), "UTC"]


def test_tables_events_and_counters_are_one_transaction_and_survive(live: Any) -> None:
    cart = live(Cart)
    assert cart.call("add", "pen", 2) == 2
    assert cart.call("put", "ink") == 1
    assert cart.call("addItem", "pen", count=3) == 5
    for _ in range(2):
        assert cart.call("contents") == {"pen": 3, "ink": 1}
        assert cart.call("added") == ["acme"] * 3
        cart.crash()


def test_a_table_object_kept_from_on_start_works_inside_later_calls(live: Any) -> None:
    cart = live(Cart)
    cart.call("add", "pen")
    with pytest.raises(ObjectFailed, match="IntegrityError"):
        cart.call("add_all_or_none", ["ink", "cap", "pen"])
    assert cart.call("contents") == {"pen": 1}
    cart.call("empty")
    cart.crash()
    assert cart.call("contents") == {}


def test_callers_reach_declared_methods_and_counters_only(live: Any) -> None:
    cart = live(Cart)
    cart.call("add", "pen", 4)
    for name in ("kinds", "sql", "on_start", "_register", "__class__", "db"):
        with pytest.raises(UnknownMethod):
            cart.call(name)


def test_what_is_raydos_own_is_refused_with_a_reason(live: Any) -> None:
    cart = live(Cart)
    with pytest.raises(QueryForbidden, match="raydo's own"):
        cart.call("peek")


def test_timers_keep_their_time_over_restarts_and_follow_the_zone(live: Any) -> None:
    cart = live(Cart)
    cart.call("add", "pen")
    first_ms = cart.clock.now_ms() + 15 * 60_000
    assert cart.call("timers") == [["Cart.remind", "every 15 minutes", "UTC", first_ms]]

    cart.clock.advance(minutes=10)
    cart.crash()
    assert cart.call("timers") == [["Cart.remind", "every 15 minutes", "UTC", first_ms]]

    cart.call("move", "Asia/Kolkata")
    cart.crash()
    assert cart.call("timers") == [["Cart.remind", "every 15 minutes", "Asia/Kolkata", first_ms]]
    assert cart.call("who")[2] == "Asia/Kolkata"
    with pytest.raises(InvalidArgument, match="no IANA time zone"):
        cart.call("move", "Mars/Olympus")


def test_a_client_imports_objects_without_the_servers_libraries() -> None:
    heavy = ["msgspec", "sqlite_utils", "pyarrow", "ray", "fastapi", "starlette"]
    script = f"""
import sys
for name in {heavy}:
    sys.modules[name] = None  # an import of it fails
from raydo.actors.analytics import Analytics
from raydo.actors.object import DurableObject
assert "sqlite3" not in sys.modules, "SQLite is the server's"
Analytics("acme")
"""
    subprocess.run([sys.executable, "-c", script], check=True)
