"""A property of a value that is not here yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raydo.pipelining.capnweb.calls import Dispatcher
    from raydo.pipelining.capnweb.draft import Draft
    from raydo.pipelining.capnweb.slot import Slot


class Get:
    """Read it here once the value has come, or at the object if a call there needs it."""

    def __init__(self, calls: Dispatcher, parent: Slot, path: list[str | int]) -> None:
        self.calls = calls
        self.parent = parent
        self.path = path

    def start(self, slot: Slot) -> None:
        self.parent.when_known(lambda: slot.follow(self.calls.get(self.parent, self.path)))

    def place(self, draft: Draft, at: int) -> int | None:
        if any(str(key).startswith("-") for key in self.path):
            return None  # no index in JavaScript, and one from the end in Python
        return draft.get(at, self.path)
