"""One firing: the handler's call and the timer's next row, on disk together or not at all.

The timer goes on first and its handler runs then, both inside one call. So the handler finds its
timer as it will be, a timer that it sets wins, and an end of the process at any moment leaves
either everything or a timer that is still due: it is called at least once, and has its effects
once. When the handler raises, all of that is taken back, and the failure is a call of its own.

What is the object's fault is tried TIMER_RETRIES_MAX times more. What is the disk's is not the
timer's to count: it passes through here, and the timer stays due.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from raydo.actors import handlers
from raydo.actors.handlers import Firing
from raydo.pipelining.errors import ActivationBroken, StorageFull, TurnTooLong
from raydo.pipelining.limits import TIMER_RETRIES_MAX

if TYPE_CHECKING:
    from types import MethodType

    from raydo.actors.alarms import Timer
    from raydo.actors.state import State

_log = logging.getLogger("raydo")

_NOT_THE_OBJECTS: Final = (ActivationBroken, TurnTooLong, StorageFull)


def fire(state: State, owner: object, name: str) -> None:
    """Run one timer, unless it is due no more.

    Raises:
        ActivationBroken, TurnTooLong, StorageFull: it is as due as it was.
    """
    timer = state.alarms.get(name)
    if timer is None or timer.next_at_ms is None or timer.next_at_ms > state.now_ms:
        return  # an earlier one of this round changed it
    handler = handlers.find(owner, name)
    if handler is None:
        _log.warning("%s has a timer %s and no such method: it is kept", state.noun, name)
        state.alarms.orphan(name)
        return
    try:
        state.call(partial(_run, state, timer, handler))
    except _NOT_THE_OBJECTS:
        raise
    except (Exception, SystemExit) as error:  # noqa: BLE001  # the object's code may raise it
        _tell(state, timer, error)
        state.call(partial(state.alarms.failed, timer, f"{type(error).__name__}: {error}"))


def end_job(state: State, owner: object, *, n: int, result: Any, error: str | None) -> None:
    """Tell the object the end of a job, together with the end of its row.

    A handler that raises is not called again, for its function may have done what must not be done
    twice: it is logged, and its job is over.

    Raises:
        ActivationBroken, TurnTooLong, StorageFull: the job is not over.
    """
    try:
        state.call(partial(_end_job, state, owner, n, result, error))
    except _NOT_THE_OBJECTS:
        raise
    except (Exception, SystemExit) as raised:  # noqa: BLE001  # the object's code may raise it
        _log.error("A handler of %s raised at the end of a job", state.noun, exc_info=raised)
        state.call(lambda: state.jobs.done(n))


def _end_job(state: State, owner: object, n: int, result: Any, error: str | None) -> None:
    job = state.jobs.done(n)
    if job is None:
        return  # it was over already
    name = job.then if error is None else job.failed
    if name is not None and (handler := handlers.find(owner, name)) is not None:
        handler(result if error is None else error)
    elif error is not None:
        _log.error("%s of %s is given up: %s", job.function, state.noun, error)


def _run(state: State, timer: Timer, handler: MethodType) -> None:
    scheduled_ms = timer.next_at_ms if timer.scheduled_ms is None else timer.scheduled_ms
    assert scheduled_ms is not None
    state.alarms.passed(timer)
    handlers.run(handler, Firing(scheduled_ms, timer.attempts + 1))


def _tell(state: State, timer: Timer, error: BaseException) -> None:
    if timer.attempts < TIMER_RETRIES_MAX:
        _log.warning("%s of %s raised, and is tried again", timer.name, state.noun, exc_info=error)
    else:
        _log.error(
            "%s of %s raised for the last time: what was due is not done",
            timer.name,
            state.noun,
            exc_info=error,
        )
