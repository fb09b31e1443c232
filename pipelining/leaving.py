"""How a process leaves: what is queued goes out at a normal exit and at SIGTERM, and a fork starts
without its parent's connections.

SIGTERM becomes a normal exit (`SystemExit`), so that `with`, `async with` and `atexit` do their
work; only where nothing else has claimed the signal. In the child of a fork the sockets and threads
of a connection are its parent's; using one there raises a sentence and never hangs.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its exit must be known before ours
import os
import signal
import threading
import weakref
from collections.abc import Callable
from types import FrameType
from typing import Final, NoReturn, Protocol


class Leaves(Protocol):
    """What leaving needs of a connection."""

    def at_exit(self) -> None:
        """Flush and close, at the end of the process."""
        ...

    def after_fork(self) -> None:
        """Become unusable, in a process that was forked."""
        ...


_open: Final[weakref.WeakSet[Leaves]] = weakref.WeakSet()


def entered(connection: Leaves) -> None:
    """Look after a connection until `left`."""
    _open.add(connection)
    if (
        threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    ):
        signal.signal(signal.SIGTERM, _terminated)


def left(connection: Leaves) -> None:
    """Let a connection go, and the signal with the last one."""
    _open.discard(connection)
    if (
        not _open
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGTERM) is _terminated
    ):
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminated(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _at_exit() -> None:
    for connection in list(_open):
        connection.at_exit()


def _after_fork() -> None:
    for connection in list(_open):
        connection.after_fork()
    _open.clear()


# `atexit` comes too late: thread pools have closed by then, so no turn finds a thread, and a Ray that
# was imported after this has ended. What closes the pools is called in reverse, hence their import.
_register: Final[Callable[[Callable[[], None]], object]] = getattr(
    threading, "_register_atexit", atexit.register
)
_register(_at_exit)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
