"""The gateway's Cap'n Web routes as an application of their own, with real objects behind it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from support.receiver import Receiver

from raydo.gateway.access import Access, Entry
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies
from raydo.gateway.capnweb import CapnWeb
from raydo.gateway.capnweb_socket import CapnWebSocket
from raydo.gateway.endpoint import Endpoint
from raydo.gateway.replies import answer
from raydo.gateway.rpc import Rpc
from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.targets import Remote
from raydo.pipelining.noun import Noun


class Offering(CapnWeb):
    """Offer objects of the tests' own, at paths of their own."""

    def __init__(self, backend: Backend, offers: dict[str, Callable[[], Local]]) -> None:
        super().__init__(backend, Bodies(), Access(backend))
        self.offers = offers

    def main(self, scope: Scope, entry: Entry) -> Remote | Local:
        offer = self.offers.get(scope["path"])
        return super().main(scope, entry) if offer is None else offer()


class InMemory(Offering):
    """Offer them with durable objects that live in memory."""

    def __init__(self, backend: Backend, offers: dict[str, Callable[[], Local]]) -> None:
        super().__init__(backend, offers)
        self.receiver = Receiver()

    async def _deliver(self, target: Noun, envelope: bytes) -> bytes:
        return await self.receiver.deliver(target, envelope)


class RpcApp:
    """POST and WebSocket /rpc: text is Cap'n Web, msgpack are frames."""

    def __init__(
        self,
        backend: Backend,
        offers: dict[str, Callable[[], Local]],
        offering: type[Offering] = Offering,
    ) -> None:
        self.capnweb = offering(backend, offers)
        self.requests = 0
        self.socket = CapnWebSocket(self.capnweb)
        self._rpc = Endpoint(Rpc(backend, Bodies(), Access(backend), self.capnweb).rpc)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self.socket(scope, receive, send)
            return
        assert scope["type"] == "http"
        if scope["method"] == "GET":  # the tests ask what the open sessions hold
            stats = [talk.session.stats() for talk in self.socket.open]
            await answer({"requests": self.requests, "sessions": stats})(scope, receive, send)
            return
        self.requests += 1
        await self._rpc(scope, receive, send)


class Socket:
    """One WebSocket to an application of this process, from the client's end."""

    def __init__(self, app: ASGIApp, path: str = "/rpc", query: str = "") -> None:
        self.scope: Scope = {
            "type": "websocket",
            "path": path,
            "query_string": query.encode(),
            "headers": [(b"host", b"localhost")],
        }
        self.sent: asyncio.Queue[Message] = asyncio.Queue()
        self.said: asyncio.Queue[Message] = asyncio.Queue()
        self.reading = asyncio.Event()  # cleared, the client does not read
        self.reading.set()
        self.broken: OSError | None = None  # raised, instead of taking what is sent
        self.said.put_nowait({"type": "websocket.connect"})
        self.task = asyncio.ensure_future(app(self.scope, self.said.get, self._take))

    async def _take(self, message: Message) -> None:
        await self.reading.wait()
        if self.broken is not None:
            raise self.broken
        self.sent.put_nowait(message)

    def say(self, *messages: Any) -> None:
        for message in messages:
            text = message if isinstance(message, str) else json.dumps(message)
            self.said.put_nowait({"type": "websocket.receive", "text": text})

    async def hear(self) -> Any:
        """Wait for the next message; one that is no text comes as ASGI has it."""
        async with asyncio.timeout(10):
            message = await self.sent.get()
        return json.loads(message["text"]) if "text" in message else message

    async def accepted(self) -> Socket:
        assert (await self.hear())["type"] == "websocket.accept"
        return self

    async def hang_up(self) -> None:
        self.said.put_nowait({"type": "websocket.disconnect", "code": 1001})
        async with asyncio.timeout(10):
            await self.task
