"""A way to end what another thread runs, for whoever hears first that its time is over."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from raydo.pipelining.errors import QueryLimit


class Stop:
    """Interrupt the engine that works on one question."""

    def __init__(self, seconds: float) -> None:
        self.requested = False
        self._seconds = seconds
        self._lock = Lock()
        self._interrupt: Callable[[], object] | None = None

    def request(self) -> None:
        """Interrupt what runs, and what would begin to run."""
        with self._lock:
            self.requested = True
            if self._interrupt is not None:
                self._interrupt()

    def attach(self, interrupt: Callable[[], object]) -> None:
        """Say how what runs from here on is interrupted.

        Raises:
            QueryLimit: it need not begin.
        """
        with self._lock:
            if self.requested:
                raise self.error()
            self._interrupt = interrupt

    def detach(self) -> None:
        """Say that it runs no more."""
        with self._lock:
            self._interrupt = None

    def error(self) -> QueryLimit:
        """Make the error of a question whose time is over."""
        return QueryLimit(
            f"The query ran for more than {self._seconds:g} s.",
            detail={"limit": "time", "max": self._seconds},
        )
