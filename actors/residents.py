"""The live objects of one process, and whose turn it is.

Envelopes that arrive for one object while its turn runs wait in its queue, and all of them share
the next turn, so one commit: the busier an object, the fewer its disk writes per envelope. Turns of
different objects run side by side on a pool of threads; turns of one never do. This shell decides
nothing: it moves envelopes to `Activation` and answers back.

An object that nobody called for a while sleeps, and so does the one unused for longest when files
run short. A broken activation is thrown away, and the next call makes a new one.
"""

from __future__ import annotations

import asyncio
import logging
import os
import resource
from collections import OrderedDict, deque
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from raydo.actors import tenant
from raydo.actors.activation import Activation
from raydo.actors.settings import Settings
from raydo.pipelining.errors import ActivationBroken, ConnectionLost, Overloaded, RaydoError
from raydo.pipelining.frame import Entry, decode_envelope, encode_answers
from raydo.pipelining.limits import (
    ACTIVATIONS_OPEN_MAX,
    HOST_THREADS,
    QUEUE_BYTES_MAX,
    QUEUE_ENVELOPES_MAX,
    SHUTDOWN_S,
    TURN_ENVELOPES_MAX,
)
from raydo.pipelining.stub import registered

if TYPE_CHECKING:
    from raydo.actors.clock import Clock
    from raydo.actors.object import DurableObject
    from raydo.pipelining.noun import Noun

FILES_PER_ACTIVATION: Final = 4  # the database, its log, its index, and a query's own
SWEEPS_PER_IDLE: Final = 4  # how often one looks for idle objects, in the time that makes one idle
BUSY_RETRY_S: Final = 1.0

_log = logging.getLogger("raydo")

T = TypeVar("T")
Outcome = bytes | RaydoError


class _Waiting(NamedTuple):
    """One envelope, decoded, and who waits for its answer."""

    entries: list[Entry]
    size: int
    answer: asyncio.Future[bytes]


class _Resident:
    """One object's queue and, while it is awake, its activation."""

    def __init__(self, noun: Noun, make: Callable[[], Activation]) -> None:
        self.noun = noun
        self.make = make
        self.activation: Activation | None = None  # touched by the turn alone while `busy`
        self.waiting: deque[_Waiting] = deque()
        self.bytes = 0
        self.busy = False
        self.used_ms = 0

    def turn(self, batch: list[_Waiting]) -> list[Outcome]:
        """Run one turn for all of `batch`, on a thread of the pool."""
        try:
            if self.activation is None:
                self.activation = self.make()
            answers = iter(self.activation.run([e for each in batch for e in each.entries]))
            return [encode_answers([next(answers) for _ in each.entries]) for each in batch]
        except BaseException as error:  # noqa: BLE001 - a SystemExit must not end the host
            self.sleep()
            return [_as_error(error)] * len(batch)

    def sleep(self) -> None:
        """Close the activation, on a thread of the pool."""
        activation, self.activation = self.activation, None
        if activation is not None:
            activation.close()


