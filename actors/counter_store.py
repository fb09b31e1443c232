"""The live counters and the indexes over them, always in step."""

from __future__ import annotations

from collections.abc import Iterator

from raydo.actors.counter_checks import check_key
from raydo.actors.counter_index import SECOND_MS, Deadlines, Group, prefix_of
from raydo.actors.counter_values import PLAIN, TIMED, Number, State
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import COUNTER_KEYS_MAX


class CounterStore:
    """Hold states by key; `now_ms` is the turn's time. Undoing is `Counters`' part."""

    __slots__ = ("_deadlines", "_gone", "_groups", "_live", "_swept_ms", "now_ms")

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms
        self._live: dict[str, State] = {}  # may hold the expired too, until they are found
        self._groups: dict[str, Group] = {}
        self._deadlines = Deadlines()
        self._swept_ms: int | None = None
        self._gone: set[str] = set()  # expired, and their rows not yet deleted

    def _admit(self, key: str) -> str:
        """Make room for a new key; return it, or the one that is counted in its stead."""
        check_key(key)
        if key in self._live:  # it has expired
            self._place(key, None)
            self._gone.add(key)
        group = self._groups.get(prefix_of(key))
        bounded = group is not None and group.keys_max is not None and key != group.other
        if group is not None and bounded and len(group.keys) >= (group.keys_max or 0):
            self._expire(self.now_ms // SECOND_MS)
            if len(group.keys) >= (group.keys_max or 0):
                return group.other
        if len(self._live) >= COUNTER_KEYS_MAX:
            self._expire(self.now_ms // SECOND_MS)
            if len(self._live) >= COUNTER_KEYS_MAX:
                raise InvalidArgument(
                    f"An object has at most {COUNTER_KEYS_MAX:,} counters; there is no room for "
                    f"{key[:80]!r}. Give keys a ttl, or bound their prefix."
                )
        return key

    def _place(self, key: str, new: State | None) -> None:
        """Put `new` where anything else may be, in the indexes too."""
        old = self._live.pop(key, None)
        prefix = prefix_of(key)
        group = self._groups.get(prefix)
        if old is not None:
            assert group is not None, "every live key is in its group"
            group.discard(key, old)
            self._deadlines.forget(key)
        if new is not None:
            if group is None:
                group = self._groups[prefix] = Group()
            self._live[key] = new
            group.add(key, new)
            if isinstance(new, TIMED):
                self._deadlines.watch(key, new.expires_ms)
        elif group is not None and not group.keys and group.keys_max is None:
            del self._groups[prefix]

    def _expire(self, second: int) -> None:
        """Remove what has expired, looking no further than `second`."""
        if self._swept_ms == self.now_ms:
            return  # nothing that expires by now can have come since
        for key in self._deadlines.due(second):
            state = self._live[key]
            assert isinstance(state, TIMED), "only what expires has a deadline"
            if state.expires_ms <= self.now_ms:
                self._place(key, None)
                self._gone.add(key)
            else:
                self._deadlines.watch(key, state.expires_ms)
        if second == self.now_ms // SECOND_MS:
            self._swept_ms = self.now_ms

    def _living(self, key: str) -> State | None:
        state = self._live.get(key)
        if state is None or isinstance(state, PLAIN) or state.expires_ms > self.now_ms:
            return state
        return None

    def _value(self, state: State | None) -> Number:
        if state is None:
            return 0
        if isinstance(state, PLAIN):
            return state
        return state.value_at(self.now_ms) if state.expires_ms > self.now_ms else 0

    def _is_active(self, key: str, within_ms: int | None) -> bool:
        state = self._living(key)
        if state is None or within_ms is None:
            return state is not None
        return isinstance(state, TIMED) and state.last_ms > self.now_ms - within_ms

    def _groups_under(self, prefix: str) -> Iterator[tuple[str, Group]]:
        """Find the groups that hold keys with this prefix; one, if the prefix has its colon."""
        home = prefix_of(prefix)
        if home:
            if home in self._groups:
                yield home, self._groups[home]
            return
        for name, group in self._groups.items():
            if name.startswith(prefix) or not name:
                yield name, group
