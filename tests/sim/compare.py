"""Whether an answer is the one that the model expects, and where it is not."""

from __future__ import annotations

import re
from typing import Any

from sim.values import Made, Timer

_OURS = re.compile(r"[0-9a-f]{32}")


class Seen:
    """What raydo chose itself and we have seen: an id is given once, and never changes."""

    def __init__(self) -> None:
        self.values: set[Any] = set()
        self._bound: list[tuple[Made, Any]] = []
        self._timers: list[tuple[Timer, int]] = []

    def differs(self, expected: Any, actual: Any, *, lasting: bool = True) -> str | None:
        """Say where `actual` differs; without `lasting`, times of timers may still change."""
        self._bound, self._timers = [], []
        where = self._compare(expected, actual, "$")
        if where is None:
            self._keep(lasting=lasting)
        else:
            for made, _ in self._bound:
                made.value = None
        return where

    def _keep(self, *, lasting: bool) -> None:
        for _, value in self._bound:
            self.values.add(value)
        for timer, next_at in self._timers if lasting else ():
            timer.next_at, timer.candidates = next_at, ()

    def _compare(self, expected: Any, actual: Any, path: str) -> str | None:
        if expected == actual:
            return None
        kind = type(expected)
        if kind is dict:
            if type(actual) is not dict or expected.keys() != actual.keys():
                return f"{path}: {_short(expected)} expected, not {_short(actual)}"
            pairs = [(key, value, actual[key]) for key, value in expected.items()]
        elif kind is list:
            if type(actual) is not list:
                return f"{path}: {_short(expected)} expected, not {_short(actual)}"
            if len(expected) != len(actual):
                return f"{path}: {len(expected)} expected, not {len(actual)}: {_at_end(expected, actual)}"
            pairs = [(n, *pair) for n, pair in enumerate(zip(expected, actual, strict=True))]
        elif kind is Made or kind is Timer:
            same = self._made(expected, actual) if kind is Made else self._timer(expected, actual)
            return None if same else f"{path}: {expected} expected, not {_short(actual)}"
        else:
            return f"{path}: {_short(expected)} expected, not {_short(actual)}"
        for key, one, other in pairs:
            if found := self._compare(one, other, f"{path}.{key}"):
                return found
        return None

    def _made(self, made: Made, actual: Any) -> bool:
        if made.value is not None:
            return False
        ours = type(actual) is int or (type(actual) is str and _OURS.fullmatch(actual) is not None)
        right = ours and actual not in self.values
        if right:
            made.value = actual
            self._bound.append((made, actual))
        return right

    def _timer(self, timer: Timer, actual: Any) -> bool:
        if not timer.candidates:
            return bool(actual == timer.row())
        self._timers.append((timer, actual[3]))
        return actual[3] in timer.candidates and actual[:3] == timer.row()[:3]


def _at_end(expected: list[Any], actual: list[Any]) -> str:
    """Show what stands where the shorter of two lists ends."""
    end = min(len(expected), len(actual))
    return f"…{_short(expected[max(0, end - 1) :])} not …{_short(actual[max(0, end - 1) :])}"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 2_000 else f"{text[:2_000]}…"
