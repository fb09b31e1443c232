"""Client sessions: which frames they send, again and again until they are answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from random import Random
from typing import NamedTuple

from sim.model import Model
from sim.traffic import Traffic
from sim.values import Call, Frame, Session

CALLERS = 4
UNANSWERED_MAX = 12  # frames that a caller keeps for a retry


class Turn(NamedTuple):
    """Frames that went together, when, and how far their sessions were."""

    frames: tuple[Frame, ...]
    now: int
    sessions: Mapping[bytes, Session]

    def __repr__(self) -> str:
        return f"turn at {self.now}: {', '.join(map(repr, self.frames))}"

    def happen(self, model: Model) -> None:
        """Let it have happened, although nobody was told."""
        model.sessions = {name: copy(session) for name, session in self.sessions.items()}
        model.turn(self.frames, self.now)


class Fired(NamedTuple):
    """Timers that fired one after the other, and when."""

    names: tuple[str, ...]
    now: int

    def happen(self, model: Model) -> None:
        for name in self.names:
            model.fire(name, self.now)


class Caller:
    """One client session: what it sent, and of what it has the answer."""

    def __init__(self, name: bytes) -> None:
        self.name = name
        self.next = 1
        self.acked = 0
        self.sent: dict[int, Frame] = {}

    def frame(self, calls: tuple[Call, ...], skip: int = 0) -> Frame:
        return Frame(self.name, self.next + skip, self.acked, calls)


class Callers:
    """All callers of one tenant."""

    def __init__(self, random: Random, traffic: Traffic) -> None:
        self.traffic = traffic
        self._random = random
        self._callers = [Caller(b"session %8d" % n) for n in range(1, CALLERS + 1)]

    def frames(self, count: int, sql_chance: float = 0.15) -> list[Frame]:
        """Draw frames for one turn: new ones, retries, and some from the future."""
        sql = self._random.random() < sql_chance
        frames: list[Frame] = []
        for _ in range(count):
            caller = self._random.choice(self._callers)
            chance = self._random.random()
            if chance < 0.12 and caller.sent:
                frames.append(self._random.choice(list(caller.sent.values())))
            elif chance < 0.14:
                calls = self.traffic.calls(sql=sql)
                frames.append(caller.frame(calls, skip=self._random.randrange(1, 4)))
            else:
                frames.append(self._send(caller, self.traffic.calls(sql=sql)))
        return frames

    def fresh(self, calls: Sequence[Call]) -> Frame:
        """Let one of the callers send these calls."""
        return self._send(self._random.choice(self._callers), tuple(calls))

    def retried(self) -> list[Frame]:
        """Send everything again that some caller has no answer to, as far as it remembers."""
        return [frame for caller in self._callers for frame in caller.sent.values()]

    def begin_again(self, name: bytes, last: int) -> None:
        """Go on behind the last frame that arrived; those after it are no longer wanted."""
        for caller in self._callers:
            if caller.name == name:
                caller.next = max(last, caller.acked) + 1
                caller.sent = {n: frame for n, frame in caller.sent.items() if n < caller.next}

    def _send(self, caller: Caller, calls: tuple[Call, ...]) -> Frame:
        if self._random.random() < 0.2 or len(caller.sent) >= UNANSWERED_MAX:
            caller.acked = self._random.randrange(caller.acked, caller.next)
            caller.sent = {n: frame for n, frame in caller.sent.items() if n > caller.acked}
        frame = caller.frame(calls)
        caller.sent[frame.n] = frame
        caller.next += 1
        return frame
