"""A stopwatch that a test moves."""

from __future__ import annotations


class Stopwatch:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s
