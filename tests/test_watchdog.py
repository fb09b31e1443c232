"""Turns that run away, in this process and in one that has to end."""

from __future__ import annotations

import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from support.stopwatch import Stopwatch

from raydo.actors.watchdog import Watchdog
from raydo.pipelining.errors import TurnTooLong
from raydo.pipelining.limits import TURN_GRACE_S, TURN_S_MAX
from raydo.pipelining.noun import Noun

ACME = Noun("Analytics", "acme")


class Offences:
    def __init__(self) -> None:
        self.told: list[tuple[Noun, str]] = []

    def __call__(self, noun: Noun, reason: str) -> None:
        self.told.append((noun, reason))


def spin(watchdog: Watchdog, started: threading.Event, ended: list[BaseException]) -> None:
    try:
        with watchdog.turn(ACME):
            started.set()
            while True:
                pass
    except TurnTooLong as error:
        ended.append(error)


def test_an_endless_loop_is_ended_where_it_runs_and_no_other_thread_is(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stopwatch, offences, ended = Stopwatch(), Offences(), []
    watchdog = Watchdog(on_offence=offences, stopwatch=stopwatch)
    started = threading.Event()
    thread = threading.Thread(target=spin, args=(watchdog, started, ended))
    thread.start()
    started.wait()

    stopwatch.now_s += TURN_S_MAX
    watchdog.look()
    assert not offences.told
    stopwatch.now_s += 1
    with watchdog.turn(Noun("Analytics", "short")):
        watchdog.look()
        watchdog.look()
    thread.join(10)

    assert len(ended) == 1
    assert [noun for noun, _ in offences.told] == [ACME]
    assert "in spin" in caplog.text  # where it hung


def test_a_turn_that_ended_in_time_is_never_disturbed_afterwards() -> None:
    stopwatch = Stopwatch()
    watchdog = Watchdog(stopwatch=stopwatch)
    for _ in range(2_000):
        with watchdog.turn(ACME):
            pass
        stopwatch.now_s += 100
        watchdog.look()


def test_a_turn_in_foreign_code_ends_the_process_after_a_grace() -> None:
    stopwatch, killed = Stopwatch(), Offences()
    watchdog = Watchdog(kill=killed, stopwatch=stopwatch)
    entered, release = threading.Event(), threading.Event()

    def wait() -> None:
        with suppress(TurnTooLong), watchdog.turn(ACME):
            entered.set()
            release.wait()

    thread = threading.Thread(target=wait)
    thread.start()
    entered.wait()
    stopwatch.now_s += TURN_S_MAX + 0.1
    watchdog.look()
    assert not killed.told
    stopwatch.now_s += TURN_GRACE_S
    watchdog.look()
    assert killed.told == [(ACME, "a turn could not be ended")]
    release.set()
    thread.join()


BOMB = """
import os, sys
from raydo.actors.watchdog import Watchdog
from raydo.pipelining.noun import Noun

def kill(noun, reason):
    print(noun, reason, flush=True)
    os._exit(70)

watchdog = Watchdog(kill=kill, bytes_max=300 * 2**20)
watchdog.start()
with watchdog.turn(Noun("Analytics", "bomb")):
    kept = []
    for _ in range(4_000):
        kept.append(bytearray(os.urandom(1024)) * 1024)
print("survived")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="memory can't be read here")
def test_a_turn_that_eats_memory_ends_its_process_and_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOMB], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 70
    assert done.stdout.startswith("Analytics('bomb') a turn let its process grow to ")