class Residents:
    """Deliver envelopes to the objects that live in this process."""

    def __init__(
        self,
        data: Path,
        *,
        clock: Clock,
        settings: Settings | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.envelopes = 0
        self.frames = 0
        self.turns = 0
        self._data = data
        self._clock = clock
        self._random = random
        self._idle_s = (settings or Settings()).idle_s
        self._open_max = min(ACTIVATIONS_OPEN_MAX, _files_max() // 2 // FILES_PER_ACTIVATION)
        self._residents: OrderedDict[Noun, _Resident] = OrderedDict()  # the latest used last
        self._pool = ThreadPoolExecutor(HOST_THREADS, thread_name_prefix="turn")
        self._tasks: set[asyncio.Task[None]] = set()
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
        resident.waiting.append(_Waiting(entries, len(envelope), answer))
        resident.bytes += len(envelope)
        if not resident.busy:
            self._start(resident, self._serve(resident))
        return await answer

    def counts(self) -> dict[str, int]:
        """Count what was delivered since the start, and the objects that are awake."""
        awake = sum(resident.activation is not None for resident in self._residents.values())
        return {
            "envelopes": self.envelopes,
            "frames": self.frames,
            "turns": self.turns,
            "awake": awake,
        }

    async def sweep(self) -> None:
        """Let every object sleep that was idle for long enough."""
        before_ms = self._clock.now_ms() - self._idle_s * 1000
        idle = [r for r in self._residents.values() if not r.busy and r.used_ms <= before_ms]
        await asyncio.gather(*[self._start(resident, self._rest(resident)) for resident in idle])

    async def close(self) -> None:
        """Take no more envelopes, finish those that wait, and close every object."""
        self._closing = True
        if self._sweeper is not None:
            self._sweeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._sweeper
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=SHUTDOWN_S)
        idle = [resident for resident in self._residents.values() if not resident.busy]
        await asyncio.gather(*[self._start(resident, self._rest(resident)) for resident in idle])
        self._pool.shutdown(wait=False)

    async def crash(self) -> list[Activation]:
        """Forget every live object between two turns, without closing it, and hand it over."""
        while self._tasks:
            await asyncio.wait(self._tasks)
        lost = [r.activation for r in self._residents.values() if r.activation is not None]
        self._residents.clear()
        return lost

    def _resident(self, noun: Noun) -> _Resident:
        resident = self._residents.get(noun)
        if resident is None:
            cls: type[DurableObject] = registered(noun.cls)
            tenant.folder(self._data, noun)  # refuses what can be no tenant

            def make() -> Activation:
                return Activation(noun, cls, self._data, clock=self._clock, random=self._random)

            resident = _Resident(noun, make)
            self._residents[noun] = resident
        self._residents.move_to_end(noun)
        resident.used_ms = self._clock.now_ms()
        return resident

    def _start(self, resident: _Resident, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Begin the one task that a resident has at a time."""
        resident.busy = True
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self._sweeper is None:
            self._sweeper = asyncio.create_task(self._sweep_for_ever())
        return task

    async def _serve(self, resident: _Resident) -> None:
        """Run turns until nothing waits."""
        while resident.waiting:
            count = min(len(resident.waiting), TURN_ENVELOPES_MAX)
            batch = [resident.waiting.popleft() for _ in range(count)]
            resident.bytes -= sum(each.size for each in batch)
            outcomes = await self._on_a_thread(resident.turn, batch)
            self.turns += 1
            for each, outcome in zip(batch, outcomes, strict=True):
                _tell(each.answer, outcome)
        resident.busy = False
        self._make_room()

    async def _rest(self, resident: _Resident) -> None:
        """Close an object, unless somebody calls it meanwhile."""
        await self._on_a_thread(resident.sleep)
        if resident.waiting:
            await self._serve(resident)
            return
        resident.busy = False
        if self._residents.get(resident.noun) is resident:
            del self._residents[resident.noun]

    def _make_room(self) -> None:
        """Put the objects unused for longest to sleep when more are known than may be open."""
        excess = len(self._residents) - self._open_max
        if excess > 0:
            idle = [r for r in self._residents.values() if not r.busy]
            for resident in idle[:excess]:
                self._start(resident, self._rest(resident))

    async def _sweep_for_ever(self) -> None:
        while True:
            await asyncio.sleep(self._idle_s / SWEEPS_PER_IDLE)
            await self.sweep()

    async def _on_a_thread(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, work, *args)


def _tell(answer: asyncio.Future[bytes], outcome: Outcome) -> None:
    if answer.done():  # whoever asked has gone away
        return
    if isinstance(outcome, bytes):
        answer.set_result(outcome)
    else:
        answer.set_exception(copy(outcome))  # each of the turn's callers raises one of its own


def _as_error(error: BaseException) -> RaydoError:
    if isinstance(error, RaydoError):
        return error
    _log.error("A turn failed outside of any call", exc_info=error)
    return ActivationBroken(f"The turn failed: {type(error).__name__}: {error}")


def _files_max() -> int:
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
