from __future__ import annotations

from copy import deepcopy
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from support.counted import taken

from raydo.actors.counters import Counters

T0 = 1_767_225_600_123
KEYS = st.sampled_from(["a", "p:1", "p:2", "p:3", "q:1", "q:r:1"])
LENGTHS = st.sampled_from([0.5, 1, 3, 10, 60])


class Modelled(RuleBasedStateMachine):
    """Counters, the same after a restart at each step, and a model that remembers every hit."""

    @initialize()
    def start(self) -> None:
        self.counters = Counters(T0)
        self.disk: dict[str, bytes] = {}
        self.model: dict[str, dict[str, Any]] = {}
        self.saved: tuple[int, dict[str, dict[str, Any]]] | None = None

    @rule(key=KEYS, by=st.integers(1, 5), ttl=LENGTHS, ago=st.integers(0, 5_000))
    def incr_sliding(self, key: str, by: int, ttl: float, ago: int) -> None:
        key, now = f"s{key}", self.counters.now_ms
        value = self.counters.incr(key, by, ttl=ttl, at_ms=now - ago)
        known = self.living(key)
        if now - ago + ttl * 1000 > now:
            known = known or {"value": 0, "last": 0}
            last = max(known["last"], now - ago)
            self.model[key] = {
                "value": known["value"] + by,
                "last": last,
                "expires": last + ttl * 1000,
            }
        assert value == self.value(key)

    @rule(key=KEYS, by=st.integers(1, 5), ttl=LENGTHS)
    def incr_fixed(self, key: str, by: int, ttl: float) -> None:
        key, now = f"f{key}", self.counters.now_ms
        value = self.counters.incr(key, by, ttl=ttl, mode="fixed")
        known = self.living(key) or {"value": 0, "expires": now + ttl * 1000}
        self.model[key] = known | {"value": known["value"] + by, "last": now}
        assert value == self.value(key)

    @rule(key=KEYS, by=st.integers(1, 5), ago=st.integers(0, 11_000))
    def incr_window(self, key: str, by: int, ago: int) -> None:
        key, now = f"w{key}", self.counters.now_ms
        self.counters.incr(key, by, ttl=10, mode="window", at_ms=now - ago)
        known = self.living(key) or {"hits": [], "last": 0}
        if ago < 10_000:
            last = max(known["last"], now - ago)
            hits = [*known["hits"], (now - ago, by)]
            self.model[key] = {"hits": hits, "last": last, "expires": last + 10_000}

    @rule(key=KEYS, by=st.integers(-5, 5))
    def incr_plain(self, key: str, by: int) -> None:
        known = self.model.get(f"n{key}", {"value": 0})
        self.model[f"n{key}"] = {"value": known["value"] + by}
        assert self.counters.incr(f"n{key}", by) == known["value"] + by

    @rule(key=KEYS, kind=st.sampled_from("sfwn"))
    def delete(self, key: str, kind: str) -> None:
        assert self.counters.delete(kind + key) == (self.living(kind + key) is not None)
        self.model.pop(kind + key, None)

    @rule(ms=st.sampled_from([1, 7, 166, 500, 999, 1_000, 3_000, 9_999, 60_000]))
    def pass_time(self, ms: int) -> None:
        self.settle()
        self.counters.now_ms += ms

    @rule()
    def settle(self) -> None:
        for key, row in taken(self.counters):
            if row is None:
                self.disk.pop(key, None)
            else:
                self.disk[key] = row
        self.saved = None

    @rule()
    def mark(self) -> None:
        self.saved = self.counters.mark(), dict(self.model)

    @rule()
    def roll_back(self) -> None:
        if self.saved:
            self.counters.rollback(self.saved[0])
            self.model = self.saved[1]
            self.saved = None

    @rule()
    def persist(self) -> None:
        self.settle()
        for later in (0, 1, 500, 2_001, 9_000, 60_000):  # equal at any later time
            twin = self.restarted()
            twin.now_ms = self.counters.now_ms + later
            alike = deepcopy(self.counters)
            alike.now_ms = twin.now_ms
            assert sorted(twin.items()) == sorted(alike.items())
            for within in (None, 1, 7.5):
                assert twin.count("*", within) == alike.count("*", within)

    @rule()
    def restart(self) -> None:
        self.persist()
        self.counters = self.restarted()

    def restarted(self) -> Counters:
        twin = Counters(self.counters.now_ms)
        twin.load(self.disk.items())
        return twin

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "counters"):
            return
        now = self.counters.now_ms
        live = {key: known for key, known in self.model.items() if self.living(key)}
        assert {key for key, _ in self.counters.items()} == set(live)
        for key, known in live.items():
            if "hits" in known:
                late = sum(by for at, by in known["hits"] if at > now - 10_000)
                early = sum(by for at, by in known["hits"] if at > now - 10_000 + 167)
                value = self.counters.get(key)
                assert (
                    early
                    <= value
                    <= late
                    + sum(by for at, by in known["hits"] if now - 10_000 - 167 < at <= now - 10_000)
                )
            else:
                assert self.counters.get(key) == known["value"]
        for pattern in ("*", "s*", "sp:*", "fp:*", "wq:*", "sq:r:*", "fa"):
            matches = [
                known
                for key, known in live.items()
                if (key.startswith(pattern[:-1]) if pattern.endswith("*") else key == pattern)
            ]
            assert self.counters.count(pattern) == len(matches)
            for within in (0.5, 1, 3.2, 60):
                recent = [k for k in matches if k.get("last", 0) > now - within * 1000]
                assert self.counters.count(pattern, within) == len(recent)

    def living(self, key: str) -> dict[str, Any] | None:
        known = self.model.get(key)
        now = self.counters.now_ms
        return known if known and known.get("expires", now + 1) > now else None

    def value(self, key: str) -> int:
        known = self.living(key)
        return known["value"] if known else 0


TestModelled = Modelled.TestCase
TestModelled.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
