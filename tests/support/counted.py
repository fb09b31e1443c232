"""What counters would put on disk, taken as a turn does."""

from __future__ import annotations

from raydo.actors.counters import Counters, Row


def taken(counters: Counters) -> list[Row]:
    """List the rows to write, and go on as if they were written."""
    rows = counters.changes()
    counters.settle()
    return rows
