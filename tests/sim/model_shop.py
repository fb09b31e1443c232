"""What `sim.shop.SimShop` should hold and say, computed in the same way."""

from __future__ import annotations

from typing import Any, Final

from sim.model_object import MADE_ID, AnalyticsModel, compact, rows_from
from sim.values import CallFailed, Event, Made, Timer

ITEMS_MAX: Final = 60  # of one sku


class ShopModel(AnalyticsModel):
    """What SimShop remembers beside what Analytics does."""

    def __init__(self) -> None:
        super().__init__()
        self.items: dict[str, int] = {}
        self.notes: list[str] = []

    def handler(self, method: str) -> str:
        return f"SimShop.{method}"

    def on_start(self) -> None:
        super().on_start()
        self.register("roll", "every hour")
        self.register("tidy", "every day at 03:00")

    def run_handler(self, method: str) -> None:
        super().run_handler(method)
        if method == "roll":
            self.counters.incr("n:rolled", 1, self.now)
        elif method == "tidy":
            self.items = {sku: count for sku, count in self.items.items() if count <= 40}
        elif method in ("nudge", "remind"):
            self._emit_own(Made(), method, {"n": len(self.notes)})
            self.counters.incr(f"n:{method}", 1, self.now)

    # Calls with effects

    def do_add(self, sku: str, count: int) -> Any:
        before = self.items.get(sku, 0)
        if before + count > ITEMS_MAX:
            raise CallFailed("object_failed")
        event = self._emit_own(Made(), "Added", {"sku": sku, "count": count})
        self.items[sku] = before + count
        return [event.id, self.counters.incr(f"n:{sku}", count, self.now)]

    def do_remove(self, sku: str) -> int:
        if sku not in self.items:
            return 0
        self.effect()
        del self.items[sku]
        return 1

    def do_note(self, text: str) -> int:
        self.effect()
        self.notes.append(text)
        return len(self.notes)

    def do_count(self, key: str, by: int, ttl: int | None = None, mode: str | None = None) -> int:
        self.effect()
        return self.counters.incr(key, by, self.now, ttl=ttl, mode=mode or "sliding")

    def do_forget(self, key: str) -> bool:
        if not self.counters.alive(key, self.now):
            return False
        self.effect()
        return self.counters.delete(key, self.now)

    def do_emit(self, name: str, properties: dict[str, Any], message_id: str) -> str:
        self._emit_own(message_id, name, properties)
        return message_id

    def do_plan(self, minutes: int) -> None:
        name, spec = self.handler("nudge"), f"every {minutes} minutes"
        known = self.timers.get(name)
        if known is None or (known.spec, known.zone) != (spec, self.zone):
            self.effect()
            self.register("nudge", spec)

    def do_remind_in(self, seconds: int) -> int:
        name, at = self.handler("remind"), self.now + seconds * 1000
        known = self.timers.get(name)
        if known is None or known.next_at != at:
            self.effect()
            self.timers[name] = Timer(name, "once", "UTC", at)
        return at

    def do_fail(self, what: str) -> None:
        raise CallFailed("object_failed")

    def do_big(self, size: int) -> str:
        self.effect()
        self.counters.incr("n:big", 1, self.now)
        return "x" * size

    def _emit_own(self, given: str | Made, name: str, properties: dict[str, Any]) -> Event:
        flags, text = MADE_ID if isinstance(given, Made) else 0, compact(properties)
        event = Event(given, name, None, None, self.now, self.now, text, None, flags)
        self.emit([event], "shop")
        return event

    # Reads

    def do_items(self) -> Any:
        return sorted([sku, count] for sku, count in self.items.items())

    def do_emitted(self) -> Any:
        return [[event.seq, event.id] for event in self.events if event.stream == "shop"]

    def do_census(self, first_seq: int) -> Any:
        columns, rows = rows_from(self, first_seq)
        return {
            "zone": self.zone,
            "counters": sorted([key, value] for key, value in self.counters.items("", self.now)),
            "items": self.do_items(),
            "notes": list(self.notes),
            "timers": [self.timers[name] for name in sorted(self.timers)],
            "rows": [dict(zip(columns, row, strict=True)) for row in rows],
        }
