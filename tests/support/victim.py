"""An object's life on a real disk, ended by `kill -9` at each step that the code names.

`python -m support.victim FOLDER` lives it once in a child that nobody kills, to learn the steps; then
for each of them in a child of its own that dies there. What that child was promised stands in a
file; a successor looks at what is left. It writes `{"steps": …, "wrong": …}` as JSON.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from raydo.actors.activation import Activation
from raydo.actors.clock import FakeClock
from raydo.actors.disk import OsDisk
from raydo.actors.due import read_due
from raydo.actors.object import DurableObject
from raydo.actors.tenant import folder
from raydo.pipelining.frame import (
    APPLIED,
    KNOWN,
    Call,
    Entry,
    Program,
    Reply,
    decode_answers,
    encode_envelope,
)
from raydo.pipelining.method import call, cast
from raydo.pipelining.noun import Noun

START_MS = 1_780_000_000_000
RINGS_MS = START_MS + 60_000
Step = tuple[str, int]  # a label, and the how-manieth time that it is come to


class Victim(DurableObject):
    """Note numbers, and ring once."""

    @cast
    def note(self, number: int) -> None:
        self.pipeline.emit("event", "notes", {"event": "Note", "properties": {"number": number}})
        self.counters.incr("notes")

    @cast
    def tell(self, number: int) -> None:
        self.stub(Victim, "other").note(number)

    @call
    def ring_at(self, at_ms: int) -> None:
        self.alarms.set(at_ms, self.ring)

    def ring(self) -> None:
        self.counters.incr("rung")

    @call
    def seen(self) -> dict[str, Any]:
        rows = self.sql("SELECT json_extract(properties, '$.number') AS number FROM events")
        counts = {name: self.counters.get(name) for name in ("notes", "rung")}
        return counts | {"numbers": sorted(row["number"] for row in rows)}


class Deadly(OsDisk):
    """Ends the process at a step."""

    def __init__(self, deadly: Step | None = None, saw: Callable[[Step], None] = print) -> None:
        super().__init__()
        self._deadly = deadly
        self._saw = saw
        self._times: Counter[str] = Counter()

    def step(self, label: str) -> None:
        self._times[label] += 1
        step = (label, self._times[label])
        if step == self._deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        self._saw(step)


class Life:
    """One tenant's object, and what it was promised."""

    def __init__(self, data: Path, disk: OsDisk, promise: Callable[[str], None]) -> None:
        self.data = data
        self.disk = disk
        self.promise = promise
        self.clock = FakeClock(START_MS)
        self.n = 0
        self.session = os.urandom(16)
        self.other = self._activation("other", OsDisk())
        self.wake()

    def wake(self) -> None:
        self.activation = self._activation("acme", self.disk)

    def call(self, name: str, *arguments: Any) -> Any:
        value = self.ask(self.activation, name, *arguments)
        self.promise(f"{name} {arguments[0] if arguments else ''}")
        return value

    def ask(self, activation: Activation, name: str, *arguments: Any) -> Any:
        self.n += 1
        program = Program((Call(-1, name, list(arguments), {}, False),), (0,)).encode()
        entry = Entry(self.session, self.n, self.n - 1, program)
        [answer] = decode_answers(activation.apply(encode_envelope([entry])))
        assert isinstance(answer.payload, bytes)
        [outcome] = Reply.decode(answer.payload).results
        assert not outcome.failed, outcome
        return outcome.value

    def post(self) -> None:
        """Carry what the object has told the other one."""
        for letter in self.activation.letters():
            entry = Entry(letter.session, letter.n, letter.n - 1, letter.program)
            [answer] = decode_answers(self.other.apply(encode_envelope([entry])))
            assert answer.status in {APPLIED, KNOWN}, answer
            self.activation.arrived(letter.to, letter.n)

    def _activation(self, tenant: str, disk: OsDisk) -> Activation:
        noun = Noun("Victim", tenant)
        return Activation(noun, Victim, self.data, clock=self.clock, random=os.urandom, disk=disk)

    def live(self) -> None:
        """Begin, work, sleep, wake where perhaps another host is, ring, work, sleep."""
        for number in (1, 2):
            self.call("note", number)
        self.call("ring_at", RINGS_MS)
        self.call("tell", 1)
        self.post()
        self.call("tell", 2)
        self.activation.close()
        self.wake()
        self.activation.open()
        self.post()
        self.call("note", 3)
        self.activation.drain()
        self.call("note", 4)
        self.clock.advance(minutes=2)
        self.activation.fire()
        self.promise("rang")
        self.activation.close()
        self.wake()
        self.call("note", 5)
        self.call("tell", 3)
        self.post()
        self.activation.close()


def child(work: Callable[[], None]) -> None:
    """Run something in a process of its own until it ends or is killed."""
    if (pid := os.fork()) == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed by itself"


def noted(path: Path) -> Callable[[object], None]:
    """Write each thing as a line that outlives the process."""
    file = path.open("a", buffering=1)
    return lambda thing: print(json.dumps(thing), file=file)


def lines(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def wrong(home: Path) -> str | None:
    """Let a successor look at what is left, and say what is not as it was promised."""
    promised = lines(home / "promises")
    path = folder(home / "data", Noun("Victim", "acme"))
    said_ms = read_due(OsDisk(), path)
    life = Life(home / "data", OsDisk(), promised.append)
    life.activation.open()
    due_ms = life.activation.next_due_ms
    if life.activation.gives_out:
        due_ms = 0
    if due_ms is not None and (said_ms is None or said_ms > due_ms):
        return f"it must wake at {due_ms}, and its folder says {said_ms}"
    life.clock.advance(minutes=5)
    life.activation.fire()
    seen = life.call("seen")
    life.post()
    told = life.ask(life.other, "seen")["numbers"]
    life.activation.close()
    sent = [int(line.split()[1]) for line in promised if line.startswith("note")]
    on_the_way = range(1, len(sent) + 2)
    if seen["numbers"] not in (sent, [*on_the_way]) or seen["notes"] != len(seen["numbers"]):
        return f"notes {sent} were acknowledged, {seen} are there"
    wanted = [int(line.split()[1]) for line in promised if line.startswith("tell")]
    if told not in (wanted, [*range(1, len(wanted) + 2)]):
        return f"it told the other {wanted}, who heard {told}"
    rings = (1,) if any(line.startswith("ring_at") for line in promised) else (0, 1)
    return None if seen["rung"] in rings else f"it rang {seen['rung']} times"


def main(root: Path) -> None:
    def live(home: Path, deadly: Step | None = None) -> None:
        home.mkdir()
        (home / "promises").touch()

        def work() -> None:
            saw = noted(home / "steps") if deadly is None else lambda _: None
            Life(home / "data", Deadly(deadly, saw), noted(home / "promises")).live()

        child(work)

    live(root / "whole")
    steps = [(label, times) for label, times in lines(root / "whole" / "steps")]
    found = {}
    for number, step in enumerate(steps):
        home = root / str(number)
        live(home, step)
        if (fault := wrong(home)) is not None:
            found[str(step)] = fault
    if (fault := wrong(root / "whole")) is not None:
        found["whole"] = fault
    json.dump({"steps": steps, "wrong": found}, sys.stdout)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
