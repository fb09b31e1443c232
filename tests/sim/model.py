"""What a tenant must answer: the object as a child would compute it, its callers, and its turns.

The model hears what was asked and when, and says what must be answered. It imports nothing of
raydo. What raydo chooses itself (ids that it makes, seqs) is unknown until it is first seen and
must never change from then on.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Final

from sim.model_object import AnalyticsModel
from sim.model_shop import ShopModel
from sim.model_time import next_after
from sim.values import ANYTHING, GAP, KNOWN, REPLY, Answer, Call, CallFailed, Frame, Session, Timer

TIMERS_PER_FIRE: Final = 16


class Model:
    """One tenant's object and what it remembers of its callers."""

    def __init__(self, cls: str) -> None:
        self.object = ShopModel() if cls == "SimShop" else AnalyticsModel()
        self.born = False
        self.sessions: dict[bytes, Session] = {}  # in memory
        self.reads_need_room = False  # whether a full disk may refuse calls without effects, too
        self._durable: dict[bytes, Session] = {}
        self._replies: dict[tuple[bytes, int], Answer] = {}

    # Life

    def start(self, now: int) -> None:
        """An activation wakes; what was only in memory is gone."""
        self.object.now = now
        self.sessions = {name: Session(s.last, s.acked) for name, s in self._durable.items()}
        self._begin()

    def turn(
        self, frames: Sequence[Frame], now: int, refused: Sequence[Collection[int]] = ()
    ) -> list[Answer]:
        """Apply frames as one turn; say what each must be answered.

        `refused` lists, beside the frames, the calls whose effects a full disk refused.
        """
        self.object.now = now
        self._begin()
        changed: set[bytes] = set()
        answers = [
            self._answer(frame, changed, calls)
            for frame, calls in zip(frames, refused or [()] * len(frames), strict=True)
        ]
        for name in changed:
            session = self.sessions[name]
            self._durable[name] = Session(session.last, session.acked)
        if changed and not self.born:
            self.born = True
            for timer in self.object.timers.values():
                timer.candidates = ()  # they went to disk with this turn
        return answers

    def due(self, now: int) -> list[str]:
        """Name the timers that are due, the longest first."""
        times = [
            (timer.next_at, timer.name)
            for timer in self.object.timers.values()
            if timer.next_at is not None and timer.next_at <= now and not timer.candidates
        ]
        return [name for _, name in sorted(times)][:TIMERS_PER_FIRE]

    def fire(self, name: str, now: int) -> None:
        """Run a timer, unless one before has changed it."""
        self.object.now = now
        timer = self.object.timers.get(name)
        if timer is None or timer.next_at is None or timer.next_at > now:
            return
        self.object.effects += 1
        self.born = True
        if timer.spec == "once":
            del self.object.timers[name]
        else:
            due = next_after(timer.spec, now, timer.zone)
            self.object.timers[name] = Timer(name, timer.spec, timer.zone, due)
        self.object.run_handler(name.partition(".")[2])

    # How it works

    def evaluate(self, calls: Sequence[Call], refused: Collection[int] = ()) -> dict[str, Any]:
        """Run calls, and give what is told of them: `r` of those awaited, `f` of the others."""
        results: list[Any] = []
        failures: list[Any] = []
        for index, call in enumerate(calls):
            self.object.refused = index in refused
            try:
                value = self._call(call)
            except CallFailed as failure:
                code = ANYTHING if self.object.refused else str(failure)
                if call.wanted:
                    results.append([1, code])
                else:
                    failures.append([index, code])
            else:
                if call.wanted:
                    results.append([0, value])
        self.object.refused = False
        return {"r": results, "f": failures}

    def _call(self, call: Call) -> Any:
        if self.object.refused and self.reads_need_room:
            raise CallFailed
        name = call.name.replace(".", "_")
        return getattr(self.object, f"do_{name}")(*call.args, **call.kwargs)

    def _answer(self, frame: Frame, changed: set[bytes], refused: Collection[int]) -> Answer:
        session = self.sessions.setdefault(frame.session, Session())
        session.last = max(session.last, frame.acked)
        session.acked = max(session.acked, frame.acked)
        if frame.n > session.last + 1:
            return Answer(GAP, session.last + 1)
        if frame.n <= session.last:
            if frame.n <= session.acked:
                return Answer(KNOWN)
            kept = self._replies.get((frame.session, frame.n))
            if kept is not None:
                return kept
        before = self.object.effects
        reply = self.evaluate(frame.calls, refused)
        session.last = max(session.last, frame.n)
        answer = Answer(REPLY, reply, frame.calls)
        if self.object.effects != before:
            changed.add(frame.session)
            large = any(call.name == "big" for call in frame.calls)
            self._replies[frame.session, frame.n] = Answer(KNOWN) if large else answer
        return answer

    def _begin(self) -> None:
        """Let `on_start` run, for a tenant that may not be on disk yet."""
        if self.born:
            return
        before, self.object.timers = self.object.timers, {}
        self.object.on_start()
        for name, timer in list(self.object.timers.items()):
            known = before.get(name, timer)
            if known is not timer and not known.candidates:
                self.object.timers[name] = known  # it was seen on disk
            else:
                timer.candidates = {timer.next_at, *known.candidates}
