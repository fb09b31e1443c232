"""Run one program against one object: a straight line, no suspension, no surprises.

Reach is the allow-list of `methods_of` and `exposed_by`; data that calls return can be stepped into
but not called. An instruction that fails hands its error to every instruction that depends on it
and to nothing else. What a program can make the receiver do is bounded: instructions by
`PROGRAM_STEPS_MAX`, and the values that its references and maps build by `FRAME_BYTES_MAX`, since a
few instructions that double a list would otherwise fill the memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

from raydo.pipelining.codec import pack
from raydo.pipelining.errors import (
    ActivationBroken,
    InvalidArgument,
    RaydoError,
    TooLarge,
    TurnTooLong,
    decode_error,
)
from raydo.pipelining.frame import (
    ROOT,
    Body,
    Call,
    Failure,
    Get,
    Map,
    Op,
    Outcome,
    Program,
    Reply,
    Value,
    encode_reply,
    pack_error,
)
from raydo.pipelining.limits import FRAME_BYTES_MAX, MAP_ITEMS_MAX, PROGRAM_STEPS_MAX
from raydo.pipelining.method import Method, methods_of
from raydo.pipelining.operands import Failed, Poisoned, Waits, at, fill, weigh
from raydo.pipelining.program import Fail
from raydo.pipelining.step import peek, step_into, unknown_method
from raydo.pipelining.unfinished import Postponed, Rest, Unfinished

logger = logging.getLogger("raydo")

T = TypeVar("T")

NOTHING: Final[Mapping[int, Any]] = MappingProxyType({})

# These say that the whole activation is unusable; no single instruction can own them.
_FATAL: Final = (ActivationBroken, TurnTooLong)


class Around(Protocol):
    """Run one call inside whatever must surround it, such as its transaction."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


def evaluate(program: Program, root: object, around: Around) -> Reply | Unfinished:
    """Run every instruction in order and collect the outputs.

    What comes back is unfinished when a call that was reached is answered beside the turns.

    Raises:
        ActivationBroken, TurnTooLong: from `around`; the caller's own faults never raise.
    """
    run = _Run(root, around)
    values, own = run.ops(program.ops)
    results, delivered = _results([values[index] for index in program.outputs])
    failures = tuple(
        Failure(index, pack_error(error)[0])
        for index, error in own
        if id(error) not in delivered  # else an output has told it already
    )
    if not run.rest.asks:
        return Reply(results, failures)
    known = [
        value.index if type(value := values[index]) is Waits else outcome.encode()
        for index, outcome in zip(program.outputs, results, strict=True)
    ]
    return run.rest.unfinished(known, failures)


def finish(unfinished: Unfinished, found: Sequence[Any]) -> bytes:
    """Do what was left, with a value or an error for each of `asks`; give the encoded reply."""
    answers = {
        index: Failed(value) if isinstance(value, BaseException) else value
        for (index, _), value in zip(unfinished.asks, found, strict=True)
    }
    values, _ = _Run(None, _alone).ops(Program.decode(unfinished.program).ops, answers)
    wanted = [index for index in unfinished.results if isinstance(index, int)]
    late = iter(_results([values[index] for index in wanted])[0])
    results = [
        known if isinstance(known, bytes) else next(late).encode() for known in unfinished.results
    ]
    return encode_reply(results, unfinished.failures)


def _alone(call: Callable[[], T], /) -> T:
    return call()


def _results(values: Sequence[Any]) -> tuple[tuple[Outcome, ...], set[int]]:
    results: list[Outcome] = []
    delivered: set[int] = set()
    room = FRAME_BYTES_MAX
    for value in values:
        if type(value) is Waits:
            results.append(Outcome(False, None))
            continue
        if type(value) is not Failed:
            try:
                packed = pack(value)
                room -= len(packed)
                if room < 0:
                    raise TooLarge(f"The results are over {FRAME_BYTES_MAX:,} bytes together.")
                results.append(Outcome(False, value, packed))
                continue
            except RaydoError as error:
                value = Failed(error)  # noqa: PLW2901
        delivered.add(id(value.error))
        results.append(Outcome(True, *pack_error(value.error)))
    return tuple(results), delivered


