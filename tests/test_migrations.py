"""An object's migrations: once for each tenant, in order, all or none."""

from __future__ import annotations

from typing import Any

import pytest

from raydo import DurableObject, call, migration
from raydo.actors.migrations import declared
from raydo.pipelining.errors import BadDeclaration, ObjectFailed
from raydo.pipelining.method import forget


class Till(DurableObject):
    """A class whose migrations a test declares, as one release after the other would."""

    @migration("1 items")
    def items(self) -> None:
        self.sql("CREATE TABLE items (name TEXT, price INTEGER)")

    def on_start(self) -> None:
        self.sql("CREATE INDEX IF NOT EXISTS by_name ON items (name)")

    @call
    def add(self, name: str, price: int) -> None:
        self.sql("INSERT INTO items (name, price) VALUES (?, ?)", name, price)

    @call
    def prices(self) -> list[int]:
        return [row["price"] for row in self.sql("SELECT price FROM items ORDER BY rowid")]


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Add a migration to the class, as a new release of the program does."""

    def add(name: str, run: Any) -> None:
        monkeypatch.setattr(
            Till, f"release_{len(declared(Till))}", migration(name)(run), raising=False
        )
        forget(Till)

    return add


def cents(self: DurableObject) -> None:
    self.sql("UPDATE items SET price = price * 100")


def test_a_migration_runs_once_for_each_tenant_whatever_happens_between(
    live: Any, release: Any
) -> None:
    till, other = live(Till), live(Till, "globex")
    till.call("add", "pen", 2)
    other.call("add", "cup", 5)
    till.sleep()
    release("2 cents", cents)
    assert till.call("prices") == [200]
    for restart in (till.crash, till.sleep, till.crash):
        restart()
        assert till.call("prices") == [200]
    other.crash()
    assert other.call("prices") == [500]


def test_one_that_raises_leaves_the_old_data_and_says_so_until_it_works(
    live: Any, release: Any
) -> None:
    till = live(Till)
    till.call("add", "pen", 2)
    till.sleep()
    broken = [True]

    def second(self: DurableObject) -> None:
        self.sql("UPDATE items SET price = 0")
        self.counters.incr("migrated")
        if broken:
            raise ValueError("no rate for EUR")

    release("2 cents", cents)
    release("3 second", second)
    for _ in range(2):
        with pytest.raises(
            ObjectFailed, match=r"migration '3 second': ValueError: no rate for EUR"
        ):
            till.call("prices")
        till.crash()
        till.n = 1
    broken.clear()
    assert till.call("prices") == [0]


def test_a_new_tenant_has_them_all_in_order(live: Any, release: Any) -> None:
    release("2 cents", cents)
    till = live(Till)
    assert till.call("prices") == []
    till.call("add", "pen", 2)
    till.crash()
    assert till.call("prices") == [2]


def test_a_name_stands_for_one_migration() -> None:
    class Twice(DurableObject):
        @migration("1")
        def one(self) -> None: ...

        @migration("1")
        def other(self) -> None: ...

    with pytest.raises(BadDeclaration, match="two migrations named '1'"):
        declared(Twice)
    with pytest.raises(BadDeclaration):
        migration("")
