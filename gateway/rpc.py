"""POST /rpc: frames of the Python client, carried to their object as they are.

The body is msgpack of `[class, tenant, envelope]` and the reply is the envelope's answer; both
pass through unread, so a chain of any length stays one request and one actor call.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies
from raydo.gateway.headers import header
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import InvalidArgument, UnsupportedMedia
from raydo.pipelining.noun import Noun, noun

MSGPACK: Final = "application/msgpack"


class Rpc:
    """Answer the route that carries frames."""

    def __init__(self, backend: Backend, bodies: Bodies) -> None:
        self._backend = backend
        self._bodies = bodies

    async def rpc(self, scope: Scope, receive: Receive) -> Response:
        """Deliver one envelope to one object."""
        kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind != MSGPACK.encode():
            raise UnsupportedMedia(
                f"/rpc takes the Python client's frames, labelled {MSGPACK}; "
                "this version does not speak Cap'n Web yet."
            )
        async with self._bodies.read(scope, receive) as body:
            target, envelope = addressed(body)
            reply = await self._backend.check().deliver(target, envelope)
        return Response(reply, media_type=MSGPACK)


def addressed(body: bytes) -> tuple[Noun, bytes]:
    """Read whom an envelope is for.

    Raises:
        InvalidArgument: not `[class, tenant, envelope]`. InvalidTenant: no tenant id.
    """
    message: Any = unpack(body)
    match message:
        case [str(cls), str(tenant), bytes(envelope)]:
            return noun(cls, tenant), envelope
    raise InvalidArgument("The body of /rpc is msgpack of [class, tenant, envelope].")
