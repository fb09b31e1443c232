"""Slots: values that are known, or will be.

Each pushed expression of a session becomes a slot. A slot is *known* when its value can be stepped
into, and *whole* when nothing inside is still missing: a map over calls is known at once, and whole
when each call has answered. An error makes it both; one inside alone spoils the whole (`failure`).

Nobody's reading begins before somebody asks. What waits for a slot is done in the session's own
order: `Turns` keeps what follows from a message, and runs it after that message.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, Protocol

from raydo.pipelining.capnweb.rebuild import Meter, check_size, rebuild, weigh
from raydo.pipelining.errors import RaydoError

if TYPE_CHECKING:
    from raydo.pipelining.capnweb.draft import Draft

Then = Callable[[], None]

WAITING: Final = 0
KNOWN: Final = 1
WHOLE: Final = 2


class Turns:
    """What is still to be done, first come, first served; no chain is deeper than one step."""

    def __init__(self) -> None:
        self.meter = Meter()
        self._waiting: deque[Then] = deque()

    def add(self, then: Then) -> None:
        self._waiting.append(then)

    def run(self) -> None:
        waiting = self._waiting
        while waiting:
            waiting.popleft()()

    def clear(self) -> None:
        self._waiting.clear()


class Lazy(Protocol):
    """How a slot's value follows from another's by reading alone."""

    parent: Slot

    def start(self, slot: Slot) -> None:
        """Find the value once the parent has one."""

    def place(self, draft: Draft, at: int) -> int | None:
        """Add what finds it at the object, given the parent's index; None where that cannot be."""


class Slot:
    __slots__ = (
        "_completing",
        "_size",
        "_state",
        "_then_known",
        "_then_whole",
        "asked",
        "draft",
        "error",
        "exports",
        "flaw",
        "kept",
        "lazy",
        "nested",
        "plain",
        "turns",
        "value",
    )

    def __init__(self, turns: Turns, lazy: Lazy | None = None) -> None:
        self.turns = turns
        self.lazy = lazy
        self.value: Any = None
        self.error: BaseException | None = None
        self.flaw: BaseException | None = None  # why it can't be had whole, though it is known
        self.nested: tuple[Slot, ...] = ()  # missing inside the value, until it is whole
        self.plain = False  # nothing inside but what a durable object answered
        self.draft: Draft | None = None  # the unsent program that it is an instruction of
        self.asked = False  # somebody waits for it
        self.kept = False  # somebody may still ask, in a later message
        self.exports = 0  # entries of the session's table that hold it
        self._state = WAITING
        self._size: int | None = None
        self._completing = False
        self._then_known: list[Then] | None = None
        self._then_whole: list[Then] | None = None

    @property
    def known(self) -> bool:
        return self._state >= KNOWN

    @property
    def whole(self) -> bool:
        return self._state == WHOLE

    @property
    def failure(self) -> BaseException | None:
        """Why there is no whole value."""
        return self.error or self.flaw

    def size(self) -> int:
        """Say how much a whole value weighs.

        Raises:
            TooLarge: more than a frame.
        """
        if self._size is None:
            self._size = weigh(self.value, self.turns.meter)
        return self._size

    def ask(self) -> None:
        """See to it that a value comes."""
        if self.asked:
            return
        self.asked = True
        if self._state == WAITING and self.lazy is not None:
            lazy = self.lazy
            self.turns.add(lambda: lazy.start(self))
        elif self.draft is not None:
            self.draft.urgent = True

    def keep(self) -> None:
        """Let a later message ask for it: keep what it follows from, but begin nothing."""
        slot = self
        while not slot.kept:
            slot.kept = True
            if slot.lazy is None:
                break
            slot = slot.lazy.parent

    def when_known(self, then: Then) -> None:
        """Call `then` once the value can be stepped into."""
        self.ask()
        if self._state >= KNOWN:
            self.turns.add(then)
        elif self._then_known is None:
            self._then_known = [then]
        else:
            self._then_known.append(then)

    def when_whole(self, then: Then) -> None:
        """Call `then` once nothing is missing."""
        self.ask()
        if self._state == WHOLE:
            self.turns.add(then)
            return
        if self._then_whole is None:
            self._then_whole = []
        self._then_whole.append(then)
        self._complete()

    def settle(self, value: Any, nested: Iterable[Slot] = (), *, plain: bool = False) -> None:
        """Give the value; `nested` are the slots that stand in it."""
        assert self._state == WAITING, "a slot is settled once"
        self.value = value
        self.nested = tuple(nested)
        for slot in self.nested:
            slot.keep()
        self.plain = plain
        self._pass(KNOWN if self.nested else WHOLE)
        self._complete()

    def fail(self, error: BaseException) -> None:
        assert self._state != WHOLE, "a slot is settled once"
        error.__context__ = None  # with its frames it would keep a call's arguments alive
        self.error = error.with_traceback(None)
        self.value, self.nested = None, ()
        self._pass(WHOLE)

    def follow(self, other: Slot) -> None:
        """Become what another slot is, once that is known."""
        if not other.known:
            other.when_known(lambda: self.follow(other))
        elif other.error is not None:
            self.fail(other.error)
        else:
            self._size = other._size
            self.settle(other.value, other.nested, plain=other.plain)

    def _complete(self) -> None:
        """Wait for what is missing inside, if somebody wants the whole."""
        if self._state == KNOWN and self._then_whole and not self._completing:
            self._completing = True
            when_all_whole(self.turns, self.nested, self._completed)

    def _completed(self) -> None:
        missing = next((slot.failure for slot in self.nested if slot.failure is not None), None)
        if missing is not None:
            self._spoil(missing)
            return
        try:
            # What is shared inside is counted each time, and walked only once.
            size = weigh(self.value, self.turns.meter) + sum(slot.size() for slot in self.nested)
            check_size(size)
            value = rebuild(self.value, content)
        except RaydoError as error:
            self._spoil(error)
            return
        self.value, self.nested, self._size = value, (), size
        self._pass(WHOLE)

    def _spoil(self, error: BaseException) -> None:
        self.flaw = error
        self._pass(WHOLE)

    def _pass(self, state: int) -> None:
        self._state = state
        self.lazy = self.draft = None
        for then in self._then_known or ():
            self.turns.add(then)
        self._then_known = None
        if state == WHOLE:
            for then in self._then_whole or ():
                self.turns.add(then)
            self._then_whole = None


def content(value: Any) -> Any:
    """Give what stands for a leaf of a value in which nothing is missing."""
    return value.value if isinstance(value, Slot) else value


def settled(turns: Turns, value: Any, *, plain: bool = False) -> Slot:
    """Make a slot that is whole from the start."""
    slot = Slot(turns)
    slot.settle(value, plain=plain)
    return slot


def failed(turns: Turns, error: BaseException) -> Slot:
    """Make a slot that is an error from the start."""
    slot = Slot(turns)
    slot.fail(error)
    return slot


def when_all_whole(turns: Turns, slots: Iterable[Slot], then: Then) -> None:
    """Call `then` once none of several slots misses anything."""
    missing = [slot for slot in slots if not slot.whole]
    left = len(missing)
    if not left:
        turns.add(then)

    def arrived() -> None:
        nonlocal left
        left -= 1
        if not left:
            then()

    for slot in missing:
        slot.when_whole(arrived)
