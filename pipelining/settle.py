"""Bring a frame's outcome to its promises, and its failures to whoever must hear of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

from raydo.pipelining.errors import InvalidArgument, OutcomeUnknown, TimedOut, decode_error
from raydo.pipelining.frame import Reply
from raydo.pipelining.promise import CastPromise, Promise
from raydo.pipelining.state import Pending, Settled

if TYPE_CHECKING:
    from raydo.pipelining.compile import Compiled
    from raydo.pipelining.noun import Noun
    from raydo.pipelining.outbox import Outbox
    from raydo.pipelining.state import Done

Told: TypeAlias = "list[tuple[Done, Settled]]"


def settle(
    noun: Noun,
    outbox: Outbox,
    compiled: Compiled,
    outcome: Reply | Exception,
    *,
    kept: bool = False,
) -> None:
    """Settle every promise of a frame, tell who waits, report what nobody awaits.

    `kept` says that its casts are not lost: they are on disk, for the next process.
    """
    if isinstance(outcome, Reply) and len(outcome.results) != len(compiled.outputs):
        outcome = InvalidArgument("The reply does not fit the program that was sent.")
    with outbox.lock:
        outbox.give(len(compiled.casts), compiled.cast_bytes)
        told = _assign(noun, outbox, compiled, outcome)
    tell(told)
    if not kept:
        _report(noun, outbox, compiled, outcome)


def tell(told: Told) -> None:
    for done, state in told:
        done(state)


def _assign(noun: Noun, outbox: Outbox, compiled: Compiled, outcome: Reply | Exception) -> Told:
    told: Told = []
    for position, (index, promise) in enumerate(compiled.outputs.items()):
        pending = promise._state
        if type(pending) is not Pending:
            continue  # it has timed out meanwhile
        state = _state(outcome, position)
        promise._state = state
        if state.error is not None and index in compiled.casts:
            outbox.report_unless_seen(state, f"{noun}.{compiled.casts[index]}")
        told.extend((done, state) for done in pending.done)
    return told


def _state(outcome: Reply | Exception, position: int) -> Settled:
    if not isinstance(outcome, Reply):
        return Settled(error=outcome)
    result = outcome.results[position]
    return Settled(error=decode_error(result.value)) if result.failed else Settled(result.value)


def _report(noun: Noun, outbox: Outbox, compiled: Compiled, outcome: Reply | Exception) -> None:
    if isinstance(outcome, Reply):
        for index, wire in outcome.failures:
            name = compiled.casts.get(index, "a call")
            outbox.report(decode_error(wire), f"{noun}.{name}")
        return
    lost = [name for index, name in compiled.casts.items() if index not in compiled.outputs]
    if lost and not isinstance(outcome, OutcomeUnknown):  # unknown is the result; it was applied
        report_lost(noun, outbox, lost, outcome)


def report_lost(noun: Noun, outbox: Outbox, names: list[str], error: Exception) -> None:
    """Report casts that were not delivered, as one failure."""
    more = f" and {len(names) - 1:,} more casts" if len(names) > 1 else ""
    outbox.report(error, f"{noun}.{names[0]}{more}", len(names))


def refuse(noun: Noun, outbox: Outbox, promise: Promise[Any], error: Exception) -> Told:
    """Settle a promise that is not to be sent any more; give whom to tell."""
    pending = promise._state
    if type(pending) is Settled:
        return []
    promise._state = state = Settled(error=error)
    if isinstance(promise, CastPromise):
        outbox.report_unless_seen(state, f"{noun}.{promise._name}")
    return [(done, state) for done in pending.done] if type(pending) is Pending else []


def time_out(promise: Promise[Any], outbox: Outbox) -> Told:
    """Give up waiting for a promise; a cast itself stays under way."""
    pending = promise._state
    if type(pending) is not Pending:
        return []
    what = "It stays queued" if isinstance(promise, CastPromise) else "It may have been applied"
    why = f" {outbox.trouble}" if outbox.trouble else ""
    state = Settled(
        error=TimedOut(f"{promise!r} had no answer within {outbox.timeout_s:g} s. {what}.{why}")
    )
    told = [(done, state) for done in pending.done]
    if isinstance(promise, CastPromise):
        pending.done.clear()
    else:
        promise._state = state
    return told
