"""Compile the front of a batch's queue into one program."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from raydo.pipelining.aside import goes_aside
from raydo.pipelining.assemble import Elsewhere, ProgramAssembler
from raydo.pipelining.convoy import Place
from raydo.pipelining.derive import under_way
from raydo.pipelining.errors import TooLarge
from raydo.pipelining.held import outputs_held
from raydo.pipelining.limits import CASTS_PER_FRAME_MAX, FRAME_FILL_BYTES
from raydo.pipelining.program import join_program
from raydo.pipelining.promise import CastPromise, Promise
from raydo.pipelining.state import Pending, Settled

if TYPE_CHECKING:
    from raydo.pipelining.convoy import Linked
    from raydo.pipelining.outgoing_frame import Frame
    from raydo.pipelining.transport import Transport

# A plain cast: its instruction, its promise if anybody still holds it, its name. Tuples, because
# these are made a hundred thousand times a second.
QueuedCast: TypeAlias = tuple[bytes, Callable[[], CastPromise[Any] | None], str]
Mark: TypeAlias = Callable[[], None]
Item: TypeAlias = QueuedCast | Promise[Any] | Mark


@dataclass(frozen=True, slots=True)
class Exits:
    """What becomes of promises that do not simply go into the program."""

    refuse: Callable[[Promise[Any], Exception], None]  # it cannot be sent at all
    park: Callable[[Promise[Any]], None]  # it has to wait for other objects' values
    find: Callable[[Promise[Any]], Place | None]  # where such a value can be had on the way


class Compiled:
    """A program, who waits for which of its instructions, and which of them are casts."""

    __slots__ = (
        "aside",
        "cast_bytes",
        "casts",
        "links",
        "outputs",
        "plain",
        "program",
        "waits_for",
    )

    def __init__(self) -> None:
        self.program = b""
        self.aside = False  # whether its answer may take long, so that it travels alone
        self.links: list[Linked] = []
        self.outputs: dict[int, Promise[Any]] = {}
        self.casts: dict[int, str] = {}
        self.cast_bytes = 0
        self.plain = 0  # how many of the casts were encoded when they were made
        self.waits_for: Promise[Any] | None = None  # what the next item in the queue needs first

    def wanted(self) -> bool:
        """Whether there is still a reason to send it."""
        return bool(self.casts) or any(
            type(promise._state) is Pending for promise in self.outputs.values()
        )

    def travels_in(self, frame: Frame, transport: Transport) -> None:
        """Let other objects' frames find its values."""
        for output, promise in enumerate(self.outputs.values()):
            if type(promise._state) is Pending:
                promise._state.place = Place(transport, frame, output)


def compile_queue(queue: deque[Item], exits: Exits, *, alone: bool) -> Compiled:
    """Take items from the front until a frame is full, a mark is met, or one has to wait.

    The program is empty if nothing was taken.
    `alone` says that no earlier frame is under way, so nothing has to wait for one.
    """
    compiler = _Compiler(queue, exits, alone)
    while queue and compiler.take(queue[0]):
        pass
    return compiler.finish()


class _Compiler:
    def __init__(self, queue: deque[Item], exits: Exits, alone: bool) -> None:
        self.queue = queue
        self.exits = exits
        self.alone = alone
        self.size = 0
        self.plain = True  # nothing but casts that stand alone
        self.program = ProgramAssembler(exits.find)
        self.compiled = Compiled()

    def take(self, item: Item) -> bool:
        """Move one item into the program; False ends it."""
        if len(self.program.ops) >= CASTS_PER_FRAME_MAX or self.size >= FRAME_FILL_BYTES:
            return False
        aside = isinstance(item, Promise) and goes_aside(item)
        if self.program.ops and aside != self.compiled.aside:
            return False
        self.compiled.aside = aside
        if type(item) is tuple:
            return self._take_cast(*item)
        if isinstance(item, Promise):
            return self._take_promise(item)
        return False  # a mark: the batch sees to it

    def _take_cast(self, op: bytes, kept: Callable[[], CastPromise[Any] | None], name: str) -> bool:
        if self.size and self.size + len(op) > FRAME_FILL_BYTES:
            return False
        self.queue.popleft()
        self.size += len(op)
        promise = kept()
        index = self.program.append(op, promise)
        self._note_cast(index, name, len(op))
        self.compiled.plain += 1
        if promise is not None:
            self.compiled.outputs[index] = promise
        return True

    def _note_cast(self, index: int, name: str, size: int) -> None:
        self.compiled.casts[index] = name
        self.compiled.cast_bytes += size

    def _take_promise(self, promise: Promise[Any]) -> bool:
        state = promise._state
        if type(state) is Settled or (type(state) is Pending and state.frame):
            self.queue.popleft()  # timed out in the queue, or in a frame as part of another
            return True
        self.compiled.waits_for = None if self.alone else under_way(promise)
        if self.compiled.waits_for is not None:
            return False
        self.plain = False
        self.program.site = promise._site
        before, uses = len(self.program.ops), len(self.program.uses)
        try:
            index = self.program.place(promise)
        except Elsewhere:
            self.program.cut(before, uses)
            self.queue.popleft()
            self.exits.park(promise)
            return True
        except Exception as error:  # noqa: BLE001  # an argument that failed brings its own error
            self.program.cut(before, uses)
            if isinstance(error, TooLarge) and before:
                return False  # it may fit into the next frame
            self.queue.popleft()
            self.exits.refuse(promise, error)
            return True
        self.queue.popleft()
        self.size += sum(map(len, self.program.ops[before:]))
        self.compiled.outputs[index] = promise
        if isinstance(promise, CastPromise):
            self._note_cast(index, promise._name, len(promise._args))
        return True

    def finish(self) -> Compiled:
        compiled, program = self.compiled, self.program
        more = () if self.plain else outputs_held(program, set(compiled.outputs))
        for index in more:
            node = program.nodes[index]
            assert node is not None
            compiled.outputs[index] = node
        for promise in compiled.outputs.values():
            if type(promise._state) is not Pending:
                promise._state = Pending()
            promise._state.frame = 1
        compiled.links = program.links
        if program.ops:
            compiled.program = join_program(program.ops, tuple(compiled.outputs))
        return compiled
