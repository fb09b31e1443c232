from __future__ import annotations

from collections import deque

import pytest
from support.counted import taken

from raydo.actors.counters import Counters
from raydo.pipelining.errors import DataUnreadable
from raydo.pipelining.limits import COUNTER_KEY_BYTES_MAX

T0 = 1_767_225_600_123


@pytest.fixture
def counters() -> Counters:
    return Counters(T0)


def restarted(counters: Counters) -> Counters:
    """Carry the state of counters whose rows were never given out over a restart."""
    fresh = Counters(counters.now_ms)
    fresh.load([(key, row) for key, row in taken(counters) if row is not None])
    return fresh


def test_numbers_may_be_fractions_and_of_any_size(counters: Counters) -> None:
    assert counters.incr("revenue", 9.5) == 9.5
    assert counters.incr("revenue", 1) == 10.5
    assert counters.incr("huge", 10**30) == 10**30
    assert counters.incr("huge", 10**30) == 2 * 10**30


def test_a_window_rolls(counters: Counters) -> None:
    for _ in range(3):
        counters.incr("pageviews_1m", 10, ttl=60, mode="window")
        counters.now_ms += 20_000
    assert counters.get("pageviews_1m") == 20  # the first ten are a minute old

    counters.now_ms += 19_999
    assert counters.get("pageviews_1m") == 20
    counters.now_ms += 1
    assert counters.get("pageviews_1m") == 10
    assert counters.incr("pageviews_1m") == 11
    counters.now_ms += 20_000
    assert counters.get("pageviews_1m") == 1
    counters.now_ms += 40_000
    assert counters.get("pageviews_1m") == 0


def test_a_window_is_exact_to_a_sixtieth_and_never_late(counters: Counters) -> None:
    hits: deque[int] = deque()
    for step in range(3_000):  # a stream of one in 47 ms for 141 s, through a window of 10 s
        counters.now_ms = T0 + step * 47
        hits.append(counters.now_ms)
        value = counters.incr("window", ttl=10, mode="window")
        late = sum(1 for hit in hits if hit > counters.now_ms - 10_000)
        early = sum(1 for hit in hits if hit > counters.now_ms - 10_000 + 167)
        assert early <= value <= late
        assert value == counters.get("window")


def test_a_window_holds_sixty_parts_however_much_comes(counters: Counters) -> None:
    for step in range(5_000):
        counters.now_ms = T0 + step
        counters.incr("window", ttl=1, mode="window", at_ms=counters.now_ms - step * 7919 % 1_000)

    [(_, row)] = taken(counters)
    assert row is not None
    assert len(row) < 61 * 12


def test_another_mode_carries_the_value_over(counters: Counters) -> None:
    counters.incr("key", 5)
    assert counters.incr("key", ttl=60) == 6
    assert counters.incr("key", ttl=60, mode="window") == 7
    assert counters.incr("key", mode="fixed") == 8

    counters.now_ms += 60_000

    assert counters.get("key") == 0


def test_another_length_of_a_window_counts_what_it_held_as_of_now(counters: Counters) -> None:
    counters.incr("window", 5, ttl=60, mode="window")
    counters.now_ms += 30_000
    assert counters.incr("window", 1, ttl=10, mode="window") == 6

    counters.now_ms += 9_999
    assert counters.get("window") == 6
    counters.now_ms += 1
    assert counters.get("window") == 0


def test_keys_may_hold_anything(counters: Counters) -> None:
    keys = ["", "*", "a*", ":", "::", "日本:é", "a\0b", "x" * COUNTER_KEY_BYTES_MAX, "\n"]
    for number, key in enumerate(keys, 1):
        counters.incr(key, number, ttl=60)

    assert [counters.get(key) for key in keys] == list(range(1, len(keys) + 1))
    assert counters.count("*") == len(keys)
    assert sorted(restarted(counters).items()) == sorted(counters.items())


def test_a_window_of_fractions_is_the_same_bit_for_bit_after_a_restart(counters: Counters) -> None:
    for step in range(500):
        counters.now_ms = T0 + step * 31
        counters.incr("window", 0.1 * step, ttl=10, mode="window")

    twin = restarted(counters)

    for later in range(0, 11_000, 100):
        counters.now_ms = twin.now_ms = T0 + 500 * 31 + later
        assert twin.get("window") == counters.get("window")
    assert twin.get("window") == 0


@pytest.mark.parametrize(
    "row",
    [
        b"",
        b"\xc1",
        b"\xa1x",
        b"\xc0",
        b"\xc3",
        b"\x90",
        b"\x91\x01",
        b"\x95\x09\x01\x01\x01\x01",
        b"\x95\x01\x01\x01\x01\xa1z",
        b"\x95\x03\x01\x01\x01\x01",
    ],
)
def test_a_row_that_is_not_ours_is_said_to_be_unreadable(counters: Counters, row: bytes) -> None:
    with pytest.raises(DataUnreadable, match="row cannot be read"):
        counters.load([("key", row)])