class _Run:
    """The state of one evaluation: what is left of its budgets."""

    def __init__(self, root: object, around: Around) -> None:
        self.root = root
        self.around = around
        self.steps = PROGRAM_STEPS_MAX
        self.bytes = FRAME_BYTES_MAX
        self.rest = Rest()

    def ops(
        self, ops: Sequence[Op], given: Mapping[int, Any] = NOTHING
    ) -> tuple[list[Any], list[tuple[int, BaseException]]]:
        """Run a program's instructions; give all values, and the errors that began here.

        Those in `given` have their values already.
        """
        values: list[Any] = []
        own: list[tuple[int, BaseException]] = []
        root = self.root
        step = self._step
        for index, op in enumerate(ops):
            target = root if op.target == ROOT else values[op.target]
            if type(target) is Failed or index in given:
                values.append(given.get(index, target))
                continue
            try:
                if self.rest.asks and self.rest.holds(op, target, values):
                    values.append(self.rest.follow(op, values))
                    continue
                value = step(op, target, values, (root,))
                values.append(self.rest.postpone(value) if type(value) is Postponed else value)
            except Poisoned as poisoned:
                values.append(poisoned.failed)
            except _FATAL:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001  # the object's code may raise it
                values.append(Failed(error))
                own.append((index, error))
        return values, own

    def _step(self, op: Op, target: Any, values: list[Any], outer: Sequence[Any]) -> Any:
        self._count()
        if type(op) is Call:
            return self._call(op, target, values, outer)
        if type(op) is Get:
            return peek(target, op.key) if op.lenient else step_into(target, op.key)
        if type(op) is Map:
            captured = [at(index, values, outer) for index in op.captures]
            return self._map(op.body, target, captured)
        if type(op) is Fail:
            raise Poisoned(Failed(decode_error(op.error)))
        assert type(op) is Value
        return op.value

    def _count(self) -> None:
        self.steps -= 1
        if self.steps < 0:
            raise TooLarge(
                f"A program takes at most {PROGRAM_STEPS_MAX:,} steps: its instructions, and those of "
                "its maps for each element."
            )

    def _call(self, op: Call, target: Any, values: list[Any], outer: Sequence[Any]) -> Any:
        method = methods_of(type(target)).get(op.name)
        if method is None:
            raise unknown_method(target, op.name)
        args, kwargs = op.args, op.kwargs
        if op.refs:
            args, kwargs = self._fill([args, kwargs], values, outer)
        try:
            return self.around(partial(method.func, target, *args, **kwargs))
        except RaydoError:
            raise
        except TypeError as error:
            method.check(tuple(args), kwargs)  # the caller's mistake, or else the object's own
            _log(method, error)
            raise
        except (Exception, SystemExit) as error:
            _log(method, error)
            raise

    def _fill(self, value: Any, values: list[Any], outer: Sequence[Any]) -> Any:
        """Put values in the place of references, and charge what they weigh."""
        filled = fill(value, values, outer)
        self.bytes -= weigh(filled, self.bytes)
        if self.bytes < 0:
            raise TooLarge(f"A program's references build more than {FRAME_BYTES_MAX:,} bytes.")
        return filled

    def _map(self, body: Body, target: Any, captured: list[Any]) -> Any:
        if target is None:
            return None
        if not isinstance(target, (list, tuple)):
            return self._body(body, target, captured)
        if len(target) > MAP_ITEMS_MAX:
            raise TooLarge(
                f"map() runs over at most {MAP_ITEMS_MAX:,} items; here are {len(target):,}."
            )
        return [self._body(body, element, captured) for element in target]

    def _body(self, body: Body, element: Any, captured: list[Any]) -> Any:
        self._count()
        outer = (element, *captured)
        values: list[Any] = []
        for op in body.ops:
            value = self._step(op, at(op.target, values, outer), values, outer)
            if type(value) is Postponed:
                raise InvalidArgument("This takes too long for map(); await it for each element.")
            values.append(value)
        return self._fill(body.result, values, outer)


def _log(method: Method[..., Any], error: BaseException) -> None:
    logger.warning("%s raised %s", method.func.__qualname__, type(error).__name__, exc_info=error)
