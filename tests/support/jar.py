"""A user's own durable object, in a module that hosts import."""

from __future__ import annotations

from raydo.actors.object import DurableObject
from raydo.pipelining.method import call, cast


class Jar(DurableObject):
    """Keep sweets, and say which process keeps them."""

    def on_start(self) -> None:
        self.sql("CREATE TABLE IF NOT EXISTS sweets (name TEXT)")

    @cast
    def put(self, name: str) -> None:
        self.sql("INSERT INTO sweets VALUES (?)", name)

    @call
    def names(self) -> list[str]:
        return [row["name"] for row in self.sql("SELECT name FROM sweets ORDER BY rowid")]

    @call
    def spill(self) -> None:
        self.sql("DELETE FROM sweets")
        raise ValueError("all over the floor")
