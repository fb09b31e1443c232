"""What callers send: frames drawn at random, as the model reads them and as raydo does."""

from __future__ import annotations

from random import Random
from typing import Any

import msgpack
from sim.model_object import BY_NAME, BY_PERSON, COUNT, DAYS, HOURS
from sim.values import Call, Frame

from raydo.pipelining import frame as wire
from raydo.pipelining.program import CALL, GET

SECOND_MS, DAY_MS = 1_000, 86_400_000
NAMES = ("PageView", "PageView", "$pageview", "Signup", "Purchase", "Login")
USERS = ("ann", "bob", "cem", "dee", "eve", "fay")
SKUS = ("pen", "cup", "hat")
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata")
COUNTS = (
    ("n:clicks", None, None),
    ("s:tries", 60, "sliding"),
    ("s:visits", 3_600, None),
    ("f:trial", 300, "fixed"),
    ("f:month", 2_592_000, "fixed"),
    ("w:rate", 60, "window"),
)
AGO_S = (0, 1, 30, 59, 60, 600, 1_799, 1_801, 7_200, 86_400, 3_456_000, -3_600, -82_800, -90_000)


class Traffic:
    """Draw calls for one class of object."""

    def __init__(self, random: Random, cls: str) -> None:
        self.random = random
        self.now = 0  # of the next frame
        self.ids: list[str] = []  # message ids that were sent before
        self._is_shop = cls == "SimShop"
        # What needs no SQL goes to the log; one call that does takes its whole turn to SQLite.
        self._logged = [*([self.track] * 4), *([self.ingest] * 2), self.stats, self.active]
        self._logged += [self.counter, self.wrong]
        self._by_sql = [self.dau, self.query]
        self._rare = [self.zone, self.alias]
        if self._is_shop:
            self._logged += [self.count, self.count, self.count, self.fail_early, self.emit]
            self._by_sql += [self.add, self.add, self.fail, self.remove, self.own]
            self._rare += [self.note, self.plan, self.plan, self.remind, self.big, self.forget]

    def calls(self, *, sql: bool) -> tuple[Call, ...]:
        """Draw the calls of one frame, some of which use SQL if that is wanted."""
        if self.random.random() < 0.02:
            return (self.random.choice(self._rare)(),)
        pool = self._logged + self._by_sql if sql else self._logged
        how_many = self.random.choice((1, 1, 1, 2, 2, 4))
        return tuple(self.random.choice(pool)() for _ in range(how_many))

    def sure(self) -> tuple[Call, ...]:
        """Draw calls of which one has an effect that anybody can see."""
        return (Call("track", ("Sure", {"n": 1})), *self.calls(sql=self.random.random() < 0.3))

    def past_the_log(self) -> tuple[Call, ...]:
        """Have an effect in a turn that uses SQL."""
        return (Call("track", ("Sure", {"n": 2})), Call("dau", (1,)))

    def large(self) -> tuple[Call, ...]:
        """Fill more than a segment."""
        return (Call("track", ("Large", {"pad": "x" * 17_000})),)

    def duplicates(self) -> tuple[Call, ...]:
        """Send every known message id once more."""
        return tuple(
            Call("ingest", ([self._item(known) for known in self.ids[start : start + 40]],))
            for start in range(0, len(self.ids), 40)
        )

    # Events

    def track(self) -> Call:
        properties: dict[str, Any] = {"page": "/pricing", "n": self.random.randrange(9)}
        more = self._about()
        if self.random.random() < 0.2:
            properties["userId"] = self.random.choice(USERS)
        if self.random.random() < 0.1:
            properties["is_bot"] = True
        name, wanted = self.random.choice(NAMES), self.random.random() < 0.4
        if self.random.random() < 0.3:
            return Call("track", ({"event": name, "properties": properties} | more,), {}, wanted)
        return Call("track", (name, properties), more, wanted)

    def alias(self) -> Call:
        """Say that two ids are one; seldom, for in the end all are."""
        users = [self.random.choice((*USERS, *map("alias-{}".format, range(9)))) for _ in "ab"]
        return Call("track", ("$alias", {"previousId": users[0]}), {"userId": users[1]})

    def ingest(self) -> Call:
        count = self.random.choice((1, 1, 2, 4))
        items = [self._item(self._message_id(0.7)) for _ in range(count)]
        if self.random.random() < 0.05:
            items.append(b'{"properties":{"n": 1}}')
        return Call("ingest", (items,), {}, True)

    def emit(self) -> Call:
        message_id = self._message_id(1.0)
        return Call("emit", ("Emitted", {"n": 2}, message_id), {}, self.random.random() < 0.5)

    def _item(self, message_id: str | None) -> bytes:
        about = self._about()
        about["messageId"] = message_id
        fields = [f'"event":"{self.random.choice(NAMES)}"']
        for key, value in about.items():
            if value is not None:
                fields.append(
                    f'"{key}":{value if type(value) is int else f"{chr(34)}{value}{chr(34)}"}'
                )
        fields.append(f'"properties":{{"n": {self.random.randrange(9)},  "raw": true}}')
        return f"{{{', '.join(fields)}}}".encode()

    def _about(self) -> dict[str, Any]:
        about: dict[str, Any] = {}
        if self.random.random() < 0.7:
            about["userId"] = self.random.choice(USERS)
        if self.random.random() < (0.1 if about else 0.5):
            about["anonymousId"] = f"anon-{self.random.randrange(40)}"
        if self.random.random() < 0.4:
            about["timestamp"] = self.now - self.random.choice(AGO_S) * SECOND_MS
        if (message_id := self._message_id(0.4)) is not None:
            about["messageId"] = message_id
        return about

    def _message_id(self, chance: float) -> str | None:
        if self.random.random() >= chance:
            return None
        if self.ids and self.random.random() < 0.3:
            return self.random.choice(self.ids[-8:] if self.random.random() < 0.5 else self.ids)
        self.ids.append(f"m{len(self.ids)}")
        return self.ids[-1]

    # Reads

    def stats(self) -> Call:
        return Call("stats")

    def active(self) -> Call:
        return Call("active_users", (self.random.choice((1, 60, 300, 1_800)),))

    def dau(self) -> Call:
        days, zone = self.random.choice((1, 3, 7)), self.random.choice((None, None, *ZONES))
        return Call("dau", (days,), {} if zone is None else {"tz": zone})

    def query(self) -> Call:
        return Call("query", (self.random.choice((COUNT, HOURS, DAYS, BY_NAME, BY_PERSON)),))

    def counter(self) -> Call:
        keys = ("event:Signup", "event:PageView", "pageviews_1m", "active:ann", "n:failed")
        return Call("counters.get", (self.random.choice(keys),))

    def wrong(self) -> Call:
        return Call("dau", (0,), {}, self.random.random() < 0.5)

    def own(self) -> Call:
        return Call(self.random.choice(("items", "emitted")))

    # SimShop's own

    def count(self) -> Call:
        key, ttl, mode = self.random.choice(COUNTS)
        return Call("count", (key, self.random.randrange(1, 9), ttl, mode))

    def add(self) -> Call:
        args = (self.random.choice(SKUS), self.random.choice((1, 2, 3, 25)))
        return Call("add", args, {}, self.random.random() < 0.5)

    def remove(self) -> Call:
        return Call("remove", (self.random.choice(SKUS),))

    def fail(self) -> Call:
        return self._fail(self.random.choice(("sql", "sql", "sql", "all")))

    def fail_early(self) -> Call:
        return self._fail("log")

    def _fail(self, what: str) -> Call:
        if (known := f"failed-{what}") not in self.ids:
            self.ids.append(known)  # it must count as new when somebody sends it later
        return Call("fail", (what,), {}, self.random.random() < 0.5)

    def note(self) -> Call:
        return Call("note", (f"note {self.random.randrange(99)}",))

    def plan(self) -> Call:
        return Call("plan", (self.random.choice((15, 30)),))

    def remind(self) -> Call:
        return Call("remind_in", (self.random.choice((30, 600, 86_400)),))

    def zone(self) -> Call:
        zone = self.random.choice(ZONES[1:])
        return Call("set_settings", (), {"zone": zone})  # anybody can see that it was set

    def big(self) -> Call:
        return Call("big", (17_000,))

    def forget(self) -> Call:
        return Call("forget", (self.random.choice(COUNTS)[0],))


def entry(frame: Frame) -> wire.Entry:
    """Turn a frame into what raydo is sent."""
    return wire.Entry(frame.session, frame.n, frame.acked, program(frame.calls))


def program(calls: tuple[Call, ...]) -> bytes:
    ops: list[Any] = [[GET, wire.ROOT, "counters"]] * in_front(calls)
    outputs = []
    for call in calls:
        owner, _, name = call.name.rpartition(".")
        if call.wanted:
            outputs.append(len(ops))
        ops.append([CALL, 0 if owner else wire.ROOT, name, call.args, call.kwargs])
    return msgpack.packb([ops, outputs])


def in_front(calls: tuple[Call, ...]) -> int:
    """Count the instructions in front of a program's calls."""
    return int(any(call.name.startswith("counters.") for call in calls))
