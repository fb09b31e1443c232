"""Rows by many keys at once, with few different statements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from raydo.pipelining.limits import LOOKUP_KEYS_MAX


def lookups(keys: Sequence[Any]) -> Iterator[tuple[str, Sequence[Any]]]:
    """Cut keys into lookups with as many question marks as keys.

    The last lookup repeats a key up to a power of two: SQLite then prepares a handful of
    statements in all, not one for each number of keys.
    """
    for start in range(0, len(keys), LOOKUP_KEYS_MAX):
        chunk = list(keys[start : start + LOOKUP_KEYS_MAX])
        chunk += chunk[-1:] * ((1 << (len(chunk) - 1).bit_length()) - len(chunk))
        yield ",".join("?" * len(chunk)), chunk
