"""One object's queue, timers and activation: what a thread does for it, one task at a time."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from time import thread_time
from typing import TYPE_CHECKING, Any, NamedTuple

from raydo.actors import logs
from raydo.actors.alarms import retry_ms
from raydo.actors.asks import Asking
from raydo.pipelining.errors import ActivationBroken, DataInUse, RaydoError, StorageFull
from raydo.pipelining.frame import Answer, Entry, encode_answers
from raydo.pipelining.limits import TURN_BYTES_MAX, TURN_ENVELOPES_MAX, UNBORN_IDLE_S

if TYPE_CHECKING:
    import asyncio

    from raydo.actors.activation import Activation
    from raydo.actors.idrun import Merge
    from raydo.actors.post import Post
    from raydo.actors.watchdog import Watchdog
    from raydo.pipelining.noun import Noun

_log = logging.getLogger("raydo")

Answers = list[Answer | Asking]
Outcome = bytes | Answers | RaydoError  # answers that wait for questions are not encoded yet


class Waiting(NamedTuple):
    """One envelope, decoded, and who waits for its answer."""

    entries: list[Entry]
    size: int
    answer: asyncio.Future[bytes]


class Chore(NamedTuple):
    """Something to do with the activation between two turns, and who waits for it."""

    do: Callable[[Activation], Any]
    answer: asyncio.Future[Any]


class Resident:
    """Hold one object's queue and, while it is awake, its activation."""

    def __init__(self, noun: Noun, make: Callable[[], Activation], watchdog: Watchdog) -> None:
        self.noun = noun
        self.make = make
        self._watchdog = watchdog
        self.activation: Activation | None = None  # touched by a thread alone while `busy`
        self.waiting: deque[Waiting] = deque()
        self.bytes = 0
        self.busy = False
        self.used_ms = 0
        self.envelopes = 0
        self.drain_timer: asyncio.TimerHandle | None = None
        self.next_due_ms: int | None = None  # of its timers, as last seen; None when unknown, too
        self.retry_ms = 0  # its timers wait until then, since so often they could not run:
        self.failures = 0
        self.chores: deque[Chore] = deque()
        self.archiving = False
        self.archive_ms = 0  # no run begins before then, since one has failed
        self.post: Post | None = None  # of the present activation
        self.owes = False  # whether letters or jobs on disk are not done
        self.working = 0  # jobs of its own that are being done elsewhere
        self.posted: Activation | None = None  # whose letters it carries
        self.asking = 0  # envelopes whose answers wait for questions
        self.asked: list[asyncio.Future[int | None]] = []  # who wants its timers looked at now
        self.alarm: asyncio.TimerHandle | None = None
        self.alarm_ms = 0  # for which due time it is

    def add(self, waiting: Waiting) -> None:
        """Let an envelope wait for the next turn."""
        self.waiting.append(waiting)
        self.bytes += waiting.size

    def take(self) -> list[Waiting]:
        """Take out the envelopes of one turn: the first, and what fits beside it."""
        taken: list[Waiting] = []
        size = 0
        while self.waiting and len(taken) < TURN_ENVELOPES_MAX:
            size += self.waiting[0].size
            if taken and size > TURN_BYTES_MAX:
                break
            taken.append(self.waiting.popleft())
        self.bytes -= sum(each.size for each in taken)
        return taken

    @property
    def drain_due(self) -> bool:
        """Whether the next turn should wait for a drain."""
        return self.activation is not None and self.activation.drain_due

    @property
    def drained(self) -> bool:
        """Whether there is nothing to drain."""
        return self.activation is None or self.activation.drained

    @property
    def due_ms(self) -> int | None:
        """When its timers are to run next."""
        return None if self.next_due_ms is None else max(self.next_due_ms, self.retry_ms)

    def hush(self) -> None:
        """Let no alarm go off."""
        if self.alarm is not None:
            self.alarm.cancel()
            self.alarm = None

    # On a thread of the pool

    def turn(self, batch: list[Waiting]) -> list[Outcome]:
        """Run one turn for all of `batch`."""
        try:
            if self.activation is None:
                self.activation = self.make()
            with self._at_work():
                done = self.activation.run([e for each in batch for e in each.entries])
            self._note()
            answers = iter(done)
            return [_outcome([next(answers) for _ in each.entries]) for each in batch]
        except BaseException as error:  # noqa: BLE001 - a SystemExit must not end the host
            self._drop()
            return [_as_error(error)] * len(batch)

    def fire(self, now_ms: int) -> RaydoError | None:
        """Run the timers that are due; return what kept them from running."""
        try:
            if self.activation is None:
                self.activation = self.make()
            with self._at_work():
                self.activation.fire()
            self._note()
        except BaseException as error:  # noqa: BLE001 - a SystemExit must not end the host
            if self.activation is None or self.activation.broken:
                self._drop()
            if isinstance(error, DataInUse):
                self.next_due_ms = None  # whoever has it now runs its timers
            self.retry_ms = now_ms + retry_ms(self.failures)
            self.failures += 1
            _log.warning("Timers of %s wait: %s", self.noun, error)
            return _as_error(error)
        self.retry_ms = self.failures = 0
        return None

    @property
    def may_rest(self) -> bool:
        """Whether nobody works for the object now."""
        sending = self.post is not None and self.post.busy
        return not (self.busy or self.archiving or self.asking or sending or self.working)

    def idle(self, now_ms: int, idle_s: float) -> bool:
        """Whether nobody has used the object for so long; sooner if its tenant does not exist.

        Else whoever asks for names that nobody has would fill the memory.
        """
        if self.activation is None or not self.activation.born:
            idle_s = min(idle_s, UNBORN_IDLE_S)
        return self.used_ms <= now_ms - idle_s * 1000

    def archive_due(self, now_ms: int) -> bool:
        """Whether an archive run waits for somebody to do it."""
        if self.archiving or self.activation is None or now_ms < self.archive_ms:
            return False
        return self.activation.archive_due

    def chore(self, do: Callable[[Activation], Any]) -> Any:
        """Do something with the activation; return its result, or the error that it raised."""
        try:
            if self.activation is None:
                self.activation = self.make()
            with self._at_work():
                result = do(self.activation)
            self._note()
        except BaseException as error:  # noqa: BLE001 - a SystemExit must not end the host
            if self.activation is None or self.activation.broken:
                self._drop()
            return _as_error(error)
        return result

    def drain(self) -> Merge | None:
        """Drain; return a merge of message ids to run beside the turns."""
        if self.activation is None:
            return None
        try:
            with self._at_work(watched=False):
                self.activation.drain()
            return self.activation.merge_due()
        except StorageFull:
            _log.warning("%s cannot be drained: the disk is full", self.noun)
        except Exception:  # noqa: BLE001 - what was acknowledged is in the log
            _log.exception("%s could not be drained; its next call starts it anew", self.noun)
            self._drop()
        return None

    def sleep(self) -> None:
        """Let the object hibernate."""
        activation, self.activation = self.activation, None
        if activation is not None:
            try:
                activation.close()
            except Exception:  # noqa: BLE001 - the next call drains it
                _log.exception("%s went to sleep with a log that is not drained", self.noun)

    @contextmanager
    def _at_work(self, *, watched: bool = True) -> Iterator[None]:
        """Work with the activation: its tenant pays for the thread, and no turn takes for ever."""
        activation = self.activation
        assert activation is not None
        began_s = thread_time()
        token = logs.turn.set((*self.noun, activation.epoch))
        try:
            with self._watchdog.turn(self.noun) if watched else nullcontext():
                yield
        finally:
            logs.turn.reset(token)
            activation.spend(thread_time() - began_s)

    def _note(self) -> None:
        """See when the object must do something next, and whether it owes anybody anything."""
        if self.activation is not None:
            self.next_due_ms = self.activation.next_due_ms
            self.owes = self.activation.owes

    def _drop(self) -> None:
        if self.owes:
            self.next_due_ms = 0  # somebody has to begin again with what is on disk
        activation, self.activation = self.activation, None
        if activation is not None:
            activation.abandon()


def _outcome(answers: Answers) -> Outcome:
    done = [answer for answer in answers if isinstance(answer, Answer)]
    return encode_answers(done) if len(done) == len(answers) else answers


def _as_error(error: BaseException) -> RaydoError:
    if isinstance(error, RaydoError):
        return error
    _log.error("A turn failed outside of any call", exc_info=error)
    return ActivationBroken(f"The turn failed: {type(error).__name__}: {error}")
