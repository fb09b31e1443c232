"""A client that says anything that Cap'n Web lets it say, by a seed, and keeps its own books."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from support.desk import Desk

from raydo.pipelining.capnweb.work import Run

METHODS = {
    "root": ["Shop", "square", "callFunction", "throwError", "fail", "makeCounter", "makeCounters",
             "incrementCounter", "generateFibonacci", "returnNull", "returnUndefined", "echo",
             "keep", "forget", "tellKept", "nope"],
    "shop": ["order", "listOrders", "days", "runs", "echo", "price", "nothing", "broken", "hidden",
             "unsendable"],
    "any": ["get", "add", "increment", "write", "close", "0", "x"],
}  # fmt: skip
KEYS = ["0", 0, "1", "dau", "date", "tally", "counter", "result", "constructor", "length", "-1"]
SCALARS: list[Any] = [
    None, True, 0, 1, -5, 2.5, "", "pen", "0", "x" * 50, ["undefined"], ["nan"], ["inf"],
    ["bigint", "123456789012345678901"], ["date", 1_700_000_000_000], ["date", None],
    ["bytes", "aGk"], ["bytes", "AAAA", "ArrayBuffer"], ["url", "https://example.com/"],
    ["headers", [["a", "b"]]], ["error", "TypeError", "no", None, {"code": 1}], [[]],
    ["response", None, {}], ["request", "https://example.com/", {}],
]  # fmt: skip


class Caller:
    """Speak to a desk, and answer what it asks."""

    def __init__(self, random: Random, desk: Desk) -> None:
        self.random = random
        self.desk = desk
        self.said: list[Any] = []
        self.pushes = 0
        self.held: dict[int, int] = {}  # what we may still name, and how often it was given to us
        self.pipes: list[int] = []
        self.streaming: set[int] = set()
        self.given: dict[int, int] = {}  # our functions, and how often we gave them
        self.promised: list[int] = []  # our promises that are not resolved yet
        self.next_export = -1
        self.asked: list[int] = []  # calls of the server that we have not answered
        self.server_pushes = 0
        self.resolved: set[int] = set()
        self.resolving = False
        self.running: list[Run] = []

    # What we say.

    def say(self, message: Any) -> None:
        self.said.append(message)
        self.desk.say(message)

    def step(self) -> None:
        """Say or do one thing."""
        choice = self.random.random()
        if choice < 0.5:
            self.say(["push", self.call() if self.random.random() < 0.8 else self.value(2)])
            self._pushed()
        elif choice < 0.62 and self.held:
            self.say(["pull", self.random.choice(list(self.held))])
        elif choice < 0.72:
            self.release()
        elif choice < 0.78:
            self.say(["stream", self.call()])
            self._pushed()
            self.streaming.add(self.pushes)
        elif choice < 0.8:
            self.say(["pipe"])
            self._pushed()
            self.pipes.append(self.pushes)
        elif choice < 0.86:
            self.resolve()
        else:
            self.work()
        self.hear()

    def _pushed(self) -> None:
        self.pushes += 1
        self.held[self.pushes] = 1

    def release(self) -> None:
        held = [number for number in self.held if number not in self.streaming]
        if held:
            number = self.random.choice(held)
            count = self.random.randint(1, self.held[number])
            self.held[number] -= count
            if not self.held[number]:
                del self.held[number]
            self.say(["release", number, count])

    def resolve(self) -> None:
        """Keep a promise, or answer a call."""
        waiting = self.promised + self.asked
        if waiting:
            number = self.random.choice(waiting)
            (self.promised if number in self.promised else self.asked).remove(number)
            if self.random.random() < 0.8:
                self.resolving = True
                self.say(["resolve", number, self.value(2)])
                self.resolving = False
            else:
                self.say(["reject", number, ["error", "Error", "not today"]])

    def work(self) -> None:
        """Let some of the programs arrive, and some be answered."""
        self.running += self.desk.take()
        while self.running and self.random.random() < 0.8:
            run = self.running.pop(self.random.randrange(len(self.running)))
            self.desk.session.answer(run.ticket, self.desk.deliver(run))
        while self.desk.awaits:
            item = self.desk.awaits.pop()
            item.awaitable.close()  # type: ignore[attr-defined]
            self.desk.session.finish(item.ticket, "later")

    # Expressions.

    def name(self) -> int:
        if self.resolving:  # what waits for itself, waits for ever
            return 0
        return self.random.choice([0, 0, *(self.held.keys() - self.streaming)])

    def path(self) -> list[Any]:
        return [self.random.choice(KEYS) for _ in range(self.random.randint(1, 3))]

    def call(self) -> Any:
        random = self.random
        if random.random() < 0.15:
            return self.remap()
        path = [] if random.random() < 0.05 else [random.choice(METHODS[random.choice([*METHODS])])]
        if random.random() < 0.15:
            path = [*self.path(), *path]
        if path == ["Shop"]:
            args: list[Any] = [random.choice(["acme", "globex", "initech", ""])]
        elif path[-1:] in (["days"], ["makeCounters"], ["generateFibonacci"]):
            args = [random.randint(0, 4)]
        else:
            args = [self.value(2) for _ in range(random.choice([0, 1, 1, 1, 2]))]
        return [random.choice(["pipeline", "pipeline", "import"]), self.name(), path, args]

    def remap(self) -> Any:
        random = self.random
        captures: list[Any] = [["import", self.name()] for _ in range(random.randint(0, 2))]
        if random.random() < 0.2:
            captures.append(self.function())
        instructions: list[Any] = []
        for _ in range(random.randint(1, 3)):
            variable = random.randint(-len(captures), len(instructions))
            form: list[Any] = ["pipeline", variable]
            if random.random() < 0.7:
                form.append(self.path()[:1])
            if len(form) == 3 and random.random() < 0.4:
                form[2] = [random.choice(METHODS["shop"] + ["Shop"])]
                form.append([["pipeline", 0], "pen"][: random.randint(0, 2)])
            instructions.append(form)
        return ["remap", self.name(), self.path()[:1], captures, instructions]

    def value(self, depth: int) -> Any:
        random = self.random
        choice = random.random()
        if depth and choice < 0.15:
            return {key: self.value(depth - 1) for key in random.sample("abc", 2)}
        if depth and choice < 0.3:
            return [[self.value(depth - 1) for _ in range(random.randint(0, 3))]]
        if choice < 0.5:
            form = random.choice([["pipeline", self.name()], ["import", self.name()]])
            return form + ([self.path()] if random.random() < 0.4 else [])
        if depth and choice < 0.55:
            return self.call()
        if choice < 0.62:
            return self.function()
        if choice < 0.66:
            self.promised.append(self._own())
            return ["promise", self.promised[-1]]
        if choice < 0.68 and self.pipes:
            pipe = self.pipes.pop()
            if pipe in self.held:
                return random.choice(
                    [["readable", pipe], ["blob", "text/plain", ["readable", pipe]]]
                )
        return random.choice(SCALARS)

    def function(self) -> Any:
        if self.given and self.random.random() < 0.3:
            number = self.random.choice(list(self.given))
        else:
            number = self._own()
        self.given[number] = self.given.get(number, 0) + 1
        return ["export", number]

    def _own(self) -> int:
        self.next_export -= 1
        return self.next_export + 1

    # What we hear.

    def hear(self) -> None:
        for message in self.desk.heard():
            getattr(self, f"hear_{message[0]}")(message)

    def hear_push(self, message: Any) -> None:
        self.server_pushes += 1
        assert message[1][1] in self.given, f"a call of what we gave no more: {message}"
        self._hold(message[1][3:])

    def hear_pull(self, message: Any) -> None:
        assert 0 < message[1] <= self.server_pushes
        self.asked.append(message[1])

    def hear_release(self, message: Any) -> None:
        _, number, count = message
        if number in self.given:
            self.given[number] -= count
            assert self.given[number] >= 0
            if not self.given[number]:
                del self.given[number]
        else:
            assert count == 1
            assert number not in self.promised
            assert number not in self.asked

    def hear_resolve(self, message: Any) -> None:
        _, number, value = message
        assert number not in self.resolved, "one answer a pull"
        self.resolved.add(number)
        if number in self.streaming:
            self.streaming.discard(number)
            del self.held[number]
        self._hold(value)

    def _hold(self, value: Any) -> None:
        for export in exports_in(value):
            self.held[export] = self.held.get(export, 0) + 1

    hear_reject = hear_resolve

    def hear_abort(self, message: Any) -> None:
        raise AssertionError(f"{message} after {json.dumps(self.said[-3:])}")

    def hear_pipe(self, message: Any) -> None:
        self.server_pushes += 1
        self.given[self.server_pushes] = 1

    def hear_stream(self, message: Any) -> None:
        self.server_pushes += 1
        self.asked.append(self.server_pushes)

    # The end.

    def finish(self) -> None:
        """Answer everything, let everything go, and see that nothing is left on either side."""
        for _ in range(200):
            self.work()
            self.hear()
            self.resolve()
            self.hear()
            for pipe in [pipe for pipe in self.pipes if pipe in self.held]:
                self.pipes.remove(pipe)
            while [number for number in self.held if number not in self.streaming]:
                self.release()
            self.hear()
        self.desk.targets.kept.clear()
        for counter in self.desk.targets.counters:
            counter.value = 0  # it may have been made of one of our functions
        self.hear()


def exports_in(value: Any) -> list[int]:
    """Find what an answer gives us to hold."""
    if isinstance(value, dict):
        return [number for item in value.values() for number in exports_in(item)]
    if not isinstance(value, list):
        return []
    if len(value) == 2 and value[0] in ("export", "promise") and isinstance(value[1], int):
        return [value[1]]
    return [number for item in value for number in exports_in(item)]
