"""What counters refuse, each with its sentence."""

from __future__ import annotations

from datetime import timedelta
from math import isfinite

from raydo.actors.counter_values import MODES, Mode, Number
from raydo.pipelining.errors import InvalidArgument
from raydo.pipelining.limits import COUNTER_KEY_BYTES_MAX, COUNTER_TTL_S_MAX

Seconds = float | timedelta


def amount(by: object) -> Number:
    if type(by) is int:
        return by
    if type(by) is float and isfinite(by):
        return by
    raise InvalidArgument(f"A counter is incremented by a finite number, not {by!r}.")


def finite(value: Number) -> Number:
    if type(value) is float and not isfinite(value):
        raise InvalidArgument("This increment would make the counter infinite.")
    return value


def mode_of(mode: object) -> Mode:
    for known in MODES.values():
        if mode == known:
            return known
    if mode is None:
        return "sliding"
    raise InvalidArgument(f"A counter's mode is sliding, fixed or window, not {mode!r}.")


def to_ms(seconds: Seconds) -> int:
    if type(seconds) is int and 0 < seconds <= COUNTER_TTL_S_MAX:
        return seconds * 1000
    if isinstance(seconds, timedelta):
        seconds = seconds.total_seconds()
    if type(seconds) not in (int, float) or not 0 < seconds <= COUNTER_TTL_S_MAX:
        raise InvalidArgument(
            f"A length of time has more than 0 and at most {COUNTER_TTL_S_MAX:,} seconds, "
            f"not {seconds!r}."
        )
    return round(seconds * 1000) or 1


def check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InvalidArgument(f"A counter's key is text, not {type(key).__name__}.")
    try:
        size = len(key.encode())
    except UnicodeEncodeError:
        raise InvalidArgument("A counter's key must be valid Unicode.") from None
    if size > COUNTER_KEY_BYTES_MAX:
        raise InvalidArgument(
            f"A counter's key has at most {COUNTER_KEY_BYTES_MAX} bytes; this one has {size}."
        )
