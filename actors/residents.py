"""The live objects of one process, and whose turn it is.

Envelopes that arrive for one object while its turn runs wait in its queue, and all of them share
the next turn, so one sync: the busier an object, the fewer its disk writes per envelope. Turns of
different objects run side by side on a pool of threads; turns of one never do. This shell decides
nothing: it moves envelopes to `Activation` and answers back.

An object that nobody called for a while sleeps, and so does the one unused for longest when files
run short. A broken activation is thrown away, and the next call makes a new one.

While an object is awake its timers run when they are due, between two turns. The clock that was
given says when that is; the event loop's timers only say when to look at it. Timers of objects
asleep are for whoever calls `fire`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections import OrderedDict
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from raydo.actors import tenant
from raydo.actors.activation import Activation
from raydo.actors.archiver import Archiver, on_a_thread
from raydo.actors.disk import OsDisk
from raydo.actors.resident import Chore, Resident, Waiting
from raydo.actors.settings import Settings
from raydo.actors.watchdog import Watchdog
from raydo.pipelining.errors import ConnectionLost, Overloaded, RaydoError
from raydo.pipelining.frame import decode_envelope
from raydo.pipelining.limits import (
    ACTIVATIONS_OPEN_MAX,
    ARCHIVE_RETRY_S,
    ARCHIVES_MAX,
    CLOCK_LOOK_S,
    DRAIN_AFTER_S,
    HOST_THREADS,
    QUEUE_BYTES_MAX,
    QUEUE_ENVELOPES_MAX,
    SHUTDOWN_S,
)
from raydo.pipelining.stub import registered

if TYPE_CHECKING:
    from raydo.actors.clock import Clock
    from raydo.actors.idrun import Merge
    from raydo.actors.lake_runs import Committed
    from raydo.actors.object import DurableObject
    from raydo.pipelining.noun import Noun

FILES_PER_ACTIVATION: Final = 9  # SQLite's three, a query's three, the epoch, and two segments
SWEEPS_PER_IDLE: Final = 4  # how often one looks for idle objects, in the time that makes one idle
BUSY_RETRY_S: Final = 1.0

_log = logging.getLogger("raydo")

T = TypeVar("T")


class Residents:
    """Deliver envelopes to the objects that live in this process."""

    def __init__(
        self,
        data: Path,
        *,
        clock: Clock,
        settings: Settings | None = None,
        random: Callable[[int], bytes] = os.urandom,
        host: bool = False,
        watchdog: Watchdog | None = None,
        on_sleep: Callable[[Noun, int | None], None] | None = None,
        archiver: Archiver = on_a_thread,
    ) -> None:
        self.envelopes = 0
        self.frames = 0
        self.turns = 0
        self._data = data
        self._clock = clock
        self._random = random
        self._host = host  # whether a successor may end this process
        self._watchdog = watchdog or Watchdog()
        self._watchdog.start()
        self._on_sleep = on_sleep
        self._disk = OsDisk()
        self._idle_s = (settings or Settings()).idle_s
        self._open_max = min(ACTIVATIONS_OPEN_MAX, _files_max() // 2 // FILES_PER_ACTIVATION)
        self._residents: OrderedDict[Noun, Resident] = OrderedDict()  # the latest used last
        self._pool = ThreadPoolExecutor(HOST_THREADS, thread_name_prefix="turn")
        self._tasks: set[asyncio.Task[None]] = set()
        self._beside: set[asyncio.Task[None]] = set()
        self._archiver = archiver
        self._archives = asyncio.Semaphore(ARCHIVES_MAX)
        self._sweeper: asyncio.Task[None] | None = None
        self._closing = False

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        """Apply an envelope to one object; what it changed is on disk when this returns.

        Raises:
            UnknownObject, InvalidTenant: there can be no such object.
            InvalidArgument, TooLarge: it is no envelope.
            Overloaded: too much waits for this object.
            ActivationBroken, StorageFull: the outcome is unknown; send the same again.
            ConnectionLost: this process is about to end.
        """
        if self._closing:
            raise ConnectionLost("This host is closing.")
        entries = decode_envelope(envelope)
        resident = self._resident(noun)
        if (
            len(resident.waiting) >= QUEUE_ENVELOPES_MAX
            or resident.bytes + len(envelope) > QUEUE_BYTES_MAX
        ):
            raise Overloaded(f"Too much waits for {noun}.", retry_after_s=BUSY_RETRY_S)
        self.envelopes += 1
        self.frames += len(entries)
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        resident.add(Waiting(entries, len(envelope), answer))
        if not resident.busy:
            self._start(resident, self._serve(resident))
        return await answer

    async def fire(self, noun: Noun) -> int | None:
        """Run the timers of an object that are due, and wake it for that; return the next due time.

        Raises:
            UnknownObject, InvalidTenant: there can be no such object.
            RaydoError: it did not wake, or its disk failed; what did not run stays due.
            ConnectionLost: this process is about to end.
        """
        if self._closing:
            raise ConnectionLost("This host is closing.")
        resident = self._resident(noun)
        answer: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        resident.asked.append(answer)
        if not resident.busy:
            self._start(resident, self._serve(resident))
        return await answer

    def awake(self, noun: Noun) -> bool:
        """Tell whether an object is awake here."""
        resident = self._residents.get(noun)
        return resident is not None and resident.activation is not None

    def next_due(self) -> tuple[int, Noun] | None:
        """Tell whose timers among the objects known here are to run next, and when."""
        due = [(r.due_ms, r.noun) for r in self._residents.values()]
        return min(((ms, noun) for ms, noun in due if ms is not None), default=None)

    def counts(self) -> dict[str, int]:
        """Count what was delivered since the start, and the objects that are awake."""
        awake = sum(resident.activation is not None for resident in self._residents.values())
        return {
            "envelopes": self.envelopes,
            "frames": self.frames,
            "turns": self.turns,
            "awake": awake,
            "objects": len(self._residents),
            "waiting": sum(len(resident.waiting) for resident in self._residents.values()),
            "syncs": self._disk.syncs,
        }

    def counts_of(self, noun: Noun) -> dict[str, int]:
        """Count the envelopes that one object got since it lives here."""
        resident = self._residents.get(noun)
        return {"envelopes": resident.envelopes if resident is not None else 0}

    def status(self) -> list[dict[str, Any]]:
        """Describe every object that lives here."""
        return [
            {
                "noun": list(resident.noun),
                "awake": resident.activation is not None,
                "waiting": len(resident.waiting),
                "used_ms": resident.used_ms,
                "envelopes": resident.envelopes,
            }
            for resident in self._residents.values()
        ]

    def admit(self, noun: Noun) -> None:
        """Let an object live here; nobody has called it yet."""
        self._resident(noun)

    async def sweep(self) -> None:
        """Let every object sleep that was idle for long enough."""
        before_ms = self._clock.now_ms() - self._idle_s * 1000
        idle = [r for r in self._residents.values() if r.may_rest and r.used_ms <= before_ms]
        await asyncio.gather(*[self._start(resident, self._rest(resident)) for resident in idle])

    async def drain(self) -> None:
        """Drain every object that is idle, now."""
        idle = [r for r in self._residents.values() if not (r.busy or r.drained)]
        await asyncio.gather(*[self._start(r, self._drain_and_serve(r)) for r in idle])

    async def close(self) -> None:
        """Take no more envelopes, finish those that wait, and close every object."""
        self._closing = True
        for task in self._beside:
            task.cancel()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SHUTDOWN_S)
        idle = [resident for resident in self._residents.values() if not resident.busy]
        await asyncio.gather(*[self._start(resident, self._rest(resident)) for resident in idle])
        self._pool.shutdown(wait=False)
        self._watchdog.stop()

    async def crash(self) -> list[Activation]:
        """Forget every live object between two turns, without closing it, and hand it over."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        residents = list(self._residents.values())
        self._residents.clear()
        lost = [r.activation for r in residents if r.activation is not None]
        for resident in residents:
            resident.activation = None  # a drain that was planned finds nothing to do
            resident.hush()
        for activation in lost:
            activation.crash()
        return lost

    def _resident(self, noun: Noun) -> Resident:
        resident = self._residents.get(noun)
        if resident is None:
            cls: type[DurableObject] = registered(noun.cls)
            tenant.folder(self._data, noun)  # refuses what can be no tenant

            def make() -> Activation:
                return Activation(
                    noun,
                    cls,
                    self._data,
                    clock=self._clock,
                    random=self._random,
                    disk=self._disk,
                    host=self._host,
                )

            resident = Resident(noun, make, self._watchdog)
            self._residents[noun] = resident
        self._residents.move_to_end(noun)
        resident.used_ms = self._clock.now_ms()
        return resident

    def _start(self, resident: Resident, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin the one task that a resident has at a time."""
        resident.busy = True
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep_for_ever())
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
            if not (resident.waiting or resident.asked or resident.chores):
                break
        resident.busy = False
        if resident.archive_due and not self._closing:
            self._background(self._archive(resident))
        self._drain_later(resident)
        self._set_alarm(resident)
        self._make_room()

    async def _turn(self, resident: Resident) -> None:
        batch = resident.take()
        resident.envelopes += len(batch)
        outcomes = await self._on_a_thread(resident.turn, batch)
        self.turns += 1
        for each, outcome in zip(batch, outcomes, strict=True):
            _tell(each.answer, outcome)

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
        resident.archiving = True  # so it stays awake
        try:
            while not await self._archived(resident):  # noqa: ASYNC110 - a pause before a retry
                await asyncio.sleep(ARCHIVE_RETRY_S)
        except Exception:  # noqa: BLE001 - the run stays planned, for the next activation
            _log.exception("%s could not be archived, nothing is lost", resident.noun)
        finally:
            resident.archiving = False

    async def _archived(self, resident: Resident) -> bool:
        """Do the run, and tell whether that is the end of it."""
        try:
            async with self._archives:
                job = await self._chore(resident, Activation.archive_job)
                committed = None if job is None else await self._archiver(job)
                while not await self._chore(resident, partial(_settle, committed)):
                    continue
        except RaydoError as error:
            _log.error("%s could not be archived, nothing is lost: %s", resident.noun, error)
            return not error.retryable
        return True

    async def _chore(self, resident: Resident, do: Callable[[Activation], T]) -> T:
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        resident.chores.append(Chore(do, answer))
        if not resident.busy:
            self._start(resident, self._serve(resident))
        return await answer

    def _background(self, work: Coroutine[Any, Any, None]) -> None:
        """Let something go on beside the turns, until this closes."""
        task = asyncio.create_task(work)
        self._beside.add(task)
        task.add_done_callback(self._beside.discard)

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

    async def _rest(self, resident: Resident) -> None:
        """Close an object, unless somebody calls it meanwhile."""
        await self._on_a_thread(resident.sleep)
        if resident.waiting or resident.asked or resident.chores:
            await self._serve(resident)
            return
        resident.busy = False
        resident.hush()
        if self._residents.get(resident.noun) is resident:
            del self._residents[resident.noun]
            if self._on_sleep is not None:
                self._on_sleep(resident.noun, resident.due_ms)

    def _make_room(self) -> None:
        """Put the objects unused for longest to sleep when more are known than may be open."""
        excess = len(self._residents) - self._open_max
        if excess > 0:
            idle = [r for r in self._residents.values() if r.may_rest]
            for resident in idle[:excess]:
                self._start(resident, self._rest(resident))

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._idle_s / SWEEPS_PER_IDLE)
            await self.sweep()

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


def run_merge(noun: Noun, merge: Merge) -> None:
    """Merge files of message ids; one that fails is tried again by the next activation."""
    try:
        merge.run()
    except Exception:  # noqa: BLE001 - the ids are safe; a later activation merges them
        _log.exception("Message ids of %s could not be merged", noun)


def _files_max() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
