"""What all batches of one connection share: its bounds, its counts, its lock, its complaints."""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from raydo.pipelining.errors import OutboxFull
from raydo.pipelining.limits import CALL_TIMEOUT_S, OUTBOX_BYTES_MAX, OUTBOX_CASTS_MAX
from raydo.pipelining.state import Settled

if TYPE_CHECKING:
    from raydo.pipelining.journal import Journal
    from raydo.pipelining.noun import Noun

logger: Final = logging.getLogger("raydo")

OnError = Callable[[Exception], None]


@dataclass(slots=True)
class Stats:
    """What a connection has done so far."""

    envelopes: int = 0
    frames: int = 0
    retries: int = 0  # frames that were sent once more
    pulls: int = 0  # promises awaited that went over the wire
    casts_queued: int = 0
    casts_sent: int = 0  # known to be durable, or refused by the object
    casts_failed: int = 0
    casts_dropped: int = 0  # refused here because the outbox was full
    casts_waiting: int = 0
    bytes_waiting: int = 0
    casts_kept: int = 0  # of those that wait: left in the outbox's file by an earlier process


class Outbox:
    """Bound what waits in this process, and report what nobody waits for."""

    def __init__(
        self,
        on_error: OnError | None = None,
        timeout_s: float = CALL_TIMEOUT_S,
        *,
        patient: bool = True,
    ) -> None:
        self.lock: Final = threading.RLock()  # casts and awaits may come from any thread
        self.stats: Final = Stats()
        self.timeout_s: Final = timeout_s
        self.patient: Final = patient  # whether to try again when the other side is too busy
        self.trouble = ""  # what the latest attempt met with, until one has an answer
        self.emptying = 0  # batches whose queues are being compiled, each for the one before
        self.journal: Journal | None = None  # where casts are kept on disk
        self._on_error = on_error
        self._unseen: weakref.WeakSet[Settled] = weakref.WeakSet()

    def take(self, size: int) -> None:
        """Make room for one more cast.

        Raises:
            OutboxFull: over a bound; the cast is dropped and counted.
        """
        stats = self.stats
        if stats.casts_waiting >= OUTBOX_CASTS_MAX or stats.bytes_waiting + size > OUTBOX_BYTES_MAX:
            stats.casts_dropped += 1
            raise OutboxFull(
                f"{stats.casts_waiting:,} casts of {stats.bytes_waiting:,} bytes wait already, so this one "
                f"was dropped ({stats.casts_dropped:,} dropped so far). Await some, or flush()."
            )
        stats.casts_queued += 1
        stats.casts_waiting += 1
        stats.bytes_waiting += size

    def write_down(self, noun: Noun, name: str, op: bytes) -> None:
        """Put a cast on disk, if that is wanted.

        Raises:
            OutboxFull: the disk does not take it; it is dropped and counted.
        """
        if self.journal is None:
            return
        try:
            self.journal.add(noun, name, op)
        except OutboxFull:
            self.stats.casts_queued -= 1
            self.stats.casts_waiting -= 1
            self.stats.bytes_waiting -= len(op)
            self.stats.casts_dropped += 1
            raise

    def take_kept(self, casts: int, size: int) -> None:
        """Take over casts that an earlier process left; there is always room for those."""
        self.stats.casts_kept += casts
        self.stats.casts_queued += casts
        self.stats.casts_waiting += casts
        self.stats.bytes_waiting += size

    def give(self, casts: int, size: int) -> None:
        """Take note that casts wait no longer."""
        self.stats.casts_waiting -= casts
        self.stats.casts_sent += casts
        self.stats.bytes_waiting -= size

    def report_unless_seen(self, state: Settled, where: str) -> None:
        """Report a cast's failure once its promise is dropped without having been awaited."""
        state.unless_seen(lambda error: self.report(error, where))
        self._unseen.add(state)

    def report_unseen(self) -> None:
        """Report now what would wait for its promise to be dropped."""
        for state in list(self._unseen):
            state.report_now()

    def report(self, error: Exception, where: str, casts: int = 1) -> None:
        """Tell the log and the hook about a failure that nobody awaits."""
        self.stats.casts_failed += casts
        error.add_note(f"in {where}, which nobody awaited")
        logger.error("%s failed and nobody awaited it: %s", where, error)
        if self._on_error is None:
            return
        try:
            self._on_error(error)
        except Exception:
            logger.exception("The on_error hook itself raised")
