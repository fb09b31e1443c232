"""POST /rpc: Cap'n Web batches in text, and frames of the Python client, told apart by their label.

The body of a frame is msgpack of `[class, tenant, envelope]` and the reply is the envelope's answer;
both pass through unread, so a chain of any length stays one request and one actor call. Frames that
need each other's values come as a convoy (`links`). The official
Cap'n Web client labels its batches `text/plain`, or not at all.
"""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies
from raydo.gateway.capnweb import CapnWeb
from raydo.gateway.convoy import deliver_addressed
from raydo.gateway.headers import header
from raydo.pipelining.codec import unpack
from raydo.pipelining.errors import UnsupportedMedia
from raydo.pipelining.noun import Noun

MSGPACK: Final = "application/msgpack"
_TEXT: Final = frozenset({b"", b"text/plain"})


class Rpc:
    """Answer the route that carries frames."""

    def __init__(self, backend: Backend, bodies: Bodies, access: Access, capnweb: CapnWeb) -> None:
        self._access = access
        self._backend = backend
        self._bodies = bodies
        self._capnweb = capnweb

    async def rpc(self, scope: Scope, receive: Receive) -> Response:
        """Answer one batch, or deliver one envelope to one object."""
        kind = (header(scope, b"content-type") or b"").partition(b";")[0].strip().lower()
        if kind in _TEXT:
            return await self._capnweb.batch(scope, receive)
        if kind != MSGPACK.encode():
            raise UnsupportedMedia(
                f"/rpc takes Cap'n Web's batches, labelled text/plain, and the Python client's "
                f"frames, labelled {MSGPACK}."
            )
        caller = await self._access.caller(scope)

        async def deliver(target: Noun, envelope: bytes) -> bytes:
            stamped = caller.check_envelope(target, envelope)
            return await self._backend.deliver(target, stamped)

        async with self._bodies.read(scope, receive) as body:
            reply = await deliver_addressed(unpack(body), deliver)
        return Response(reply, media_type=MSGPACK)
