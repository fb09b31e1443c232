"""A whole activation, real from its lease to SQLite, on a machine that crashes; beside a model.

One seed is one tenant's life: callers send frames, time passes, timers fire, it drains, sleeps and
wakes, the disk fills up or fails, the process is killed, the power is cut, and stale activations go
on as if they still had the tenant. What was answered must have happened, once. What was not
answered happened as a whole, as one turn, or not at all: which of the two is asked of what was
recovered, and counts as promised from then on.
"""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import copy
from pathlib import Path
from random import Random
from typing import Any

from sim import audit, faults, stale
from sim.answers import STATUS, Mismatch, applied, decoded, refused_calls
from sim.callers import Callers, Fired, Turn
from sim.compare import Seen
from sim.disk import Crashed, SimDisk
from sim.log_world import OneProcess
from sim.model import Model
from sim.shop import SimShop
from sim.sqlite import COMMIT_STEP, SqliteFiles, Watched
from sim.steps import LEADS_TO, OF_SLEEP
from sim.traffic import Traffic, entry
from sim.values import GAP, Answer, Call, Frame

from raydo.actors import tenant
from raydo.actors.activation import Activation
from raydo.actors.analytics import Analytics
from raydo.actors.clock import FakeClock
from raydo.pipelining import frame as wire
from raydo.pipelining.noun import Noun

START_MS = (1_772_900_000_123, 1_774_700_000_123, 1_762_000_000_123, 1_780_000_000_123)
PAUSES_S = (1, 1, 1, 5, 31, 60, 61, 300, 1_801, 3_600, 20_000, 86_400, 3 * 86_400, 8 * 86_400)
PAUSE_WEIGHTS = (9, 9, 9, 9, 9, 6, 6, 6, 4, 4, 3, 3, 1, 1)
TRACE = 60  # things that a failure tells of


