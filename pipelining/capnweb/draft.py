"""Programs in the making: what a session has asked of each object and not sent yet.

All calls on one object go into its open draft in the order of their messages, so a chain of any
length travels as one program. A value that the draft itself computes is referred to there; reading
steps (`Get`, a map without calls) are added only where a later call needs them, and are otherwise
taken at the gateway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from raydo.pipelining.assemble import number
from raydo.pipelining.capnweb.slot import Slot
from raydo.pipelining.codec import pack
from raydo.pipelining.errors import Overloaded, TooLarge
from raydo.pipelining.limits import (
    CAPNWEB_PENDING_BYTES_MAX,
    CAPNWEB_PENDING_MAX,
    FRAME_BYTES_MAX,
    FRAME_FILL_BYTES,
    FRAME_OPS_MAX,
)
from raydo.pipelining.noun import Noun
from raydo.pipelining.program import ROOT, join_program

FULL_OPS = FRAME_OPS_MAX // 2  # the other half is room for what one more call needs


class Mark(NamedTuple):
    """How far a draft was, so that what was added can be taken back."""

    ops: int
    size: int
    instructions: int


class Draft:
    """One program for one object, until it is sent."""

    def __init__(self, noun: Noun) -> None:
        self.noun = noun
        self.urgent = False  # somebody waits for a result
        self.size = 0
        self.count = 0  # instructions, those in bodies of maps included
        self.calls: dict[int, Slot] = {}  # the instructions that have effects, and their results
        self._ops: list[bytes] = []
        self._places: dict[Slot, int] = {}  # in the order of their indexes
        self._parts: dict[tuple[str, ...], int] = {}

    def append(self, op: bytes, inner: int = 0) -> int:
        """Add one encoded instruction, with `inner` more inside it, and give its index.

        Raises:
            TooLarge: the program would be more than an object takes.
        """
        if self.count + 1 + inner > FRAME_OPS_MAX:
            raise TooLarge(f"A program has at most {FRAME_OPS_MAX:,} instructions.")
        if self.size + len(op) > FRAME_BYTES_MAX - FRAME_OPS_MAX * 8:
            raise TooLarge(f"A program has at most {FRAME_BYTES_MAX:,} bytes.")
        self._ops.append(op)
        self.size += len(op)
        self.count += 1 + inner
        return len(self._ops) - 1

    def add_call(self, op: bytes, slot: Slot, inner: int = 0) -> None:
        """Add an instruction whose result is a slot's value."""
        index = self.append(op, inner)
        self.calls[index] = slot
        self._places[slot] = index
        slot.draft = self
        self.urgent |= slot.asked

    def get(self, at: int, path: Sequence[str | int]) -> int:
        """Add the steps of a path."""
        for key in path:
            at = self.append(b"\x93\x04" + number(at) + pack(key))
        return at

    def part(self, path: tuple[str, ...]) -> int:
        """Give the index of an exposed part of the object; of the object itself if there is no path."""
        if not path:
            return ROOT
        if path not in self._parts:
            self._parts[path] = self.get(ROOT, path)
        return self._parts[path]

    def place(self, slot: Slot) -> int | None:
        """Give the index of a slot's value, adding the reading steps to it; None if it is not here."""
        steps: list[Slot] = []
        at = self._places.get(slot)
        while at is None:
            if slot.lazy is None:
                return None
            steps.append(slot)
            slot = slot.lazy.parent
            at = self._places.get(slot)
        for step in reversed(steps):
            assert step.lazy is not None
            at = step.lazy.place(self, at)
            if at is None:
                return None
            self._places[step] = at
        return at

    def mark(self) -> Mark:
        return Mark(len(self._ops), self.size, self.count)

    def cut(self, mark: Mark) -> None:
        """Take back what was added since; no call is among it."""
        del self._ops[mark.ops :]
        self.size, self.count = mark.size, mark.instructions
        while self._places and next(reversed(self._places.values())) >= mark.ops:
            self._places.popitem()
        for path, index in list(self._parts.items()):
            if index >= mark.ops:
                del self._parts[path]

    def close(self, *, keep: bool) -> tuple[bytes, dict[int, Slot]]:
        """Make the program, whose outputs are the slots that somebody asked for.

        `keep` says that further messages may ask for whatever the client still holds.
        """
        outputs = {
            index: slot
            for index, slot in self.calls.items()
            if slot.asked or slot.kept or (keep and slot.exports)
        }
        for slot in self.calls.values():
            slot.draft = None
        self._places.clear()
        return join_program(self._ops, tuple(outputs)), outputs


class Drafts:
    """The open drafts of a session, the full ones, and how much of it is under way."""

    def __init__(self) -> None:
        self.calls = 0  # at objects, answered or not sent yet
        self.bytes = 0
        self.full: list[Draft] = []
        self._open: dict[Noun, Draft] = {}

    @property
    def waiting(self) -> bool:
        """Whether anything is to be sent."""
        return bool(self._open or self.full)

    @property
    def urgent(self) -> bool:
        """Whether somebody waits for something that is to be sent."""
        return bool(self.full) or any(draft.urgent for draft in self._open.values())

    def open(self, noun: Noun) -> Draft:
        """Find or make the draft that the next call on an object belongs to."""
        draft = self._open.get(noun)
        if draft is None:
            draft = self._open[noun] = Draft(noun)
        return draft

    def added(self, draft: Draft, calls: int, size: int) -> None:
        """Count what was added to a draft, and close it if it is full.

        Raises:
            Overloaded: more is under way than a session may have; the session cannot go on.
        """
        self.calls += calls
        self.bytes += size
        if draft.count >= FULL_OPS or draft.size >= FRAME_FILL_BYTES:
            self.full.append(self._open.pop(draft.noun))
        if self.calls > CAPNWEB_PENDING_MAX or self.bytes > CAPNWEB_PENDING_BYTES_MAX:
            raise Overloaded(
                f"A session has at most {CAPNWEB_PENDING_MAX:,} unanswered calls of "
                f"{CAPNWEB_PENDING_BYTES_MAX:,} bytes."
            )

    def answered(self, calls: int, size: int) -> None:
        self.calls -= calls
        self.bytes -= size

    def take(self) -> list[Draft]:
        """Close and hand over every draft, the full ones first."""
        taken = [*self.full, *self._open.values()]
        self.full.clear()
        self._open.clear()
        return taken

    def is_open(self, draft: Draft | None) -> bool:
        """Whether calls are still added to a draft."""
        return draft is not None and self._open.get(draft.noun) is draft
