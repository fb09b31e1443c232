"""The simulation's own durable object: an Analytics with tables, notes, counters and timers."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from sim.model_object import ROWS

from raydo.actors.analytics import Analytics
from raydo.pipelining.method import call, cast


class SimShop(Analytics):
    """Uses everything that a durable object has."""

    def on_start(self) -> None:
        super().on_start()
        self.sql(
            "CREATE TABLE IF NOT EXISTS items"
            " (sku TEXT PRIMARY KEY, count INTEGER NOT NULL CHECK (count <= 60))"
        )
        self.every.hour(self.roll)
        self.every.day.at("3am")(self.tidy)

    def roll(self) -> None:
        self.counters.incr("n:rolled")

    def tidy(self) -> None:
        self.sql("DELETE FROM items WHERE count > 40")

    def nudge(self) -> None:
        self._tell("nudge")

    def remind(self) -> None:
        self._tell("remind")

    def _tell(self, name: str) -> None:
        self.pipeline.emit(name, "shop", {"n": len(self._notes())})
        self.counters.incr(f"n:{name}")

    def _notes(self) -> list[str]:
        tables = self.sql("SELECT name FROM sqlite_schema WHERE type = 'table' AND name = 'notes'")
        notes = self.sql("SELECT text FROM notes ORDER BY rowid") if tables else []
        return [row["text"] for row in notes]

    @cast
    def add(self, sku: str, count: int) -> list[Any]:
        """Emit first: when the table refuses, the event must go as well."""
        event = self.pipeline.emit("Added", "shop", {"sku": sku, "count": count})
        total = self.counters.incr(f"n:{sku}", count)
        self.sql(
            "INSERT INTO items VALUES (?, ?)"
            " ON CONFLICT DO UPDATE SET count = count + excluded.count",
            sku,
            count,
        )
        return [event, total]

    @call
    def remove(self, sku: str) -> int:
        return len(self.sql("DELETE FROM items WHERE sku = ? RETURNING sku", sku))

    @cast
    def note(self, text: str) -> int:
        self.db["notes"].insert({"text": text})
        return int(self.db["notes"].count)

    @call
    def count(self, key: str, by: int, ttl: int | None = None, mode: Any = None) -> int:
        return int(self.counters.incr(key, by, ttl=ttl, mode=mode))

    @call
    def forget(self, key: str) -> bool:
        return self.counters.delete(key)

    @cast
    def emit(self, name: str, properties: dict[str, Any], message_id: str) -> str:
        whole = {"event": name, "properties": properties, "messageId": message_id}
        return self.pipeline.emit("event", "shop", whole)

    @cast
    def plan(self, minutes: int) -> None:
        self.every(minutes).minutes(self.nudge)

    @call
    def remind_in(self, seconds: int) -> int:
        return self.alarms.set(timedelta(seconds=seconds), self.remind)

    @call
    def fail(self, what: str) -> None:
        """Do something of everything, and then raise: nothing of it may stay."""
        about = {"userId": "mallory", "anonymousId": "anon-0", "messageId": f"failed-{what}"}
        self.track("Failed", {"what": what}, **about)
        self.counters.incr("n:failed")
        if what != "log":
            self.sql("INSERT INTO items VALUES (?, 1)", f"failed-{what}")
            self.every(15).minutes(self.big)
        if what == "all":
            self.zone = "Asia/Tokyo"
            self.db["failures"].insert({"what": what})
        raise ValueError(what)

    @call
    def big(self, size: int) -> str:
        self.counters.incr("n:big")
        return "x" * size

    @call
    def items(self) -> list[Any]:
        return [list(row.values()) for row in self.sql("SELECT * FROM items ORDER BY sku")]

    @call
    def emitted(self) -> list[Any]:
        rows = self.sql("SELECT seq, id FROM raw_events WHERE stream = 'shop' ORDER BY seq")
        return [list(row.values()) for row in rows]

    @call
    def census(self, first_seq: int) -> dict[str, Any]:
        """Tell all that there is, and the events from one seq on."""
        return {
            "zone": self.zone,
            "counters": sorted([list(item) for item in self.counters.items()]),
            "items": self.items(),
            "notes": self._notes(),
            "timers": [list(timer) for timer in self.alarms.timers()],
            "rows": self.sql(ROWS, first_seq),
        }
