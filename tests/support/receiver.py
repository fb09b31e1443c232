"""The other end of a loopback: objects in memory, and the receiver's rule of the sessions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from raydo.pipelining.evaluate import evaluate
from raydo.pipelining.frame import (
    APPLIED,
    GAP,
    KNOWN,
    Answer,
    Call,
    Entry,
    Program,
    decode_envelope,
    encode_answers,
)
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import new_instance, registered

T = TypeVar("T")


class Receiver:
    """Apply envelopes to live objects; may be told to fail, to forget replies, or to be slow."""

    def __init__(self) -> None:
        self.objects: dict[Noun, Any] = {}
        self.last: dict[bytes, int] = {}
        self.replies: dict[tuple[bytes, int], bytes] = {}
        self.keep_replies = True
        self.envelopes: list[list[Entry]] = []
        self.faults: deque[Exception] = deque()  # raised one each, instead of delivering
        self.lose_answers: deque[Exception] = deque()  # raised one each, after applying
        self.gate: asyncio.Event | None = None  # closed, envelopes wait before it
        self.arrived = asyncio.Event()  # set when an envelope has come as far as the gate

    @property
    def frames(self) -> list[Program]:
        """Every program that arrived, repetitions included."""
        return [Program.decode(entry.program) for entries in self.envelopes for entry in entries]

    @property
    def calls(self) -> list[str]:
        """The names of the calls in all frames, in order."""
        return [op.name for frame in self.frames for op in frame.ops if isinstance(op, Call)]

    async def deliver(self, noun: Noun, envelope: bytes) -> bytes:
        self.arrived.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.faults:
            raise self.faults.popleft()
        entries = decode_envelope(envelope)
        self.envelopes.append(entries)
        answers = [self.apply(noun, entry) for entry in entries]
        if self.lose_answers:
            raise self.lose_answers.popleft()
        return encode_answers(answers)

    def apply(self, noun: Noun, entry: Entry) -> Answer:
        due = max(self.last.get(entry.session, 0), entry.acked_to) + 1
        if entry.n > due:
            return Answer(GAP, due)
        if entry.n < due:
            kept = self.replies.get((entry.session, entry.n))
            return Answer(KNOWN, None) if kept is None else Answer(APPLIED, kept)
        reply = evaluate(Program.decode(entry.program), self.object(noun), run).encode()
        self.last[entry.session] = entry.n
        if self.keep_replies:
            self.replies[entry.session, entry.n] = reply
        return Answer(APPLIED, reply)

    def object(self, noun: Noun) -> Any:
        if noun not in self.objects:
            self.objects[noun] = new_instance(registered(noun.cls))
        return self.objects[noun]


def run(call: Callable[[], T], /) -> T:
    return call()
