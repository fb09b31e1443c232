"""Run one program against one object: a straight line, no suspension, no surprises.

Reach is the allow-list of `methods_of` and `exposed_by`; data that calls return can be stepped into
but not called. An instruction that fails hands its error to every instruction that depends on it
and to nothing else. What a program can make the receiver do is bounded: instructions by
`PROGRAM_STEPS_MAX`, and the values that its references and maps build by `FRAME_BYTES_MAX`, since a
few instructions that double a list would otherwise fill the memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeVar

from raydo.pipelining.codec import Ref, pack
from raydo.pipelining.errors import (
    ActivationBroken,
    InvalidArgument,
    RaydoError,
    TooLarge,
    TurnTooLong,
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
    pack_error,
)
from raydo.pipelining.limits import FRAME_BYTES_MAX, MAP_ITEMS_MAX, PROGRAM_STEPS_MAX
from raydo.pipelining.method import Method, methods_of
from raydo.pipelining.step import is_remote, peek, step_into, unknown_method

logger = logging.getLogger("raydo")

T = TypeVar("T")

# These say that the whole activation is unusable; no single instruction can own them.
_FATAL: Final = (ActivationBroken, TurnTooLong)


class Around(Protocol):
    """Run one call inside whatever must surround it, such as its transaction."""

    def __call__(self, call: Callable[[], T], /) -> T: ...


class _Failed:
    """Stand in for the value of an instruction that failed, or that depends on one."""

    __slots__ = ("error",)

    def __init__(self, error: BaseException) -> None:
        self.error = error


def evaluate(program: Program, root: object, around: Around) -> Reply:
    """Run every instruction in order and collect the outputs.

    Raises:
        ActivationBroken, TurnTooLong: from `around`; the caller's own faults never raise.
    """
    values, own = _Run(root, around).ops(program.ops)
    results, delivered = _results(program.outputs, values)
    failures = [
        Failure(index, pack_error(error)[0])
        for index, error in own
        if id(error) not in delivered  # else an output has told it already
    ]
    return Reply(results, tuple(failures))


def _results(outputs: Sequence[int], values: list[Any]) -> tuple[tuple[Outcome, ...], set[int]]:
    results: list[Outcome] = []
    delivered: set[int] = set()
    room = FRAME_BYTES_MAX
    for index in outputs:
        value = values[index]
        if type(value) is not _Failed:
            try:
                packed = pack(value)
                room -= len(packed)
                if room < 0:
                    raise TooLarge(f"The results are over {FRAME_BYTES_MAX:,} bytes together.")
                results.append(Outcome(False, value, packed))
                continue
            except RaydoError as error:
                value = _Failed(error)
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

    def ops(self, ops: Sequence[Op]) -> tuple[list[Any], list[tuple[int, BaseException]]]:
        """Run a program's instructions; give all values, and the errors that began here."""
        values: list[Any] = []
        own: list[tuple[int, BaseException]] = []
        root = self.root
        step = self._step
        for index, op in enumerate(ops):
            target = root if op.target == ROOT else values[op.target]
            if type(target) is _Failed:
                values.append(target)
                continue
            try:
                values.append(step(op, target, values, (root,)))
            except _Poisoned as poisoned:
                values.append(poisoned.failed)
            except _FATAL:
                raise
            except (Exception, SystemExit) as error:  # noqa: BLE001  # the object's code may raise it
                values.append(_Failed(error))
                own.append((index, error))
        return values, own

    def _step(self, op: Op, target: Any, values: list[Any], outer: Sequence[Any]) -> Any:
        self._count()
        if type(op) is Call:
            return self._call(op, target, values, outer)
        if type(op) is Get:
            return peek(target, op.key) if op.lenient else step_into(target, op.key)
        if type(op) is Map:
            captured = [_at(index, values, outer) for index in op.captures]
            return self._map(op.body, target, captured)
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
        filled = _fill(value, values, outer)
        self.bytes -= _weigh(filled, self.bytes)
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
            values.append(self._step(op, _at(op.target, values, outer), values, outer))
        return self._fill(body.result, values, outer)


class _Poisoned(Exception):
    """Leave an instruction whose argument has failed."""

    def __init__(self, failed: _Failed) -> None:
        self.failed = failed


def _at(index: int, values: list[Any], outer: Sequence[Any]) -> Any:
    value = values[index] if index >= 0 else outer[-1 - index]
    if type(value) is _Failed:
        raise _Poisoned(value)
    return value


def _fill(value: Any, values: list[Any], outer: Sequence[Any]) -> Any:
    if type(value) is Ref:
        found = _at(value.index, values, outer)
        if is_remote(found):
            raise InvalidArgument(f"A {type(found).__name__} itself cannot travel; name its data.")
        return found
    if type(value) is list:
        return [_fill(item, values, outer) for item in value]
    if type(value) is dict:
        return {key: _fill(item, values, outer) for key, item in value.items()}
    return value


def _weigh(value: Any, most: int) -> int:
    """Estimate the size of a value as it would travel, giving up above `most`."""
    total, level = 0, [value]
    while level and total <= most:
        item = level.pop()
        total += 1
        if isinstance(item, (str, bytes)):
            total += len(item)
        elif isinstance(item, dict):
            total += sum(len(key) if isinstance(key, str) else 1 for key in item)
            level.extend(item.values())
        elif isinstance(item, (list, tuple)):
            level.extend(item)
    return total


def _log(method: Method[..., Any], error: BaseException) -> None:
    logger.warning("%s raised %s", method.func.__qualname__, type(error).__name__, exc_info=error)
