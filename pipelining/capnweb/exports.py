"""What the client holds of this session, by number, with the count of its references.

Numbers from 1 on are the client's: its n-th push. Negative ones are given here. No number is used
twice, and what the client lets go is forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass

from raydo.pipelining.capnweb.pipe import Pipe
from raydo.pipelining.capnweb.slot import Slot
from raydo.pipelining.errors import InvalidArgument, TooLarge
from raydo.pipelining.limits import CAPNWEB_EXPORTS_MAX


@dataclass(slots=True)
class Export:
    slot: Slot
    references: int = 1
    pulled: bool = False
    passing: bool = False  # released as soon as it is answered
    pipe: Pipe | None = None


class Exports:
    """The table; number 0, the session's main object, is never let go."""

    def __init__(self, main: Slot) -> None:
        self._entries: dict[int, Export] = {0: Export(main)}
        self._next_pushed = 1
        self._next_own = -1
        main.exports += 1

    def __len__(self) -> int:
        return len(self._entries)

    def push(self, export: Export) -> int:
        """Give the client's next number to what it pushed."""
        number = self._next_pushed
        self._next_pushed += 1
        self._add(number, export)
        return number

    def give(self, slot: Slot) -> int:
        """Give a number of our own to something that the client has not seen yet."""
        number = self._next_own
        self._next_own -= 1
        self._add(number, Export(slot))
        return number

    def _add(self, number: int, export: Export) -> None:
        if len(self._entries) > CAPNWEB_EXPORTS_MAX:
            raise TooLarge(
                f"A client holds at most {CAPNWEB_EXPORTS_MAX:,} results. Await or dispose of each "
                "promise, or open a new session now and then."
            )
        slot = export.slot
        slot.exports += 1
        if slot.lazy is not None:
            slot.keep()  # what it is read from may be let go before it is
        self._entries[number] = export

    def find(self, number: int) -> Export | None:
        return self._entries.get(number) if type(number) is int else None

    def get(self, number: int) -> Export:
        """Find an entry.

        Raises:
            InvalidArgument: there is none; the session cannot go on.
        """
        export = self.find(number)
        if export is None:
            raise InvalidArgument(f"no such export ID: {number}")
        return export

    def release(self, number: int, references: int) -> None:
        """Let go of some references.

        Raises:
            InvalidArgument: there are not so many; the session cannot go on.
        """
        export = self.get(number)
        if number == 0 or not 0 < references <= export.references:
            raise InvalidArgument(
                f"refcount would go negative: {export.references} < {references}"
                if number
                else "The main object is not released; close the session."
            )
        export.references -= references
        if not export.references:
            del self._entries[number]
            export.slot.exports -= 1
            if export.pipe is not None:
                export.pipe.dispose()  # at once: a call on it may wait for what it was to bring

    def clear(self) -> None:
        for export in self._entries.values():
            export.slot.exports -= 1
        self._entries.clear()
