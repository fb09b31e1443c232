"""What is done for one object, one thing at a time: turns, timers, drains, chores, sleep.

All of it runs on a pool of threads, beside what is done for other objects. This shell decides only
the order: whoever waits gets a turn, then timers that are due, then what raydo itself has to do.
An archive run goes on beside the turns, elsewhere; only its ends are chores. So does a query that
takes long: its turn is over, and its caller alone waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from raydo.actors.activation import Activation
from raydo.actors.archiver import run_job
from raydo.actors.eraser import run_erasure
from raydo.actors.outside import Outside
from raydo.actors.resident import Answers, Chore, Resident
from raydo.pipelining.errors import ConnectionLost, RaydoError
from raydo.pipelining.limits import (
    ARCHIVE_PAUSE_MS,
    ARCHIVE_RETRY_S,
    ARCHIVES_MAX,
    CLOCK_LOOK_S,
    DRAIN_AFTER_S,
    HOST_THREADS,
)

if TYPE_CHECKING:
    from raydo.actors.clock import Clock
    from raydo.actors.elsewhere import Elsewhere
    from raydo.actors.eraser import Found
    from raydo.actors.idrun import Merge
    from raydo.actors.inquiries import Inquiries
    from raydo.actors.lake_runs import Committed
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import Transport

_log = logging.getLogger("raydo")

T = TypeVar("T")


class Turns:
    """Work for residents; `on_end` is told whenever one has nothing to do any more."""

    def __init__(
        self,
        clock: Clock,
        elsewhere: Elsewhere,
        inquiries: Inquiries,
        on_end: Callable[[], None],
        transport: Transport,
    ) -> None:
        self.count = 0
        self.archived = 0  # runs that are in the archive
        self.archives_failed = 0
        self._clock = clock
        self._elsewhere = elsewhere
        self._inquiries = inquiries
        self._on_end = on_end
        self._outside = Outside(transport, elsewhere, self._chore)
        self._archives = asyncio.Semaphore(ARCHIVES_MAX)
        self._pool = ThreadPoolExecutor(HOST_THREADS, thread_name_prefix="turn")
        self._tasks: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._closing = False

    def serve(self, resident: Resident) -> None:
        """See to it that what waits for an object is done."""
        if not resident.busy:
            self._start(resident, self._serve(resident))

    async def drain(self, resident: Resident) -> None:
        """Drain an object that is idle."""
        await self._start(resident, self._drain_and_serve(resident))

    async def drain_now(self, resident: Resident) -> None:
        """Drain an object, be it busy, between two turns.

        Raises:
            StorageFull, ActivationBroken: not all is drained; nothing is lost.
        """
        if not resident.drained:
            await self._chore(resident, Activation.drain)

    async def rest(self, resident: Resident, asleep: Callable[[Resident], None]) -> None:
        """Close an object that is idle, and say so, unless somebody calls it meanwhile."""
        await self.let_rest(resident, asleep)

    def let_rest(
        self, resident: Resident, asleep: Callable[[Resident], None]
    ) -> asyncio.Task[None]:
        """Do so, and don't wait for it."""
        return self._start(resident, self._rest(resident, asleep))

    def close(self) -> None:
        """Begin nothing any more that nobody waits for."""
        self._closing = True
        for task in self._beside:
            task.cancel()
        self._outside.stop()

    async def delivered(self) -> None:
        """Return when no letter is under way and no job."""
        await self._outside.finish()

    async def finish(self, timeout_s: float | None = None) -> None:
        """Return when nothing is done any more."""
        while self._tasks:
            _, pending = await asyncio.wait(self._tasks, timeout=timeout_s)
            if pending and timeout_s is not None:
                return

    def stop(self) -> None:
        """Let the threads go."""
        self._pool.shutdown(wait=False)

    def _start(self, resident: Resident, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin the one task that a resident has at a time."""
        resident.busy = True
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _serve(self, resident: Resident) -> None:
        """Run turns until nothing waits, and the timers that are due between them."""
        while True:
            if resident.waiting:
                await self._turn(resident)
            if resident.asked or self._is_due(resident):
                await self._fire(resident)
            if resident.chores:
                chore = resident.chores.popleft()
                _tell(chore.answer, await self._on_a_thread(resident.chore, chore.do))
            if resident.drain_due:
                await self._drain_one(resident)
            if not self._closing:
                self._outside.look(resident)
            if not (resident.waiting or resident.asked or resident.chores):
                break
        resident.busy = False
        if resident.archive_due(self._clock.now_ms()) and not self._closing:
            resident.archiving = True  # so it stays awake
            self._background(self._archive(resident))
        self._drain_later(resident)
        self._set_alarm(resident)
        self._on_end()

    async def _turn(self, resident: Resident) -> None:
        batch = resident.take()
        resident.envelopes += len(batch)
        outcomes = await self._on_a_thread(resident.turn, batch)
        self.count += 1
        for each, outcome in zip(batch, outcomes, strict=True):
            if isinstance(outcome, list):
                self._inquire(resident, outcome, each.answer)
            else:
                _tell(each.answer, outcome)

    def _inquire(self, resident: Resident, answers: Answers, waits: asyncio.Future[bytes]) -> None:
        """Answer what the turn has asked, beside the next turns."""
        resident.asking += 1  # so it stays awake
        task = self._background(self._answered(resident, answers, waits))
        waits.add_done_callback(lambda _: task.cancel() if waits.cancelled() else None)

    async def _answered(
        self, resident: Resident, answers: Answers, waits: asyncio.Future[bytes]
    ) -> None:
        try:
            _tell(waits, await self._inquiries.answer(answers))
        except asyncio.CancelledError:
            _tell(waits, ConnectionLost("This host is closing."))
            raise
        finally:
            resident.asking -= 1

    def _is_due(self, resident: Resident) -> bool:
        due_ms = resident.due_ms
        return due_ms is not None and due_ms <= self._clock.now_ms() and not self._closing

    async def _fire(self, resident: Resident) -> None:
        asked, resident.asked = resident.asked, []
        error = await self._on_a_thread(resident.fire, self._clock.now_ms())
        for each in asked:
            _tell(each, resident.next_due_ms if error is None else error)

    async def _archive(self, resident: Resident) -> None:
        """Bring an object's planned run into the archive, then let its rows go from here."""
        try:
            while not await self._archived(resident):  # noqa: ASYNC110 - a pause before a retry
                await asyncio.sleep(ARCHIVE_RETRY_S)
        except Exception:  # noqa: BLE001 - the run stays planned, for the next activation
            _log.exception("%s could not be archived, nothing is lost", resident.noun)
            self.archives_failed += 1
            resident.archive_ms = self._clock.now_ms() + ARCHIVE_PAUSE_MS
        finally:
            resident.archiving = False

    async def _archived(self, resident: Resident) -> bool:
        """Do the run, and those that follow it; tell whether that is the end of it."""
        try:
            async with self._archives:
                while await self._chore(resident, Activation.wants_archive):
                    job = await self._chore(resident, Activation.archive_job)
                    committed = None if job is None else await self._elsewhere(run_job, job)
                    self.archived += committed is not None
                    while not await self._chore(resident, partial(_settle, committed)):
                        continue
                while await self._chore(resident, Activation.wants_erasure):
                    task = await self._chore(resident, Activation.erasure_job)
                    found = None if task is None else await self._elsewhere(run_erasure, task)
                    await self._chore(resident, partial(_settle_erasure, found))
        except RaydoError as error:
            _log.error("%s could not be archived, nothing is lost: %s", resident.noun, error)
            self.archives_failed += 1
            resident.archive_ms = self._clock.now_ms() + ARCHIVE_PAUSE_MS
            return not error.retryable
        return True

    async def _chore(self, resident: Resident, do: Callable[[Activation], T]) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        resident.chores.append(Chore(do, answer))
        self.serve(resident)
        return await answer

    def _background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Let something go on beside the turns, until this closes."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)
        return task

    def _set_alarm(self, resident: Resident) -> None:
        """Look again when the next timer is due, or sooner: the clock may be set meanwhile."""
        due_ms = resident.due_ms
        if resident.alarm is not None and resident.alarm_ms == due_ms:
            return
        resident.hush()
        if due_ms is not None and not self._closing:
            wait_s = min(max(due_ms - self._clock.now_ms(), 0) / 1000, CLOCK_LOOK_S)
            loop = asyncio.get_running_loop()
            resident.alarm = loop.call_later(wait_s, self._look, resident)
            resident.alarm_ms = due_ms

    def _look(self, resident: Resident) -> None:
        resident.alarm = None
        if resident.busy:
            return  # whatever it is busy with looks at the end
        if self._is_due(resident):
            self._start(resident, self._serve(resident))
        else:
            self._set_alarm(resident)

    async def _drain_one(self, resident: Resident) -> None:
        merge = await self._on_a_thread(resident.drain)
        if merge is not None:
            task = asyncio.create_task(self._on_a_thread(run_merge, resident.noun, merge))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _drain_later(self, resident: Resident) -> None:
        """Drain when nobody has called for a moment."""
        if resident.drain_timer is None and not resident.drained and not self._closing:
            loop = asyncio.get_running_loop()
            resident.drain_timer = loop.call_later(DRAIN_AFTER_S, self._drain_idle, resident)

    def _drain_idle(self, resident: Resident) -> None:
        resident.drain_timer = None
        if not (resident.busy or resident.drained or self._closing):
            self._start(resident, self._drain_and_serve(resident))

    async def _drain_and_serve(self, resident: Resident) -> None:
        await self._drain_one(resident)
        await self._serve(resident)

    async def _rest(self, resident: Resident, asleep: Callable[[Resident], None]) -> None:
        """Close an object, unless somebody calls it meanwhile."""
        if resident.post is not None:
            resident.post.stop()  # what has not arrived is on disk
        await self._on_a_thread(resident.sleep)
        if resident.waiting or resident.asked or resident.chores:
            await self._serve(resident)
            return
        resident.busy = False
        resident.hush()
        asleep(resident)

    async def _on_a_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)


def _tell(answer: asyncio.Future[T], outcome: T | RaydoError) -> None:
    if answer.done():  # whoever asked has gone away
        return
    if isinstance(outcome, RaydoError):
        answer.set_exception(copy(outcome))  # each of the turn's callers raises one of its own
    else:
        answer.set_result(outcome)


def _settle(committed: Committed | None, activation: Activation) -> bool:
    return activation.settle_archive(committed)


def _settle_erasure(found: Found | None, activation: Activation) -> None:
    activation.settle_erasure(found)


def run_merge(noun: Noun, merge: Merge) -> None:
    """Merge files of message ids; one that fails is tried again by the next activation."""
    try:
        merge.run()
    except Exception:  # noqa: BLE001 - the ids are safe; a later activation merges them
        _log.exception("Message ids of %s could not be merged", noun)
