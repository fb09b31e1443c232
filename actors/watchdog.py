"""Turns that run away: ended after TURN_S_MAX, with the process if there is no other way.

A thread of its own looks, since a turn in an endless loop may starve the event loop. First it
raises `TurnTooLong` inside the turn, which ends any loop of Python's; a turn that waits in foreign
code doesn't notice, and then, or when memory runs out, `kill` is told whose fault it is and ends
the process. What was acknowledged is on disk either way.
"""

from __future__ import annotations

import ctypes
import logging
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from raydo.pipelining.errors import TurnTooLong
from raydo.pipelining.limits import TURN_GRACE_S, TURN_S_MAX, WATCH_S

if TYPE_CHECKING:
    from raydo.pipelining.noun import Noun

_log = logging.getLogger("raydo")

Offence = Callable[["Noun", str], None]


@dataclass(slots=True)
class _Turn:
    noun: Noun
    thread: int
    started_s: float
    told: bool = False  # that it is too long


class Watchdog:
    """Watch turns, and the memory of their process."""

    def __init__(
        self,
        *,
        on_offence: Offence | None = None,
        kill: Offence | None = None,
        turn_s: float = TURN_S_MAX,
        bytes_max: int | None = None,
        stopwatch: Callable[[], float] = time.monotonic,
    ) -> None:
        """`kill` ends this process; without it, a turn that can't be ended goes on."""
        self._on_offence = on_offence
        self._kill = kill
        self._turn_s = turn_s
        self._bytes_max = bytes_max
        self._stopwatch = stopwatch
        self._turns: dict[int, _Turn] = {}
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @contextmanager
    def turn(self, noun: Noun) -> Iterator[None]:
        """Watch what runs inside, on this thread.

        Raises:
            TurnTooLong: inside, when it takes too long.
        """
        thread = threading.get_ident()
        turn = _Turn(noun, thread, self._stopwatch())
        with self._lock:
            self._turns[thread] = turn
        try:
            yield
        finally:
            with self._lock:  # from here on nothing is raised in this thread
                del self._turns[thread]
                _raise_in(thread, None)

    def start(self) -> None:
        """Look every WATCH_S, until `stop`."""
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def look(self) -> None:
        """Look once."""
        now_s = self._stopwatch()
        with self._lock:
            turns = sorted(self._turns.values(), key=lambda turn: turn.started_s)
            late = [turn for turn in turns if now_s - turn.started_s > self._turn_s]
            new = [turn for turn in late if not turn.told]
            for turn in new:
                turn.told = True
                _raise_in(turn.thread, _TooLong)
        for turn in new:
            reason = f"a turn ran for more than {self._turn_s:g} s"
            _report(turn, reason)
            if self._on_offence is not None:
                self._on_offence(turn.noun, reason)
        if self._kill is None:
            return
        for turn in late:
            if now_s - turn.started_s > self._turn_s + TURN_GRACE_S:
                self._kill(turn.noun, "a turn could not be ended")
        if turns and self._bytes_max is not None and (used := resident_bytes()) > self._bytes_max:
            reason = f"a turn let its process grow to {used / 2**20:,.0f} MB"
            _report(turns[0], reason)
            self._kill(turns[0].noun, reason)

    def _run(self) -> None:
        while not self._stop.wait(WATCH_S):
            self.look()


def resident_bytes() -> int:
    """Return how much memory this process has in use; 0 where that can't be told."""
    try:
        with open("/proc/self/statm", "rb") as file:  # noqa: PTH123 - read five times a second
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _raise_in(thread: int, error: type[BaseException] | None) -> None:
    """Raise an error at the thread's next step of Python; None takes back one not raised yet."""
    what = ctypes.py_object(error) if error is not None else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)


class _TooLong(TurnTooLong):
    """`TurnTooLong` as it is raised from outside, which takes a class and no arguments."""

    def __init__(self) -> None:
        super().__init__("The turn ran for too long and was ended.")


def _report(turn: _Turn, reason: str) -> None:
    _log.error("%s: %s\n%s", turn.noun, reason, _stack(turn.thread))


def _stack(thread: int) -> str:
    frame = sys._current_frames().get(thread)
    return "".join(traceback.format_stack(frame)) if frame is not None else "(it has ended)"
