"""Durable Objects for Python, on Ray, and the product-analytics backend built with them.

    import raydo
    from raydo import Analytics

    async with raydo.connect():
        acme = Analytics("acme")
        acme.track("PageView", {"userId": "alice", "page": "/pricing"})
        dau = await acme.get_dau(7)[0]["dau"]

Everything here is loaded when it is first used (PEP 562), so that a client never pays for Ray.
Imports are absolute: pytest executes this file once more under another name.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from raydo.actors.analytics import Analytics
    from raydo.actors.handlers import Firing
    from raydo.actors.migrations import migration
    from raydo.actors.object import DurableObject
    from raydo.actors.runtime import connect
    from raydo.pipelining.connection import Connection, flush
    from raydo.pipelining.errors import (
        CallerError,
        ConnectionLost,
        DataInUse,
        Forbidden,
        InvalidArgument,
        InvalidEvent,
        InvalidTenant,
        NotConnected,
        ObjectFailed,
        OutboxFull,
        Overloaded,
        PromiseMisused,
        RaydoError,
        TimedOut,
        Unauthorized,
        Unavailable,
        UnknownMethod,
    )
    from raydo.pipelining.later import gather, wait
    from raydo.pipelining.method import Exposed, call, cast
    from raydo.pipelining.promise import Promise
    from raydo.pipelining.state import NeverAwaited
    from raydo.pipelining.stub import Stub
    from raydo.pipelining.subscribe import subscribe

__all__ = [
    "Analytics",
    "CallerError",
    "Connection",
    "ConnectionLost",
    "DataInUse",
    "DurableObject",
    "Exposed",
    "Firing",
    "Forbidden",
    "InvalidArgument",
    "InvalidEvent",
    "InvalidTenant",
    "NeverAwaited",
    "NotConnected",
    "ObjectFailed",
    "OutboxFull",
    "Overloaded",
    "Promise",
    "PromiseMisused",
    "RaydoError",
    "Stub",
    "TimedOut",
    "Unauthorized",
    "Unavailable",
    "UnknownMethod",
    "call",
    "cast",
    "connect",
    "flush",
    "gather",
    "migration",
    "subscribe",
    "wait",
]

_MODULES: Final = {
    "Analytics": "raydo.actors.analytics",
    "Connection": "raydo.pipelining.connection",
    "DurableObject": "raydo.actors.object",
    "Exposed": "raydo.pipelining.method",
    "Firing": "raydo.actors.handlers",
    "NeverAwaited": "raydo.pipelining.state",
    "Promise": "raydo.pipelining.promise",
    "Stub": "raydo.pipelining.stub",
    "call": "raydo.pipelining.method",
    "cast": "raydo.pipelining.method",
    "connect": "raydo.actors.runtime",
    "flush": "raydo.pipelining.connection",
    "gather": "raydo.pipelining.later",
    "migration": "raydo.actors.migrations",
    "subscribe": "raydo.pipelining.subscribe",
    "wait": "raydo.pipelining.later",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"raydo has no {name!r}")
    value = getattr(import_module(_MODULES.get(name, "raydo.pipelining.errors")), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
