"""What one counter holds, as immutable values: adding makes a new one, so undoing is keeping the
old one. Pure: every moment comes in, and a value and its row are one thing in two forms.

* a plain number never expires;
* `Sliding` is a number that lives until `ttl` after its last increment;
* `Fixed` is a number that lives until `ttl` after its first increment;
* `Window` is the sum of what was added within the last `ttl`. It keeps at most sixty parts, each
  with the time of its first increment, and forgets a part whole: what stands alone is forgotten
  to the millisecond, what came in a stream up to a sixtieth of `ttl` early, and what came out of
  order, just before a part, as much late.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

import msgpack

from raydo.pipelining.errors import DataUnreadable

Mode = Literal["sliding", "fixed", "window"]
Number = int | float

WINDOW_PARTS: Final = 60
_new: Final = tuple.__new__  # half the time of calling a named tuple


class Sliding(NamedTuple):
    """A number that lives until `ttl_ms` after the last increment."""

    last_ms: int
    expires_ms: int
    ttl_ms: int
    value: Number

    def add(self, by: Number, at_ms: int, now_ms: int, ttl_ms: int | None) -> Sliding | None:
        """Add at a moment up to `now_ms`; None when that would be forgotten by now."""
        last_ms, _, ttl, value = self
        if ttl_ms is not None:
            ttl = ttl_ms
        if at_ms + ttl <= now_ms:
            return None
        if at_ms > last_ms:  # noqa: PLR1730  # max() takes longer than all the rest
            last_ms = at_ms
        return _new(Sliding, (last_ms, last_ms + ttl, ttl, value + by))

    def value_at(self, _now_ms: int) -> Number:
        return self.value


class Fixed(NamedTuple):
    """A number that lives until `ttl_ms` after the first increment; a later ttl is ignored."""

    last_ms: int
    expires_ms: int
    ttl_ms: int
    value: Number

    def add(self, by: Number, at_ms: int, now_ms: int, _ttl_ms: int | None) -> Fixed | None:
        """Add at a moment up to `now_ms`; None when that would be forgotten by now."""
        if at_ms + self.ttl_ms <= now_ms:
            return None
        last_ms = max(self.last_ms, at_ms)
        return _new(Fixed, (last_ms, self.expires_ms, self.ttl_ms, self.value + by))

    def value_at(self, _now_ms: int) -> Number:
        return self.value


class Window(NamedTuple):
    """The sum over the last `ttl_ms`, in parts of `(first_ms, sum)`, oldest first.

    The newest part stands apart, so that adding to it copies nothing. `value` is the sum at the
    last increment; sums are always taken from the oldest part on, since floats remember the order.
    """

    last_ms: int
    expires_ms: int
    ttl_ms: int
    value: Number
    first_ms: int
    newest: Number
    older: tuple[tuple[int, Number], ...]
    older_sum: Number

    def add(self, by: Number, at_ms: int, now_ms: int, ttl_ms: int | None) -> Window | None:
        """Add at a moment up to `now_ms`; None when that would be forgotten by now."""
        last_ms, _, ttl, _, first_ms, newest, older, older_sum = self
        if ttl_ms is not None and ttl_ms != ttl:
            return self._resized(by, at_ms, now_ms, ttl_ms)
        gone_ms = now_ms - ttl
        if at_ms <= gone_ms:
            return None
        if at_ms > last_ms:  # noqa: PLR1730  # max() takes longer than all the rest
            last_ms = at_ms
        oldest_ms = older[0][0] if older else first_ms
        if oldest_ms <= gone_ms or not 0 <= at_ms - first_ms < -(-ttl // WINDOW_PARTS):
            parts = [part for part in (*older, (first_ms, newest)) if part[0] > gone_ms]
            _add_part(parts, at_ms, by, -(-ttl // WINDOW_PARTS))
            return window(parts, last_ms, ttl)
        newest += by
        value = older_sum + newest
        return _new(
            Window, (last_ms, last_ms + ttl, ttl, value, first_ms, newest, older, older_sum)
        )

    def value_at(self, now_ms: int) -> Number:
        gone_ms = now_ms - self.ttl_ms
        if self.first_ms <= gone_ms:
            return 0
        if not self.older or self.older[0][0] > gone_ms:
            return self.value
        return sum(part for first_ms, part in self.older if first_ms > gone_ms) + self.newest

    def _resized(self, by: Number, at_ms: int, now_ms: int, ttl_ms: int) -> Window | None:
        # The parts of another length don't fit, so what they hold counts as of now.
        whole = window([(now_ms, self.value_at(now_ms))], now_ms, ttl_ms)
        return whole.add(by, at_ms, now_ms, None)


Timed = Sliding | Fixed | Window
State = int | float | Sliding | Fixed | Window

PLAIN: Final = (int, float)  # as a tuple: `int | float` would be built anew at each isinstance
TIMED: Final = (Sliding, Fixed, Window)
MODES: Final[dict[type, Mode]] = {Sliding: "sliding", Fixed: "fixed", Window: "window"}


def window(parts: Sequence[tuple[int, Number]], last_ms: int, ttl_ms: int) -> Window:
    """Make a window of its parts, oldest first; there is at least one."""
    *older, (first_ms, newest) = parts
    older_sum = sum(part for _, part in older)
    value = older_sum + newest
    return Window(
        last_ms, last_ms + ttl_ms, ttl_ms, value, first_ms, newest, tuple(older), older_sum
    )


def begin(mode: Mode, value: Number, at_ms: int, ttl_ms: int) -> Timed:
    """Make the state of a counter whose first increment is `value` at `at_ms`."""
    if mode == "window":
        return window([(at_ms, value)], at_ms, ttl_ms)
    cls = Sliding if mode == "sliding" else Fixed
    return cls(at_ms, at_ms + ttl_ms, ttl_ms, value)


def _add_part(parts: list[tuple[int, Number]], at_ms: int, by: Number, part_ms: int) -> None:
    """Add to the part that `at_ms` falls into or nearly precedes; else make one between.

    So two parts never begin closer than `part_ms`, which is what bounds their number.
    """
    index = bisect_right(parts, at_ms, key=lambda part: part[0])
    if index and at_ms - parts[index - 1][0] < part_ms:
        index -= 1
    elif index == len(parts) or parts[index][0] - at_ms >= part_ms:
        parts.insert(index, (at_ms, 0))
    first, value = parts[index]
    parts[index] = (first, value + by)


def pack_state(state: State) -> bytes:
    """Turn a state into its row."""
    kind = _KINDS.get(type(state))
    row: Any = state if kind is None else (kind, *state)  # type: ignore[misc]
    try:
        return _packed(row)
    except OverflowError:
        return _packed(_spelt(row))


def unpack_state(row: bytes) -> State:
    """Turn a row back into the state it was made of.

    Raises:
        DataUnreadable: it is no row of a counter.
    """
    try:
        read = _counted(msgpack.unpackb(row, use_list=False))
        return _timed(*read) if isinstance(read, tuple) else _number(read)
    except (ValueError, TypeError, KeyError, msgpack.UnpackException) as error:
        raise DataUnreadable(f"A counter's row cannot be read: {error}") from None


def _timed(kind: int, last_ms: int, expires_ms: int, ttl_ms: int, value: Any, *rest: Any) -> Timed:
    if kind == _KINDS[Window]:
        first_ms, newest, older, _ = rest
        parts = [(int(first), _number(part)) for first, part in (*older, (first_ms, newest))]
        return window(parts, int(last_ms), int(ttl_ms))
    return _NUMBERS[kind](int(last_ms), int(expires_ms), int(ttl_ms), _number(value, *rest))


_packed: Final = msgpack.packb
_KINDS: Final[dict[type, int]] = {Sliding: 1, Fixed: 2, Window: 3}
_NUMBERS: Final[dict[int, type[Sliding | Fixed]]] = {1: Sliding, 2: Fixed}


def _spelt(value: Any) -> Any:
    """Spell integers of more than 64 bits, which msgpack can't hold, in hexadecimal."""
    if isinstance(value, tuple):
        return tuple(_spelt(inner) for inner in value)
    return hex(value) if isinstance(value, int) and value.bit_length() > 63 else value


def _counted(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_counted(inner) for inner in value)
    return int(value, 16) if isinstance(value, str) else value


def _number(value: object) -> Number:
    if type(value) is int or type(value) is float:
        return value
    raise ValueError(f"{value!r} is no number")
