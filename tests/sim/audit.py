"""Look at everything that an effect can change, and hold it against the model."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING

from sim.answers import Mismatch, applied, decoded
from sim.model_object import BY_PERSON, DAYS, HOURS, ROWS
from sim.shop import SimShop
from sim.traffic import USERS, entry
from sim.values import Call, Frame

if TYPE_CHECKING:
    from sim.world import World

    from raydo.pipelining import frame as wire

AUDITOR = b"session        0"


def after_start(world: World) -> None:
    """Find out which of the unanswered turns happened; everything else must be as it was."""
    world.traffic.now = world.clock.now_ms()
    calls = _calls(world)
    frame = Frame(AUDITOR, world.audits + 1, world.audits, calls)
    world.audits += 1
    [answer] = applied(world.activation, [entry(frame)])
    wrong = _settle(world, calls, answer)
    if wrong is not None:
        raise Mismatch(f"after a start: {wrong}")
    world.judge(world.turn([frame]), [answer])


def inspect(world: World) -> None:
    """Compare everything there is."""
    world.operations += 1
    world.trace.append("inspect")
    world.traffic.now = world.clock.now_ms()
    calls = [
        *_calls(world),
        Call("query", (ROWS, [0])),
        Call("query", (HOURS,)),
        Call("query", (DAYS,)),
        Call("query", (BY_PERSON,)),
        Call("dau", (14,), {"tz": "America/New_York"}),
        Call("dau", (14,), {"tz": "Asia/Kolkata"}),
        *[Call("counters.get", (f"event:{name}",)) for name in ("PageView", "Signup", "Sure")],
    ]
    if world.cls is SimShop:
        calls += [Call("items"), Call("emitted")]
    world.send_calls(calls)
    world.send(world.callers.retried())
    world.send_calls(world.traffic.duplicates())


def _calls(world: World) -> tuple[Call, ...]:
    if world.cls is SimShop:
        return (Call("census", (_last_seq(world),)),)
    rows = Call("query", (ROWS, [_last_seq(world)]))
    values = [Call("counters.get", (f"active:{user}",)) for user in USERS]
    return (rows, Call("settings"), Call("stats"), *values)


def _last_seq(world: World) -> int:
    """Return the seq up to which every row was looked at."""
    events = world.model.object.events
    while world.looked_at < len(events) and events[world.looked_at].seq.value is not None:
        world.looked_at += 1
    last: int = events[world.looked_at - 1].seq.value if world.looked_at else 0
    return last


def _settle(world: World, calls: tuple[Call, ...], answer: wire.Answer) -> str | None:
    """Try each of the unanswered turns: at most one has happened, since none was answered."""
    actual, lasting = decoded(answer.payload, calls), world.exists()
    histories = [None, *world.unknown, *world.void]
    wrong = ""
    for history in histories:
        last = history is histories[-1]
        trial = world.model if history is None or last else deepcopy(world.model)
        if history is not None:
            history.happen(trial)
        trial.start(world.clock.now_ms())
        where = world.seen.differs(trial.evaluate(calls), actual, lasting=lasting)
        if where is None:
            world.trace.append(f"of {len(histories) - 1} things happened {history}")
            world.model, world.happened, world.unknown = trial, history, []
            if history is not None:
                world.void = []
            return None
        wrong += f"\n  if {history or 'nothing more'} happened: {where}"
    return wrong
