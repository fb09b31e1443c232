"""A Cap'n Web session whose work is done at once, by objects in memory."""

from __future__ import annotations

import json
from typing import Any

from support.receiver import run
from support.target import Targets

from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.session import Session
from raydo.pipelining.capnweb.targets import Remote
from raydo.pipelining.capnweb.work import Await, Run
from raydo.pipelining.evaluate import evaluate
from raydo.pipelining.frame import Program, Reply
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import new_instance, registered


class Desk:
    """Say messages, let the work be done, hear what is answered."""

    def __init__(self, main: Remote | Local | None = None, *, batch: bool = False) -> None:
        self.targets = Targets()
        self.session = Session(main or self.targets, batch=batch)
        self.objects: dict[Noun, Any] = {}
        self.programs: list[tuple[Noun, Program]] = []
        self.awaits: list[Await] = []

    def say(self, *messages: Any) -> None:
        """Hand over messages, which may be text already."""
        for message in messages:
            self.session.receive(message if isinstance(message, str) else json.dumps(message))

    def take(self) -> list[Run]:
        """Take the programs that are to be delivered."""
        work = self.session.work()
        self.awaits += [item for item in work if isinstance(item, Await)]
        return [item for item in work if isinstance(item, Run)]

    def work(self) -> None:
        """Deliver programs until none follows."""
        while runs := self.take():
            for item in runs:
                self.session.answer(item.ticket, self.deliver(item))

    def deliver(self, item: Run) -> Reply:
        program = Program.decode(item.program)
        self.programs.append((item.noun, program))
        reply = evaluate(program, self.object(item.noun), run).encode()
        return Reply.decode(reply)

    def object(self, noun: Noun) -> Any:
        if noun not in self.objects:
            self.objects[noun] = new_instance(registered(noun.cls))
        return self.objects[noun]

    def heard(self) -> list[Any]:
        """Hear what was said since the last time."""
        return [json.loads(text) for text in self.session.messages()]

    def ask(self, *messages: Any) -> list[Any]:
        """Say messages, do the work, and hear the answers."""
        self.say(*messages)
        self.work()
        return self.heard()

    def batch(self, *messages: Any) -> list[Any]:
        """Say all messages of a batch, and hear its reply."""
        self.say(*messages)
        self.session.end()
        self.work()
        return self.heard()


def pushed(path: list[Any], *args: Any, on: int = 0) -> list[Any]:
    """Make a push of a call."""
    return ["push", ["pipeline", on, path, list(args)]]


def error_of(message: Any) -> tuple[str, str, str | None]:
    """Give the name, the sentence and the code of a rejection or an abort."""
    error = message[-1]
    assert error[0] == "error", message
    props = error[4] if len(error) > 4 else {}
    return error[1], error[2], props.get("code")
