"""What becomes of the properties, calls and maps that a session's messages ask for.

A call on a durable object goes into the object's draft at once, in the order of the messages; only
one whose arguments have to come from elsewhere first (another object, the client) waits for them.
A call on a result that is not here yet goes into the same draft where that can be, and else waits
for it; what waits for one slot is done in the order in which it came.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any, Final

from raydo.pipelining.assemble import number
from raydo.pipelining.capnweb.arguments import Elsewhere, arguments
from raydo.pipelining.capnweb.draft import Draft, Drafts
from raydo.pipelining.capnweb.faults import not_a_function, presentable
from raydo.pipelining.capnweb.local import Held, Holds, Local
from raydo.pipelining.capnweb.property import Get
from raydo.pipelining.capnweb.reader import Payload
from raydo.pipelining.capnweb.rebuild import check_size, rebuild
from raydo.pipelining.capnweb.remap import Map
from raydo.pipelining.capnweb.slot import Slot, Turns, content, failed, when_all_whole
from raydo.pipelining.capnweb.stub import Answer, ClientStub
from raydo.pipelining.capnweb.targets import LocalMethod, Path, RemoteMethod, callee, walk
from raydo.pipelining.capnweb.values import UNDEFINED, PeerError
from raydo.pipelining.codec import pack, pack_arguments
from raydo.pipelining.errors import InvalidArgument, Overloaded, RaydoError
from raydo.pipelining.limits import CAPNWEB_PATH_MAX, CAPNWEB_PENDING_MAX
from raydo.pipelining.program import NAME_MAX

_FAULTS: Final = (RaydoError, PeerError)


WaitFor = Callable[[Slot, Awaitable[Any]], None]


class Dispatcher:
    """Do what expressions ask for."""

    def __init__(self, turns: Turns, drafts: Drafts, holds: Holds, wait_for: WaitFor) -> None:
        self.turns = turns
        self.drafts = drafts
        self.deferred = 0  # calls that wait for something else first
        self._holds = holds
        self._wait_for = wait_for  # lets the shell await what a method of the gateway returned

    def get(self, slot: Slot, path: Path) -> Slot:
        """Read a property."""
        if not path:
            return slot
        if not slot.known:
            lazy = slot.lazy
            if isinstance(lazy, Get) and len(lazy.path) + len(path) <= CAPNWEB_PATH_MAX:
                return Slot(self.turns, Get(self, lazy.parent, [*lazy.path, *path]))
            return Slot(self.turns, Get(self, slot, [*path]))
        if slot.error is not None:
            return slot
        try:
            value, rest = walk(slot.value, path)
        except _FAULTS as error:
            return failed(self.turns, error)
        return self._found(slot, value, rest)

    def _found(self, slot: Slot, value: Any, rest: Path) -> Slot:
        if isinstance(value, Slot):
            return self.get(value, rest)
        if isinstance(value, ClientStub) and rest:
            return value.send(rest, None)
        found = Slot(self.turns)
        plain = slot.plain and value is not UNDEFINED
        found.settle(value, self.inside(value) if slot.nested else (), plain=plain)
        return found

    def inside(self, value: Any) -> list[Slot]:
        """List the slots inside a part of a value that is not whole."""
        inside: list[Slot] = []

        def collect(item: Any) -> Any:
            self.turns.meter.spend(1)
            if isinstance(item, Slot):
                inside.append(item)
            return item

        rebuild(value, collect)
        return inside

    def derive(self, slot: Slot, read: Callable[[Any], Any]) -> Slot:
        """Make a value of another that is still to come."""
        found = Slot(self.turns)

        def arrived() -> None:
            if slot.failure is not None:
                found.fail(slot.failure)
                return
            try:
                found.settle(read(slot.value))
            except RaydoError as error:
                found.fail(error)

        slot.when_whole(arrived)
        return found

    def call(self, slot: Slot, path: Path, args: Payload) -> Slot:
        """Call what lies at a path."""
        out = Slot(self.turns)
        self._call(out, slot, path, args)
        return out

    def _call(self, out: Slot, slot: Slot, path: Path, args: Payload) -> None:
        if slot.error is not None:
            out.fail(slot.error)
            return
        if not slot.known:
            if not self._call_there(out, slot, path, args):
                for each in args.slots:
                    each.ask()  # else its program would be sent without it as an output
                self.defer(slot.when_known, lambda: self._call(out, slot, path, args))
            return
        try:
            target, rest = callee(slot.value, path)
        except _FAULTS as error:
            out.fail(error)
            return
        if isinstance(target, RemoteMethod):
            self._call_remote(out, target, args)
        elif isinstance(target, LocalMethod):
            self._call_local(out, target, args)
        elif isinstance(target, ClientStub):
            self._call_client(out, target, rest, args)
        else:
            assert isinstance(target, Slot), target
            self._call(out, target, rest, args)

    def remap(
        self, slot: Slot, path: Path, captures: list[Slot | ClientStub], instructions: list[Any]
    ) -> Slot:
        """Run a recorded function over what lies at a path."""
        recorded = Map(self, self.get(slot, path), captures, instructions)
        if not recorded.effects:
            recorded.ask()
            return Slot(self.turns, recorded)
        out = Slot(self.turns)
        draft = self._draft_of(recorded.parent)
        if draft is None or not recorded.call_there(draft, out):
            recorded.ask()
            self.defer(recorded.parent.when_known, lambda: recorded.replay(out))
        return out

    def _draft_of(self, slot: Slot) -> Draft | None:
        """Find the open draft that computes what a slot follows from."""
        for _ in range(CAPNWEB_PATH_MAX):
            if slot.lazy is None:
                break
            slot = slot.lazy.parent
        return slot.draft if self.drafts.is_open(slot.draft) else None

    def defer(self, when: Callable[[Callable[[], None]], None], then: Callable[[], None]) -> None:
        """Do something later, counting it until then.

        Raises:
            Overloaded: too much waits already; the session cannot go on.
        """
        self.deferred += 1
        if self.deferred > CAPNWEB_PENDING_MAX:
            raise Overloaded(f"At most {CAPNWEB_PENDING_MAX:,} calls wait for something else.")

        def now() -> None:
            self.deferred -= 1
            then()

        when(now)

    def defer_until_whole(self, slots: Sequence[Slot], then: Callable[[], None]) -> None:
        """Do something once none of some slots misses anything."""
        self.defer(lambda now: when_all_whole(self.turns, slots, now), then)

    # Calls on durable objects.

    def _call_remote(self, out: Slot, method: RemoteMethod, args: Payload) -> None:
        draft = self.drafts.open(method.remote.noun)
        if not self._place_call(draft, out, None, (*method.remote.path, method.name), args):
            self.defer_until_whole(args.slots, lambda: self._call_remote(out, method, args))

    def _call_there(self, out: Slot, slot: Slot, path: Path, args: Payload) -> bool:
        """Call a method of a result inside the program that computes it; False if that cannot be."""
        draft = self._draft_of(slot)
        return bool(path and draft and self._place_call(draft, out, slot, path, args))

    def _place_call(
        self, draft: Draft, out: Slot, target: Slot | None, path: Path, args: Payload
    ) -> bool:
        """Add a call to a draft; False if something that it needs is elsewhere."""
        mark = draft.mark()
        try:
            at = None if target is None else draft.place(target)
            if target is not None and at is None:
                return False
            values = arguments(self.turns, draft, args)
            name = str(path[-1])
            if len(name) > NAME_MAX:
                raise not_a_function([name])
            steps = path[:-1]
            at = draft.part(tuple(map(str, steps))) if at is None else draft.get(at, steps)
            packed = pack_arguments(tuple(values), {})
            draft.add_call(b"\x95\x00" + number(at) + pack(name) + packed, out)
        except Elsewhere:
            draft.cut(mark)
            return False
        except _FAULTS as error:
            draft.cut(mark)
            out.fail(error)
            return True
        self.drafts.added(draft, 1, draft.size - mark.size)
        return True

    # Calls on the gateway's own objects, and on the client's.

    def _call_local(self, out: Slot, method: LocalMethod, args: Payload) -> None:
        missing = [slot for slot in args.slots if not slot.whole]
        if missing:
            self.defer_until_whole(missing, lambda: self._call_local(out, method, args))
            return
        try:
            self._give(out, self._run(method, args))
        except Exception as error:  # noqa: BLE001  # the answer says what the method raised
            out.fail(presentable(error, f"{type(method.local).__name__}.{method.name}"))

    def _run(self, method: LocalMethod, args: Payload) -> Any:
        for slot in args.slots:
            if slot.failure is not None:
                raise slot.failure
        check_size(sum(slot.size() for slot in args.slots))
        values = rebuild(args.value, _own)
        func = method.local.find(method.name)
        assert func is not None, "a method that was found"
        try:
            return func(*values)
        except TypeError:
            try:
                inspect.signature(func).bind(*values)
            except TypeError as error:
                raise InvalidArgument(f"{method.name}(): {error}.") from None
            raise

    def _give(self, out: Slot, result: Any) -> None:
        if isinstance(result, Answer):
            out.follow(result.slot)
        elif inspect.isawaitable(result):
            self._wait_for(out, result)
        else:
            self.give(out, result)

    def give(self, out: Slot, result: Any) -> None:
        """Settle a slot with what a method of the gateway's own returned."""
        nested: list[Slot] = []
        value = rebuild(result, partial(self._returned, nested))
        if isinstance(value, Slot):
            out.follow(value)
        else:
            out.settle(value, nested)

    def _returned(self, nested: list[Slot], value: Any) -> Any:
        """Give what stands for a leaf of what a method returned, noting what is still to come."""
        if isinstance(value, tuple):
            return [rebuild(item, partial(self._returned, nested)) for item in value]
        if isinstance(value, Local):
            return self._holds.hold(value)
        if isinstance(value, Answer):
            value = value.slot
        if isinstance(value, Slot):
            nested.append(value)
        return value

    def _call_client(self, out: Slot, stub: ClientStub, path: Path, args: Payload) -> None:
        try:
            out.follow(stub.send(path, args.value))
        except _FAULTS as error:
            out.fail(error)


def _own(value: Any) -> Any:
    """Give what stands for a leaf of the arguments of a method of the gateway's own."""
    value = content(value)
    return value.local if isinstance(value, Held) else value
