"""What a program calls, and whether a key of some kind lets it.

A gateway passes programs on unread when their sender may do everything. Others it reads first: each
call must be of a declared method whose `needs` is among the kinds of the sender's key. What a call
returned cannot be called, and a key that may not read cannot step into the object either, so
nothing comes back to it but what those methods answer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from raydo.pipelining.errors import Forbidden
from raydo.pipelining.method import Method, Needs, exposed_by, methods_of
from raydo.pipelining.program import Call, Get, Map, Op, Program

Kinds = Collection[Needs]

READ: Final = "read"


def check_program(cls: type, program: Program, kinds: Kinds) -> None:
    """Refuse a program that calls what a key of these kinds may not.

    Raises:
        Forbidden: it does.
    """
    _check(program.ops, (cls,), kinds)


def check_method(method: Method[..., object] | None, name: str, kinds: Kinds) -> None:
    """Refuse one call.

    Raises:
        Forbidden: a key of these kinds may not make it.
    """
    if method is None or method.needs not in kinds:
        raise Forbidden(f"This key may not call {name!r:.80}; it is a {' and '.join(kinds)} key.")


def _check(ops: Sequence[Op], outer: Sequence[type | None], kinds: Kinds) -> None:
    """Check instructions; `outer` are the classes of what targets -1, -2, … mean, None for data."""
    found: list[type | None] = []
    for op in ops:
        target = None if type(op) not in (Call, Get, Map) else _class(op.target, found, outer)
        result: type | None = None
        if type(op) is Call:
            check_method(methods_of(target).get(op.name) if target else None, op.name, kinds)
        elif type(op) is Get and target is not None:
            if READ not in kinds:
                raise Forbidden("This key may not read.")
            result = exposed_by(target).get(str(op.key))
        elif type(op) is Map:
            captured = [_class(index, found, outer) for index in op.captures]
            _check(op.body.ops, (None, *captured), kinds)
        found.append(result)


def _class(index: int, found: Sequence[type | None], outer: Sequence[type | None]) -> type | None:
    return found[index] if index >= 0 else outer[-1 - index]
