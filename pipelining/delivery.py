"""Deliver the frames of one session in order, each applied once, over a transport that may fail.

A frame keeps its number from its first attempt to its answer, so the receiver can tell a repetition.
New frames may follow one another without waiting; a frame that has to go again waits until nothing
before it is under way, and everything behind it waits as well: sent earlier it would only meet a
gap. A frame that goes aside has an envelope to itself, which counts for nobody: its answer may take
long, and the frames behind it need not wait for that. `acked_to` tells the receiver what is settled here, be it answered or given up.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from itertools import count
from typing import TYPE_CHECKING, Final

from raydo.pipelining.errors import (
    ActivationBroken,
    ConnectionLost,
    InvalidArgument,
    OutcomeUnknown,
    Overloaded,
    RaydoError,
    Starting,
    Unavailable,
)
from raydo.pipelining.frame import (
    APPLIED,
    GAP,
    Answer,
    Entry,
    Reply,
    decode_answers,
    encode_envelope,
)
from raydo.pipelining.limits import (
    ENVELOPES_IN_FLIGHT_MAX,
    FRAME_FILL_BYTES,
    FRAMES_IN_FLIGHT_MAX,
    RETRY_FIRST_S,
    RETRY_MAX_S,
)
from raydo.pipelining.noun import Noun
from raydo.pipelining.outbox import Outbox
from raydo.pipelining.outgoing_frame import Frame
from raydo.pipelining.transport import Transport

if TYPE_CHECKING:
    from raydo.pipelining.convoy import Convoy

_pumped: Final = count()  # in which order frames left their queues

_KNOWN: Final = (
    "This was applied, but its reply came too late to be kept. Read the result by another call."
)


class Sender:
    """Send frames through a transport and match the answers to them. Lives in one event loop."""

    def __init__(
        self,
        noun: Noun,
        transport: Transport,
        outbox: Outbox,
        session: bytes,
        on_room: Callable[[], None],
        *,
        by: str = "",
    ) -> None:
        self.noun = noun
        self.next_n = 1
        self._transport = transport
        self._outbox = outbox
        self._session = session
        self._by = by  # who it is that sends
        self._on_room = on_room
        self._frames: dict[int, Frame] = {}  # unsettled, by number, in order
        self._marks: list[tuple[int, Callable[[], None]]] = []
        self._envelopes = 0
        self._failures = 0  # attempts in a row that brought no answer
        self._pause: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def has_room(self) -> bool:
        """Whether a new frame could leave now."""
        return (
            self._envelopes < ENVELOPES_IN_FLIGHT_MAX
            and len(self._frames) < FRAMES_IN_FLIGHT_MAX
            and self._pause is None
        )

    @property
    def prompt(self) -> bool:
        """Whether a new frame would leave at once."""
        return self.has_room and all(frame.travelling for frame in self._frames.values())

    @property
    def idle(self) -> bool:
        return not self._frames and not self._envelopes

    def add(self, frame: Frame) -> None:
        """Number a frame; `pump` sends it."""
        frame.n = self.next_n
        self.next_n += 1
        self._frames[frame.n] = frame

    def mark(self, done: Callable[[], None]) -> None:
        """Call `done` when everything added so far is settled."""
        self._marks.append((self.next_n - 1, done))
        self._pass_marks()

    def pump(self) -> None:
        """Send whatever may leave now."""
        while self._pause is None and self._envelopes < ENVELOPES_IN_FLIGHT_MAX:
            frames = self._ready()
            if not frames:
                return
            for frame in frames:
                frame.travelling = True
                frame.attempts += 1
                frame.order = next(_pumped)
            self._envelopes += not frames[0].aside
            task = asyncio.get_running_loop().create_task(self._deliver(frames))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    def _ready(self) -> list[Frame]:
        """Choose the frames of the next envelope."""
        ready: list[Frame] = []
        size, ahead = 0, False
        for frame in self._frames.values():
            if frame.travelling:
                ahead |= not frame.aside
                continue
            if (frame.again and ahead) or size >= FRAME_FILL_BYTES:
                break
            if (frame.aside and ready) or not frame.complete():
                break
            ready.append(frame)
            if frame.aside:
                break
            size += len(frame.program)
        return ready

    async def _deliver(self, frames: list[Frame]) -> None:
        stats = self._outbox.stats
        stats.envelopes += 1
        stats.frames += len(frames)
        stats.retries += sum(frame.again for frame in frames)
        try:
            answers = await self._exchange(frames)
        except (Overloaded, Starting) as error:
            if self._outbox.patient:
                self._failed(frames, error)
            else:
                self._settle_all(frames, error)
        except (ActivationBroken, ConnectionLost) as error:
            self._failed(frames, error)
        except Unavailable as error:
            # Whoever asked may ask again. What was only told would be lost, and goes again here.
            told = [frame for frame in frames if frame.told and self._outbox.patient]
            self._settle_all([frame for frame in frames if frame not in told], error)
            self._failed(told, error)
        except Exception as error:  # noqa: BLE001  # refused for good: every frame's caller hears it
            self._settle_all(frames, error)
        else:
            self._failures = 0
            self._outbox.trouble = ""
            for frame, answer in zip(frames, answers, strict=True):
                self._answered(frame, answer)
        finally:
            self._envelopes -= not frames[0].aside
            for frame in frames:
                frame.travelling = False
        self._pass_marks()
        self.pump()
        self._on_room()

    async def _exchange(self, frames: list[Frame]) -> list[Answer]:
        acked_to = next(iter(self._frames)) - 1
        entries = [
            Entry(self._session, frame.n, acked_to, frame.program, self._by) for frame in frames
        ]
        convoy: Convoy | None = None
        for frame in frames:
            frame.departed = True
            if frame.convoy is not None:
                convoy = convoy or frame.convoy
                convoy.add(frame)
        envelope = encode_envelope(entries)
        try:
            async with asyncio.timeout(self._outbox.timeout_s):
                if convoy is None:
                    data = await self._transport.send(self.noun, envelope)
                else:
                    data = await convoy.send(self.noun, envelope, frames)
        except TimeoutError:
            raise ConnectionLost(f"No answer within {self._outbox.timeout_s:g} s.") from None
        answers = decode_answers(data)
        if len(answers) != len(frames):
            raise InvalidArgument("The answer does not fit the envelope that was sent.")
        return answers

    def _answered(self, frame: Frame, answer: Answer) -> None:
        if answer.status == GAP:
            frame.again = True
            if frame.attempts > 1:  # again and again: something is amiss, so not at full speed
                self._wait(None)
            return
        outcome: Reply | Exception = OutcomeUnknown(_KNOWN)
        if answer.status == APPLIED:
            assert isinstance(answer.payload, bytes)
            try:
                outcome = Reply.decode(answer.payload)
            except RaydoError as error:
                outcome = error
        self._settle(frame, outcome)

    def _failed(self, frames: list[Frame], error: RaydoError) -> None:
        if frames:
            self._outbox.trouble = str(error)
        for frame in frames:
            frame.again = True
            if not frame.wanted():
                self._settle(frame, error)
        if any(frame.n in self._frames for frame in frames):
            self._wait(error.retry_after_s)

    def _wait(self, at_least_s: float | None) -> None:
        """Send nothing for a while, longer after each failure."""
        delay_s = min(RETRY_FIRST_S * 2 ** min(self._failures, 16), RETRY_MAX_S)
        delay_s = max(delay_s, at_least_s or 0.0) * (1 + random.random() / 4)  # noqa: S311  # jitter
        self._failures += 1
        if self._pause is None:
            self._pause = asyncio.get_running_loop().call_later(delay_s, self._resume)

    def _resume(self) -> None:
        self._pause = None
        for frame in list(self._frames.values()):
            if not frame.travelling and not frame.wanted():
                self._settle(frame, ConnectionLost("Nobody waits for this any more."))
        self._pass_marks()
        self.pump()
        self._on_room()

    def _settle_all(self, frames: list[Frame], error: Exception) -> None:
        for frame in frames:
            self._settle(frame, error)

    def _settle(self, frame: Frame, outcome: Reply | Exception) -> None:
        if self._frames.pop(frame.n, None) is not None:
            frame.settle(outcome)

    def _pass_marks(self) -> None:
        if not self._marks:
            return
        lowest = next(iter(self._frames), self.next_n)
        passed = [done for n, done in self._marks if n < lowest]
        self._marks = [mark for mark in self._marks if mark[0] >= lowest]
        for done in passed:
            done()

    def abandon(self, error: Exception) -> None:
        """Stop sending; what is unsettled fails with `error`."""
        if self._pause is not None:
            self._pause.cancel()
        for task in list(self._tasks):
            task.cancel()
        self._settle_all(list(self._frames.values()), error)
        self._pass_marks()
