"""What can be known about a promise without sending it: its nearest ancestor that was sent.

A node that stands on a settled one is computed here by the same steps that the object would take;
so the call below it never runs a second time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from raydo.pipelining.promise import (
    GetPromise,
    LazyCall,
    Promise,
    ThenPromise,
    reach,
)
from raydo.pipelining.state import Pending, Settled
from raydo.pipelining.step import step_into

if TYPE_CHECKING:
    from raydo.pipelining.site import Site

Path = Sequence[Promise[Any]]


def anchor(promise: Promise[Any]) -> tuple[Promise[Any], Path]:
    """Find the node to ask for, and the local steps from it to `promise`, last step first."""
    path: list[Promise[Any]] = []
    node = promise
    local = 0  # how many of the steps must be taken here when nothing on the way was sent
    while node._state is None and isinstance(node, (GetPromise, ThenPromise)):
        if node._parent is None:
            break
        path.append(node)
        if isinstance(node, ThenPromise):
            local = len(path)
        node = node._parent
    if node._state is None:
        node = path[local] if local < len(path) else node
        del path[local:]
    return node, path


def derive(path: Path, state: Settled) -> Settled:
    """Take the local steps from a settled node; each step's outcome stays on its node."""
    for node in reversed(path):
        if type(node._state) is Settled:
            state = node._state
            continue
        if state.error is None:
            state = _step(node, state.value)
        if node._state is None:
            node._state = state
    return state


def _step(node: Promise[Any], value: Any) -> Settled:
    try:
        if isinstance(node, GetPromise):
            return Settled(step_into(value, node._key))
        assert isinstance(node, ThenPromise)
        return Settled(node._func(value))
    except Exception as error:  # noqa: BLE001  # goes to whoever awaits
        return Settled(error=error)


def prepare(promise: Promise[Any]) -> list[Promise[Any]]:
    """Take note that everything a promise needs is being sent.

    Returns what must settle before: other objects' promises, and `then`s, which run here.
    """
    site = promise._site
    first: list[Promise[Any]] = []
    for node in reach(promise):
        if isinstance(node, LazyCall):
            node._line = None  # no warning: it has been awaited
        elif isinstance(node, ThenPromise):
            first.append(node)
            continue
        if not is_mine(node, site):
            first.append(node)
    return first


def under_way(promise: Promise[Any]) -> Promise[Any] | None:
    """Find something that a promise needs and that an earlier frame is still fetching."""
    for node in reach(promise):
        sent = type(node._state) is Pending and node._state.frame
        if sent and node is not promise and is_mine(node, promise._site):
            return node
    return None


def is_mine(node: Promise[Any], site: Site) -> bool:
    """Tell whether a promise is of the same object."""
    return node._site is site or node._site.same_object(site)