class World:
    """One tenant, its disk, its callers and its model."""

    def __init__(self, seed: int, label: str, root: Path) -> None:
        self.label = label  # where it crashes by preference
        self.random = Random(seed)
        self.root = root / f"seed-{seed}"
        self.root.mkdir(parents=True)
        self.cls: type[Analytics] = Analytics if seed % 3 == 0 else SimShop
        self.noun = Noun(self.cls.__name__, "acme")
        self.home = tenant.folder(self.root, self.noun)
        self.disk = SimDisk(Random(seed + 1), root=self.root)
        self.files = SqliteFiles(self.home / "tenant.db", self.disk, Random(seed + 2))
        self.disk.on_crash = self.files.copy
        self.clock = FakeClock(self.random.choice(START_MS))
        self.traffic = Traffic(self.random, self.cls.__name__)
        self.callers = Callers(self.random, self.traffic)
        self.model = Model(self.cls.__name__)
        self.seen = Seen()
        self.looked_at = 0  # how many of the model's events have a seq
        self.audits = 0
        self.operations = 0
        self.unknown: list[Turn | Fired] = []  # not answered; the next start shows what happened
        self.void: list[Turn | Fired] = []  # may count until the activation has written
        self.happened: Turn | Fired | None = None  # of both, at the last start
        self.claimed = False  # whether this activation has written
        self.full = False  # whether effects may be refused
        self.trace: deque[Any] = deque(maxlen=TRACE)

    def run(self, operations: int) -> None:
        """Do so many things, crash in between, and check everything at the end."""
        Watched.files = self.files
        self.arm()
        self.survive(self.open)
        while self.operations < operations:
            self.arm()
            self.survive(self.draw())
        self.survive(self.random.choice((self.hibernate, self.disk.crash)))
        self.disk.crash_at = self.disk.crash_after = None
        audit.inspect(self)
        self.fall_asleep()

    def close(self) -> None:
        self.files.close()
        shutil.rmtree(self.root)

    def draw(self) -> Callable[[], None]:
        chance = self.random.random()
        if chance > 0.8 and self.label in OF_SLEEP:
            return self.tidy
        if chance < 0.68:
            return self.traffic_jam
        if chance < 0.86:
            return self.pause
        if chance < 0.91:
            return self.fire
        if chance < 0.955:
            return self.drain
        if chance > 0.999:
            return lambda: audit.inspect(self)
        act = self.random.choice((*faults.ALL, *stale.ALL))
        self.operations += 1
        return (lambda: act(self)) if act else self.hibernate

    # Crashes

    def arm(self) -> None:
        """Now and then, let the process die soon."""
        chance, label = self.random.random(), self.label
        if not self.disk.crashes[label]:
            label = LEADS_TO.get(label, label)
            if not self.operations or chance < 0.5:
                self.disk.crash_at = (label, 1)
        elif chance < 0.05:
            label = self.random.choice((label, COMMIT_STEP))
            self.disk.crash_at = (label, self.random.choice((1, 1, 2)))
        if chance > 0.99:
            self.disk.crash_after = self.random.randrange(1, 40)

    def survive(self, act: Callable[[], None]) -> None:
        try:
            act()
        except Crashed:
            self.restart()

    def restart(self) -> None:
        """Start anew after a crash, as often as the start crashes too."""
        while True:
            self.fall()
            chance = self.random.random()
            if chance < (0.15 if self.disk.crashes[self.label] else 0.7):
                self.disk.crash_at = (self.label, 1)
            elif chance > 0.85:
                self.disk.crash_after = self.random.randrange(1, 25)
            with suppress(Crashed):
                self.open()
                if self.random.random() < 0.1:
                    self.disk.crash()  # what was recovered is promised, from now on
                return

    def fall(self) -> None:
        """End the process, by itself or with the machine."""
        faults.heal(self)
        with suppress(Crashed):
            self.activation.abandon()
        self.files.close()
        power = self.random.random() < 0.5
        self.trace.append("power cut" if power else "kill")
        if power:
            self.disk.power_loss()
            for folder in self.disk.lost:
                shutil.rmtree(folder, ignore_errors=True)
        else:
            self.disk.kill()
        if not self.home.exists():
            self.files.vanish()
        self.files.put_back(power=power)

    def reopen(self) -> None:
        """Throw the activation away in a process that lives on."""
        faults.heal(self)
        self.activation.abandon()
        self.files.close()
        self.open()

    def open(self) -> None:
        """Start an activation, and hold what it recovered against the model."""
        self.claimed = False
        self.activation = Activation(
            self.noun,
            self.cls,
            self.root,
            clock=self.clock,
            random=self.random.randbytes,
            disk=self.disk,
            host=True,
            processes=OneProcess(),
        )
        self.activation.open()
        audit.after_start(self)

    # What callers do

    def traffic_jam(self) -> None:
        self.send(self.frames(self.random.choice((1, 2, 4, 7))))

    def frames(self, count: int, sql_chance: float = 0.12) -> list[Frame]:
        """Draw frames, each call of which is an operation."""
        self.traffic.now = self.clock.now_ms()
        frames = self.callers.frames(count, sql_chance)
        self.operations += sum(len(frame.calls) for frame in frames)
        return frames

    def send_calls(self, calls: Sequence[Call]) -> None:
        self.send([self.callers.fresh(calls)])

    def send(self, frames: Sequence[Frame]) -> None:
        """Run one turn, and compare each answer."""
        turn = self.turn(frames)
        self.trace.append(turn)
        self.unknown.append(turn)
        answers = applied(self.activation, [entry(frame) for frame in frames])
        self.unknown.remove(turn)
        self.judge(turn, answers)

    def turn(self, frames: Sequence[Frame]) -> Turn:
        sessions = {name: copy(session) for name, session in self.model.sessions.items()}
        return Turn(tuple(frames), self.clock.now_ms(), sessions)

    def judge(self, turn: Turn, answers: Sequence[wire.Answer]) -> None:
        refused = [refused_calls(*pair) for pair in zip(turn.frames, answers, strict=True)]
        if any(refused) and not self.full:
            raise Mismatch("effects were refused though there is room")
        effects = self.model.object.effects
        expected = self.model.turn(turn.frames, turn.now, refused)
        if self.model.object.effects != effects:
            self.wrote()
        elif any(refused):
            # What was refused may be on disk by chance, and counts until this log writes again.
            self.void.append(turn)
        for frame, should, answer in zip(turn.frames, expected, answers, strict=True):
            self.compare(frame, should, answer)
            if should.kind == GAP:
                self.callers.begin_again(frame.session, self.model.sessions[frame.session].last)

    def wrote(self) -> None:
        """Nothing that is not on disk by now can come to count any more."""
        self.claimed = True
        self.void.clear()

    def compare(self, frame: Frame, expected: Answer, answer: wire.Answer) -> None:
        payload: Any = answer.payload
        if answer.status == wire.APPLIED:
            payload = decoded(payload, expected.calls or frame.calls)
        if answer.status != STATUS[expected.kind]:
            raise Mismatch(f"{frame}: {expected} expected, not {answer.status} {payload}")
        lasting = self.model.born or self.exists()
        where = self.seen.differs(expected.payload, payload, lasting=lasting)
        if where is not None:
            raise Mismatch(f"{frame}: {where}")

    def exists(self) -> bool:
        """Tell whether the tenant is on disk."""
        return tenant.exists(self.home, self.disk)

    # What its host does

    def pause(self) -> None:
        self.operations += 1
        [seconds] = self.random.choices(PAUSES_S, PAUSE_WEIGHTS)
        self.trace.append(f"{seconds} s")
        self.clock.advance(seconds=seconds)

    def fire(self) -> None:
        self.operations += 1
        fired = Fired(tuple(self.model.due(self.clock.now_ms())), self.clock.now_ms())
        self.trace.append(fired)
        parts = [Fired(fired.names[:end], fired.now) for end in range(1, len(fired.names) + 1)]
        self.unknown += parts
        self.activation.fire()
        self.unknown = [each for each in self.unknown if each not in parts]
        effects = self.model.object.effects
        fired.happen(self.model)
        if self.model.object.effects != effects:
            self.wrote()

    def drain(self) -> None:
        self.operations += 1
        merge = self.activation.merge_due()
        if merge is not None and self.random.random() < 0.8:
            self.trace.append("merge")
            merge.run()
        self.trace.append("drain")
        self.activation.drain()

    def tidy(self) -> None:
        """Let there be something to be deleted when it sleeps."""
        self.drain()
        self.send(self.frames(6))
        self.drain()
        self.hibernate()

    def hibernate(self) -> None:
        self.fall_asleep()
        self.open()

    def fall_asleep(self) -> None:
        self.trace.append("close")
        self.activation.close()
        log = any("seg" in name for name in self.disk.names(self.home))
        # What a stale process has made since the start is not this activation's to delete.
        left = log and not self.void
        if left or self.disk.open_handles() or any(self.files.open()):
            raise Mismatch("a tenant asleep has a log, or open files")
