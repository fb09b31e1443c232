"""Maps: a function that the client recorded, run over each element of a list, or over one value.

Its instructions are expressions in which numbers mean: 0 the element, 1, 2, … the results of the
instructions before, -1, -2, … what the function captured. The last one's value is the result.

A map without calls is read here, with JavaScript's rules, once somebody asks. A map with calls
becomes one instruction of the program that computes its list, if everything that it uses is known
to the same object (`mapping.py`). Any other is replayed here: its calls, on whatever objects they
are, go into those objects' drafts, so that they too travel together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from raydo.pipelining.capnweb.faults import presentable
from raydo.pipelining.capnweb.mapping import compile_map
from raydo.pipelining.capnweb.reader import Payload, Reader
from raydo.pipelining.capnweb.reading import Reading, compile_reading
from raydo.pipelining.capnweb.slot import Slot, Turns, settled
from raydo.pipelining.capnweb.stub import ClientStub
from raydo.pipelining.capnweb.values import UNDEFINED
from raydo.pipelining.errors import InvalidArgument, RaydoError, TooLarge
from raydo.pipelining.limits import CAPNWEB_PENDING_MAX, MAP_ITEMS_MAX

if TYPE_CHECKING:
    from raydo.pipelining.capnweb.calls import Dispatcher
    from raydo.pipelining.capnweb.draft import Draft

Captures = Sequence[Slot | ClientStub]

_CALL_LENGTH: Final = 4  # ["pipeline", id, path, args]
REPLAYED_STEPS: Final = 10  # what replaying one instruction costs, compared with copying a value


class Map:
    """One recorded function over one value."""

    def __init__(
        self, calls: Dispatcher, parent: Slot, captures: Captures, instructions: list[Any]
    ) -> None:
        self.calls = calls
        self.parent = parent
        self.captures = captures
        self.instructions = instructions
        self.effects = sum(map(count_calls, instructions))

    def start(self, slot: Slot) -> None:
        self.parent.when_known(lambda: self.replay(slot))

    def place(self, draft: Draft, at: int) -> int | None:
        """Add the map to the program that computes its list; None if it needs anything else."""
        mark = draft.mark()
        compiled = self._compile(draft, at)
        if compiled is None:
            draft.cut(mark)
            return None
        return draft.append(*compiled)

    def call_there(self, draft: Draft, out: Slot) -> bool:
        """Add a map that makes calls to the program that computes its list, as one of its calls."""
        mark = draft.mark()
        try:
            at = draft.place(self.parent)
            compiled = None if at is None else self._compile(draft, at)
            if compiled is not None:
                draft.add_call(compiled[0], out, compiled[1])
        except RaydoError:
            compiled = None
        if compiled is None:
            draft.cut(mark)
            return False
        self.calls.drafts.added(draft, 1, draft.size - mark.size)
        return True

    def _compile(self, draft: Draft, at: int) -> tuple[bytes, int] | None:
        return compile_map(self.calls.turns, draft, at, self.captures, self.instructions)

    def ask(self) -> None:
        """See to it that what the function captured is there when it runs."""
        for capture in self.captures:
            if isinstance(capture, Slot):
                capture.ask()

    def replay(self, out: Slot) -> None:
        """Run the function here, now that the value is known."""
        if self.parent.error is not None:
            out.fail(self.parent.error)
            return
        nested: list[Slot] = []
        try:
            value = self._over(self.parent.value, nested)
        except Exception as error:  # noqa: BLE001  # the function's own fault is its result
            out.fail(presentable(error, "A map"))
            return
        if isinstance(value, Slot):
            out.follow(value)
        else:
            out.settle(value, nested)

    def _over(self, value: Any, nested: list[Slot]) -> Any:
        if value is None or value is UNDEFINED:
            return value
        if not isinstance(value, list):
            return self._apply(value, nested)
        if len(value) > MAP_ITEMS_MAX:
            raise TooLarge(f"map() runs over at most {MAP_ITEMS_MAX:,} items, not {len(value):,}.")
        drafts = self.calls.drafts
        if drafts.calls + self.calls.deferred + len(value) * self.effects > CAPNWEB_PENDING_MAX:
            raise TooLarge(f"This map makes more than {CAPNWEB_PENDING_MAX:,} calls.")
        if self.parent.plain and not self.effects and not self.captures:
            read = compile_reading(self.instructions)
            if read is not None:
                return self._read(value, read)
        return [self._apply(element, nested) for element in value]

    def _read(self, value: list[Any], read: Reading) -> list[Any]:
        self.calls.turns.meter.spend(len(value) * len(self.instructions))
        return [read([element]) for element in value]

    def _element(self, element: Any) -> Slot:
        if isinstance(element, Slot):
            return element
        slot = Slot(self.calls.turns)
        nested = self.calls.inside(element) if self.parent.nested else ()
        slot.settle(element, nested, plain=self.parent.plain)
        return slot

    def _apply(self, element: Any, nested: list[Slot]) -> Any:
        turns = self.calls.turns
        turns.meter.spend(len(self.instructions) * REPLAYED_STEPS)
        variables = _Variables(turns, self.captures, self._element(element))
        reader = Reader(variables, self.calls)
        for instruction in self.instructions[:-1]:
            variables.add(reader.read(instruction))
        result = reader.read(self.instructions[-1])
        value = result.value
        if isinstance(value, Slot) and value.whole and value.failure is None:
            return value.value
        nested.extend(result.slots)
        return value


class _Variables:
    """What the numbers in a function's instructions mean, for one element."""

    def __init__(self, turns: Turns, captures: Captures, element: Slot) -> None:
        self._turns = turns
        self._captures = captures
        self._variables = [element]

    def add(self, result: Payload) -> None:
        if isinstance(result.value, Slot):
            self._variables.append(result.value)
            return
        slot = Slot(self._turns)
        slot.settle(result.value, result.slots)
        self._variables.append(slot)

    def slot(self, number: int) -> Slot:
        if number >= 0:
            if number < len(self._variables):
                return self._variables[number]
        elif -number <= len(self._captures):
            capture = self._captures[-number - 1]
            return capture if isinstance(capture, Slot) else settled(self._turns, capture)
        raise InvalidArgument(f"A mapper function has no value {number}.")

    def stub(self, _: int) -> ClientStub:
        raise InvalidArgument("A mapper function cannot refer to exports; capture them.")

    def promise(self, _: int) -> Slot:
        raise InvalidArgument("A mapper function cannot refer to exports; capture them.")

    def readable(self, _: int) -> Slot:
        raise InvalidArgument("A mapper function cannot use streams.")


def count_calls(expression: Any) -> int:
    """Count the calls in an instruction; data that only looks like one is counted as well."""
    if isinstance(expression, dict):
        return sum(map(count_calls, expression.values()))
    if not isinstance(expression, list):
        return 0
    is_call = len(expression) == _CALL_LENGTH and expression[0] in ("pipeline", "import")
    return is_call + sum(map(count_calls, expression))
