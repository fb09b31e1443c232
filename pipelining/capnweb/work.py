"""What a session wants done outside: programs delivered, and its gateway's awaitables awaited."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

from raydo.pipelining.capnweb.draft import Drafts
from raydo.pipelining.capnweb.faults import logger, presentable
from raydo.pipelining.capnweb.slot import Slot, Turns
from raydo.pipelining.errors import InvalidArgument, decode_error
from raydo.pipelining.frame import Reply
from raydo.pipelining.noun import Noun


class Run(NamedTuple):
    """A program to be delivered to an object."""

    ticket: int
    noun: Noun
    program: bytes


class Await(NamedTuple):
    """Something of the gateway's own to be awaited."""

    ticket: int
    awaitable: Awaitable[Any]


class _Sent(NamedTuple):
    """A program under way: its calls, and which of them it answers."""

    calls: dict[int, Slot]
    outputs: dict[int, Slot]
    size: int


class Work:
    """Give out work by ticket, and bring what became of it to the slots that wait."""

    def __init__(self, turns: Turns, drafts: Drafts, wake: Callable[[], None]) -> None:
        self._turns = turns
        self._drafts = drafts
        self._wake = wake
        self._ticket = 0
        self._sent: dict[int, _Sent] = {}
        self._awaited: dict[int, Slot] = {}
        self._new: list[Await] = []

    @property
    def busy(self) -> bool:
        return bool(self._sent or self._awaited or self._drafts.waiting)

    @property
    def urgent(self) -> bool:
        return bool(self._new) or self._drafts.urgent

    def wait_for(self, slot: Slot, awaitable: Awaitable[Any]) -> None:
        """Let the shell await something whose result is the slot's value."""
        ticket = self._next()
        self._awaited[ticket] = slot
        self._new.append(Await(ticket, awaitable))
        self._wake()

    def take(self, *, keep: bool) -> list[Run | Await]:
        """Hand over what is to be done."""
        work: list[Run | Await] = [*self._new]
        self._new.clear()
        for draft in self._drafts.take():
            program, outputs = draft.close(keep=keep)
            ticket = self._next()
            self._sent[ticket] = _Sent(draft.calls, outputs, draft.size)
            work.append(Run(ticket, draft.noun, program))
        return work

    def awaited(self, ticket: int) -> Slot:
        """Give the slot that something awaited is for."""
        return self._awaited.pop(ticket)

    def answer(self, ticket: int, outcome: Reply | Exception) -> None:
        """Bring a program's outcome to its calls.

        Raises:
            RaydoError: calls that nobody awaits were lost, which only the session's end can tell.
        """
        sent = self._sent.pop(ticket)
        self._drafts.answered(len(sent.calls), sent.size)
        if isinstance(outcome, Reply) and len(outcome.results) != len(sent.outputs):
            outcome = InvalidArgument("The reply does not fit the program that was sent.")
        if isinstance(outcome, Reply):
            _reply(sent, outcome)
        else:
            self._lose(sent, presentable(outcome, "A program"))

    def _lose(self, sent: _Sent, error: BaseException) -> None:
        unheard = any(not slot.asked for slot in sent.calls.values())
        for slot in sent.calls.values():
            slot.fail(error)
        self._turns.run()
        if unheard:
            raise error

    def _next(self) -> int:
        self._ticket += 1
        return self._ticket


def _reply(sent: _Sent, reply: Reply) -> None:
    for slot, result in zip(sent.outputs.values(), reply.results, strict=True):
        if result.failed:
            slot.fail(decode_error(result.value))
        else:
            slot.settle(result.value, plain=True)
    for failure in reply.failures:
        logger.info("A call that nobody awaited failed: %s", failure.error.get("message"))
    for slot in sent.calls.values():
        if not slot.known:
            slot.fail(InvalidArgument("This result was let go before it came."))
