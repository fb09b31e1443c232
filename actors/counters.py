"""L0: a tenant's counters, in memory, exact, bounded, undone with the call that made them.

```python
counters.incr("event:Signup")                       # a plain number; it never expires
counters.incr("active:alice", ttl=60)               # sliding: expires 60 s after the last incr
counters.incr("tries:10.0.0.1", ttl=60, mode="fixed")     # expires 60 s after the first incr
counters.incr("pageviews_1m", ttl=60, mode="window")      # the sum over the last 60 s, rolling
counters.get("event:Signup")                        # 0 when absent or expired
counters.count("active:*", within_s=60)             # live keys whose last incr is that recent
```

What holds:

* A key lives while `now < expiry`; then it is as if it had never been, and its memory is freed.
* An increment without `ttl` or `mode` keeps the key's own, and renews a sliding key. Another mode
  carries the value over; a window counts it as added at that moment.
* A window keeps sixty parts, so what came in a stream is forgotten up to `ttl / 60` early (and
  what came out of order as much late).
* `count` reads an index: its cost is `within_s` seconds or the size of the answer's edge, never
  the number of keys. That holds for a prefix that ends with its only colon, and for `*`; any other
  prefix is looked up key by key within its group. Plain keys count as live, but only keys with a
  `ttl` know when they were last incremented, so only those can be `within_s`.
* `at_ms` is when something happened, if not now. What would be forgotten by now changes nothing.
* Time is `now_ms`, set once per turn by whoever runs it. A replay sets it to the record's time and
  so arrives at the same state.
* COUNTER_KEYS_MAX bounds the keys; `bound` bounds a prefix and counts the rest under one key.

`mark`, `rollback`, `changes` and `settle` are the turn's; its rows and `load` carry the state over a
restart, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import nsmallest

from raydo.actors.counter_checks import Seconds, amount, check_key, finite, mode_of, to_ms
from raydo.actors.counter_index import SECOND_MS, Group, prefix_of
from raydo.actors.counter_store import CounterStore
from raydo.actors.counter_values import (
    MODES,
    PLAIN,
    TIMED,
    Mode,
    Number,
    State,
    begin,
    pack_state,
    unpack_state,
)
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.method import call

Row = tuple[str, bytes | None]


class Counters(CounterStore):
    """Count by key; `now_ms` is the turn's time, set by whoever runs it."""

    __slots__ = ("_derived", "_journal")

    def __init__(self, now_ms: int = 0) -> None:
        super().__init__(now_ms)
        self._derived: dict[str, Callable[[], Number]] = {}
        self._journal: list[tuple[str, State | None]] = []  # what each changed key held before

    def incr(
        self,
        key: str,
        by: Number = 1,
        *,
        ttl: Seconds | None = None,
        mode: Mode | None = None,
        at_ms: int | None = None,
    ) -> Number:
        """Add `by` and return the new value; `ttl` is in seconds.

        Raises:
            InvalidArgument: a value of the wrong type or range, or no room for another key.
        """
        old = self._live.get(key)
        if type(old) is int and type(by) is int and ttl is None and mode is None:
            self._journal.append((key, old))  # the usual case, and the shortest way
            self._live[key] = value = old + by
            return value
        return self._incr(key, by, ttl, mode, at_ms)

    def incr_many(
        self,
        pairs: Iterable[tuple[str, Number]],
        *,
        ttl: Seconds | None = None,
        mode: Mode | None = None,
        at_ms: int | None = None,
    ) -> None:
        """Do `incr` for each `(key, by)`, with less ado.

        Raises:
            InvalidArgument: as `incr`; the pairs before it are counted.
        """
        plain = ttl is None and mode is None
        live, note = self._live, self._journal.append
        for key, by in pairs:
            state = live.get(key)
            if plain and type(state) is int and type(by) is int:
                note((key, state))
                live[key] = state + by
            else:
                self._incr(key, by, ttl, mode, at_ms)

    @call(needs="read")
    def get(self, key: str) -> Number:
        """Return a counter's value, or a derived one's; 0 when there is none."""
        if type(key) is not str:
            check_key(key)
        derived = self._derived.get(key)
        return derived() if derived else self._value(self._live.get(key))

    @call(needs="read")
    def count(self, pattern: str, within_s: Seconds | None = None) -> int:
        """Count live keys: `active:*` those with this prefix, `active:alice` this one.

        Raises:
            InvalidArgument: no pattern, or no length of time.
        """
        check_key(pattern)
        within_ms = None if within_s is None else to_ms(within_s)
        self._expire(self.now_ms // SECOND_MS)
        if not pattern.endswith("*"):
            return int(self._is_active(pattern, within_ms))
        prefix, total = pattern[:-1], 0
        for group_prefix, group in self._groups_under(prefix):
            if not group_prefix.startswith(prefix):
                keys = [key for key in group.keys if key.startswith(prefix)]
                total += sum(self._is_active(key, within_ms) for key in keys)
            elif within_ms is None:
                total += len(group.keys)
            else:
                total += group.active(self.now_ms, within_ms, self._live)
        return total

    def items(self, prefix: str = "") -> list[tuple[str, Number]]:
        """List the live keys under a prefix and their values, in no order."""
        self._expire(self.now_ms // SECOND_MS)
        return [
            (key, self._value(self._live[key]))
            for _, group in self._groups_under(prefix)
            for key in group.keys
            if key.startswith(prefix)
        ]

    def top(self, prefix: str, limit: int) -> list[tuple[str, Number]]:
        """List the largest under a prefix, the largest first, equal ones by key."""
        return nsmallest(limit, self.items(prefix), key=lambda item: (-item[1], item[0]))

    def define(self, key: str, derive: Callable[[], Number]) -> None:
        """Let `get(key)` answer with what `derive()` returns; nothing is stored."""
        self._derived[key] = derive

    def derived(self) -> dict[str, Number]:
        """Return every defined key and its value now."""
        return {key: derive() for key, derive in self._derived.items()}

    def bound(self, prefix: str, keys_max: int, other: str) -> None:
        """Hold at most `keys_max` keys under `prefix`; count any further one as `other`.

        Raises:
            InvalidArgument: the prefix doesn't end with its first colon, or `other` isn't under it.
        """
        if not prefix or prefix_of(prefix) != prefix or prefix_of(other) != prefix:
            raise InvalidArgument("A bounded prefix ends with its only colon, and holds `other`.")
        group = self._groups.setdefault(prefix, Group())
        group.keys_max, group.other = keys_max, other

    def delete(self, key: str) -> bool:
        """Remove a counter; tell whether there was one."""
        state = self._living(key)
        if state is None:
            return False
        self._journal.append((key, state))
        self._place(key, None)
        return True

    def fold(self, key: str, into: str) -> None:
        """Count what `key` counted as `into`, as if it had been so from the first; `key` is gone."""
        state = self._living(key)
        if state is None or key == into:
            return
        self.delete(key)
        if isinstance(state, TIMED):
            ttl, value = state.ttl_ms / 1000, state.value_at(self.now_ms)
            self.incr(into, value, ttl=ttl, mode=MODES[type(state)], at_ms=state.last_ms)
        else:
            self.incr(into, state)

    def mark(self) -> int:
        """Return where this turn stands, for `rollback`."""
        return len(self._journal)

    def rollback(self, mark: int) -> None:
        """Undo everything since `mark`, as if it had not been."""
        assert mark <= len(self._journal), "a mark ends with its turn"
        undone = self._journal[mark:]
        del self._journal[mark:]
        for key, state in reversed(undone):
            self._place(key, state)

    def changes(self) -> list[Row]:
        """List the row of each key changed since `settle`; None deletes it."""
        self._expire(self.now_ms // SECOND_MS - 1)
        live = self._live
        keys = self._gone.union([key for key, _ in self._journal])
        return [(key, pack_state(live[key]) if key in live else None) for key in keys]

    def settle(self) -> None:
        """Keep what the turn did, which is on disk; its marks end."""
        self._journal.clear()
        self._gone.clear()

    def load(self, rows: Iterable[tuple[str, bytes]]) -> None:
        """Take in rows that `changes` gave out; what has expired since is dropped.

        Raises:
            DataUnreadable: a row is none of ours.
        """
        for key, row in rows:
            state = unpack_state(row)
            if isinstance(state, PLAIN) or state.expires_ms > self.now_ms:
                self._place(key, state)
            else:
                self._gone.add(key)

    def _incr(
        self, key: str, by: Number, ttl: Seconds | None, mode: Mode | None, at_ms: int | None
    ) -> Number:
        old, now_ms = self._live.get(key), self.now_ms
        if (
            not isinstance(old, TIMED)
            or old.expires_ms <= now_ms
            or (mode is not None and mode != MODES[type(old)])
        ):
            return self._change(key, by, ttl, mode, at_ms)
        if type(by) is not int:
            amount(by)
        ttl_ms = None  # when it is the key's own, which is the usual case
        if ttl is not None and ttl * 1000 != old.ttl_ms:
            ttl_ms = to_ms(ttl)
        new = old.add(by, now_ms if at_ms is None or at_ms > now_ms else at_ms, now_ms, ttl_ms)
        if new is None:
            return old.value_at(now_ms)
        if type(new.value) is float:
            finite(new.value)
        self._journal.append((key, old))
        self._live[key] = new
        if new.last_ms // SECOND_MS != old.last_ms // SECOND_MS or ttl_ms is not None:
            self._groups[prefix_of(key)].move(key, old, new)
            if new.expires_ms < old.expires_ms:
                self._deadlines.watch(key, new.expires_ms)
        return new.value

    def _change(
        self, key: str, by: Number, ttl: Seconds | None, mode: Mode | None, at_ms: int | None
    ) -> Number:
        """Count on a key that is absent, plain, or of another mode than asked for."""
        now_ms = self.now_ms
        old = self._living(key)
        at = now_ms if at_ms is None or at_ms > now_ms else at_ms
        ttl_ms = None if ttl is None else to_ms(ttl)
        if ttl_ms is None and isinstance(old, TIMED):
            ttl_ms = old.ttl_ms
        if ttl_ms is not None and at + ttl_ms <= now_ms:
            return self._value(old)
        if old is None and (admitted := self._admit(key)) != key:
            return self._incr(admitted, by, ttl, mode, at_ms)
        new = self._changed(old, amount(by), ttl_ms, mode, at)
        value = finite(self._value(new))
        self._journal.append((key, old))
        self._place(key, new)
        return value

    def _changed(
        self, old: State | None, by: Number, ttl_ms: int | None, mode: Mode | None, at: int
    ) -> State:
        if ttl_ms is None:
            if mode is not None:
                raise InvalidArgument(f"A counter with mode {mode!r} needs a ttl.")
            assert old is None or isinstance(old, PLAIN), "what expires has a ttl"
            return (old or 0) + by
        mode = mode_of(mode)
        if old is None:
            return begin(mode, by, at, ttl_ms)
        # What was counted without times counts as of now.
        carried = begin(mode, self._value(old), self.now_ms, ttl_ms)
        changed = carried.add(by, at, self.now_ms, None)
        assert changed is not None, "what is too old was turned away before"
        return changed
