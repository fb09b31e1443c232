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
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from raydo.actors import tenant
from raydo.actors.activation import Activation
from raydo.actors.disk import OsDisk
from raydo.actors.elsewhere import Elsewhere, on_a_thread
from raydo.actors.figures import figures
from raydo.actors.inquiries import Inquiries
from raydo.actors.ledger import Usage
from raydo.actors.resident import Resident, Waiting
from raydo.actors.settings import Settings
from raydo.actors.turns import Turns
from raydo.actors.watchdog import Watchdog, resident_bytes
from raydo.pipelining.errors import ConnectionLost, Overloaded, RaydoError
from raydo.pipelining.frame import decode_envelope
from raydo.pipelining.limits import (
    ACTIVATIONS_OPEN_MAX,
    EVICT_ABOVE,
    EVICTED_SHARE,
    OWED_S,
    QUERY_WORKERS,
    QUERY_WORKERS_HOST,
    QUEUE_BYTES_MAX,
    QUEUE_ENVELOPES_MAX,
    RELIEF_S,
    SHUTDOWN_S,
)
from raydo.pipelining.stub import registered

if TYPE_CHECKING:
    from raydo.actors.clock import Clock
    from raydo.actors.object import DurableObject
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.transport import More, Transport

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
        elsewhere: Elsewhere = on_a_thread,
        transport: Transport | None = None,
        memory: Callable[[], int] = resident_bytes,
    ) -> None:
        self.envelopes = 0
        self.frames = 0
        self.usage = Usage()  # of all objects that lived here
        self._data = data
        self._clock = clock
        self._random = random
        self._host = host  # whether a successor may end this process
        self._watchdog = watchdog or Watchdog()
        self._watchdog.start()
        self._on_sleep = on_sleep
        self._disk = OsDisk()
        self._settings = settings = settings or Settings()
        self._idle_s = settings.idle_s
        self._memory = memory
        self._bytes_max = int(settings.host_bytes_max() * EVICT_ABOVE)
        self._open_max = min(ACTIVATIONS_OPEN_MAX, _files_max() // 2 // FILES_PER_ACTIVATION)
        self._residents: OrderedDict[Noun, Resident] = OrderedDict()  # the latest used last
        workers = QUERY_WORKERS_HOST if host else QUERY_WORKERS
        self._inquiries = Inquiries(data, elsewhere, workers=workers, network=bool(settings.lake))
        self._turns = Turns(clock, elsewhere, self._inquiries, self._make_room, transport or self)
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
        self._serve(resident)
        return await answer

    async def send(self, noun: Noun, envelope: bytes, more: More | None = None) -> bytes:
        """See `Transport.send`: all objects may live here."""
        del more  # nothing streams yet
        return await self.deliver(noun, envelope)

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
        self._serve(resident)
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
            "turns": self._turns.count,
            "awake": awake,
            "objects": len(self._residents),
            "waiting": sum(len(resident.waiting) for resident in self._residents.values()),
            "syncs": self._disk.syncs,
            **{f"queries_{name}": count for name, count in self._inquiries.stats().items()},
        }

    def figures(self) -> dict[str, Any]:
        """Tell what a monitor wants to know of this process; see `actors.figures`."""
        return {
            **self.counts(),
            **figures(
                self.usage, self._disk.sync_s, self._residents.values(), self._clock.now_ms()
            ),
            "archived": self._turns.archived,
            "archives_failed": self._turns.archives_failed,
            "bytes": self._memory(),
        }

    async def drain_now(self, noun: Noun | None = None) -> list[str]:
        """Drain one object, or all, also those that are busy; name those that could not be."""
        failed = []
        for resident in list(self._residents.values()):
            if noun is None or resident.noun == noun:
                try:
                    await self._turns.drain_now(resident)
                except RaydoError as error:
                    _log.warning("%s cannot be drained: %s", resident.noun, error)
                    failed.append(str(resident.noun))
        return failed

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
        now_ms = self._clock.now_ms()
        idle = [r for r in self._residents.values() if r.may_rest and r.idle(now_ms, self._idle_s)]
        await asyncio.gather(*[self._turns.rest(resident, self._asleep) for resident in idle])

    async def relieve(self) -> None:
        """Let the objects unused for longest sleep while the process needs too much memory."""
        if self._memory() > self._bytes_max:
            idle = [resident for resident in self._residents.values() if resident.may_rest]
            oldest = idle[: max(1, len(idle) // EVICTED_SHARE)] if idle else []
            await asyncio.gather(*[self._turns.rest(each, self._asleep) for each in oldest])

    async def delivered(self) -> None:
        """Return when nobody has told another object anything that has not arrived."""
        await self._turns.delivered()

    async def drain(self) -> None:
        """Drain every object that is idle, now."""
        idle = [r for r in self._residents.values() if not (r.busy or r.drained)]
        await asyncio.gather(*[self._turns.drain(resident) for resident in idle])

    async def close(self) -> None:
        """Take no more envelopes, finish those that wait, and close every object."""
        self._closing = True
        self._turns.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        await self._inquiries.close()
        await self._turns.finish(SHUTDOWN_S)
        idle = [resident for resident in self._residents.values() if not resident.busy]
        await asyncio.gather(*[self._turns.rest(resident, self._asleep) for resident in idle])
        self._turns.stop()
        self._watchdog.stop()

    async def crash(self) -> list[Activation]:
        """Forget every live object between two turns, without closing it, and hand it over."""
        await self._turns.finish()
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
                    settings=self._settings,
                    usage=self.usage,
                )

            resident = Resident(noun, make, self._watchdog)
            self._residents[noun] = resident
        self._residents.move_to_end(noun)
        resident.used_ms = self._clock.now_ms()
        return resident

    def _serve(self, resident: Resident) -> None:
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep_for_ever())
        self._turns.serve(resident)

    def _asleep(self, resident: Resident) -> None:
        if self._residents.get(resident.noun) is resident:
            del self._residents[resident.noun]
            if self._on_sleep is not None:
                self._on_sleep(resident.noun, self._wakes_ms(resident))

    def _wakes_ms(self, resident: Resident) -> int | None:
        """Return when an object asleep must wake: for its timers, or for what it owes."""
        due_ms = resident.due_ms
        if not resident.owes:
            return due_ms
        owed_ms = self._clock.now_ms() + round(OWED_S * 1000)
        return owed_ms if due_ms is None else min(due_ms, owed_ms)

    def _make_room(self) -> None:
        """Put the objects unused for longest to sleep when more are known than may be open."""
        excess = len(self._residents) - self._open_max
        if excess > 0:
            idle = [resident for resident in self._residents.values() if resident.may_rest]
            for resident in idle[:excess]:
                self._turns.let_rest(resident, self._asleep)

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(min(self._idle_s / SWEEPS_PER_IDLE, RELIEF_S))
            await self.sweep()
            await self.relieve()


def _files_max() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
