from __future__ import annotations

import time

from raydo.actors.clock import Clock, FakeClock, SystemClock


def test_the_system_clock_tells_utc_in_milliseconds() -> None:
    before = int(time.time() * 1000)

    now = SystemClock().now_ms()

    assert before - 1 <= now <= int(time.time() * 1000) + 1


def test_a_fake_clock_moves_only_when_told() -> None:
    clock = FakeClock(1_000)

    assert [clock.now_ms(), clock.now_ms()] == [1_000, 1_000]
    assert clock.advance(days=1, seconds=1.5) == clock.now_ms() == 1_000 + 86_400_000 + 1_500
    assert clock.advance(hours=-24, minutes=1, milliseconds=1) == 1_000 + 61_501


def test_both_are_clocks() -> None:
    clocks: list[Clock] = [SystemClock(), FakeClock()]

    assert all(isinstance(clock.now_ms(), int) for clock in clocks)
