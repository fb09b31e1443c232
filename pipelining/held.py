"""Which intermediate values of a program must come back, so that no call ever runs twice.

`p = acme.checkout()` and `await p["total"]` need only the total. But the caller still holds `p` and
may go on to `p["id"]`; the call must not run again for that, so its value comes along. Whether a
node is held is asked of CPython's reference counts, less those of the program's own structure; a
wrong answer in a debugger costs a few bytes.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any, Final

from raydo.pipelining.assemble import Assembler
from raydo.pipelining.promise import CallPromise, GetPromise, MapPromise, Promise
from raydo.pipelining.state import Pending, Settled


def _references(nodes: list[Any], index: int) -> int:
    return sys.getrefcount(nodes[index])


_OWN: Final = _references([type("_Probe", (), {})()], 0)  # of an object that only the list holds


def outputs_held(program: Assembler, outputs: set[int]) -> list[int]:
    """List the instructions, beyond `outputs`, whose values somebody may still ask for."""
    held = _held(program)
    found: list[int] = []
    covered: list[bool] = []  # whether the node can be computed from values that come back
    computed: list[bool] = []  # whether a call stands below it; else asking again is harmless
    for index, node in enumerate(program.nodes):
        parent = program.parents[index]
        below = parent >= 0
        computed.append(isinstance(node, (CallPromise, MapPromise)) or (below and computed[parent]))
        known = index in outputs or _settled(node)
        known |= isinstance(node, GetPromise) and below and covered[parent]
        if not known and computed[index] and (held[index] or _wanted(node)):
            found.append(index)
            known = True
        covered.append(known)
    return found


def _held(program: Assembler) -> list[bool]:
    nodes, uses = program.nodes, Counter(program.uses)
    return [_references(nodes, index) > _OWN + uses[index] for index in range(len(nodes))]


def _wanted(node: Promise[Any] | None) -> bool:
    return node is not None and type(node._state) is Pending


def _settled(node: Promise[Any] | None) -> bool:
    return node is not None and type(node._state) is Settled
