"""The thin shell around each hot route: one request in, one reply out, no framework between.

A handler is a coroutine from a request to a response that raises what goes wrong. Routes made of
it sit in FastAPI's router like any other, and skip its per-request dependency and validation
machinery, which would cost more than the work itself.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from raydo.gateway.replies import failure
from raydo.pipelining.errors import RaydoError

Handler = Callable[[Scope, Receive], Awaitable[Response]]

_log = logging.getLogger("raydo.gateway")


class Endpoint:
    """Run a handler as an ASGI application, answering whatever it raises."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self.__name__ = getattr(handler, "__name__", "endpoint")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._handler(scope, receive)
        except ClientDisconnect:
            return
        except RaydoError as error:
            response = failure(error)
        except Exception as error:  # noqa: BLE001 (the last line of defence, logged)
            _log.exception("%s %s failed", scope["method"], scope["path"])
            response = failure(internal(error))
        await response(scope, receive, send)


def internal(error: Exception) -> RaydoError:
    """Name a failure of our own without showing anything of its inside."""
    return RaydoError(
        "The server failed on this request; its log has the details.",
        detail={"type": type(error).__name__},
    )
