"""Activations that go on after another one has their tenant, as if no lock held."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from copy import copy, deepcopy
from typing import TYPE_CHECKING, Any

from sim.answers import applied
from sim.callers import Fired, Turn
from sim.faults import perhaps_write
from sim.traffic import entry
from sim.values import Session

from raydo.pipelining.errors import ActivationBroken, RaydoError

if TYPE_CHECKING:
    from sim.world import World

    from raydo.actors.activation import Activation
    from raydo.pipelining import frame as wire


def takeover(world: World) -> None:
    """Force a second activation alive between two turns, and let the first one go on."""
    if not world.exists():
        return
    stale, sessions = world.activation, world.turn([]).sessions
    world.trace.append("takeover")
    world.disk.unlock()
    world.open()
    perhaps_write(world)
    bother(world, stale, sessions)
    stale.abandon()
    if world.random.random() < 0.4:
        world.disk.crash()


def bother(world: World, stale: Activation, sessions: Mapping[bytes, Session]) -> None:
    """Use an activation that has lost its tenant: no answer may leave it."""
    act = world.random.randrange(5)
    calls = world.traffic.past_the_log() if act == 1 else world.traffic.sure()
    turn = world.turn([world.callers.fresh(calls)])._replace(sessions=sessions)
    acts: tuple[Callable[[], Any], ...] = (
        lambda: applied(stale, [entry(frame) for frame in turn.frames]),
        lambda: applied(stale, [entry(frame) for frame in turn.frames]),
        stale.fire,
        stale.drain,
        stale.close,
    )
    world.trace.append(("stale", ("run", "sql", "fire", "drain", "close")[act], turn))
    if not world.claimed:
        if act < 2:
            world.void.append(turn)
        elif act == 2 and (due := world.model.due(world.clock.now_ms())):
            world.void.append(Fired((due[0],), world.clock.now_ms()))
    try:
        answers = acts[act]()
    except RaydoError:
        return
    if act < 2:
        raise AssertionError(f"a stale activation answered: {answers}")


def frozen(world: World) -> None:
    """Let the process freeze at a step of its turn, and thaw when another has the tenant."""
    if not world.exists():
        return
    at, frames, prefix = world.random.randrange(12), world.frames(2), ""
    if world.random.random() < 0.5:  # while it makes a segment, which nobody will know to be void
        at, prefix = world.random.randrange(6), "writer.create"
        frames.append(world.callers.fresh(world.traffic.large()))
    world.trace.append(f"freeze at step {at} {prefix}")
    frozen, turn = world.activation, world.turn(frames)
    world.trace.append(turn)
    world.unknown.append(turn)
    world.disk.on_step = _freezing(world, at, prefix)
    try:
        answers = frozen.run([entry(frame) for frame in turn.frames])
    except ActivationBroken:
        if world.activation is frozen:
            raise
        if turn is not world.happened and not world.claimed:
            world.void.append(turn)
    else:
        world.disk.on_step = lambda label: None
        _judge(world, frozen, turn, answers)
    if world.activation is not frozen:
        frozen.abandon()
        if world.random.random() < 0.5:
            world.disk.crash()


def _freezing(world: World, at: int, prefix: str) -> Callable[[str], None]:
    """Let another activation take the tenant at a step, while this one's turn stands still."""

    def step(label: str) -> None:
        nonlocal at
        at -= label.startswith(prefix)
        if at < 0 and not world.files.in_transaction():  # else SQLite's own lock holds
            world.disk.on_step = lambda label: None
            world.trace.append(f"frozen at {label}")
            world.disk.crash_at = world.disk.crash_after = None
            world.disk.unlock()
            world.open()
            perhaps_write(world)

    return step


def _judge(world: World, frozen: Activation, turn: Turn, answers: Sequence[wire.Answer]) -> None:
    """An answer may leave after a takeover if the successor knows of all that it tells."""
    if world.activation is frozen:
        world.unknown.remove(turn)
        world.judge(turn, answers)
    elif turn is not world.happened and _has_effects(world, turn):
        raise AssertionError("a stale activation answered what its successor doesn't know")


def _has_effects(world: World, turn: Turn) -> bool:
    trial = deepcopy(world.model)
    trial.sessions = {name: copy(session) for name, session in turn.sessions.items()}
    trial.turn(turn.frames, turn.now)
    return trial.object.effects != world.model.object.effects


ALL = (takeover, frozen, frozen)
