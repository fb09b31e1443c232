"""WebSocket /rpc: one Cap'n Web session as long as the socket lives, one message a text frame.

Messages are read in order, and not further while much is under way or unread by the client: its
socket then fills up, and it waits. Calls that nobody awaits linger a moment for company; an awaited
one takes all of them along. What a client had asked for is still done when it hangs up.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

from starlette.types import Receive, Scope, Send

from raydo.gateway.access import Entry
from raydo.gateway.capnweb import CapnWeb
from raydo.gateway.worker import Worker
from raydo.pipelining.capnweb.faults import presentable
from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.session import Session
from raydo.pipelining.capnweb.targets import Remote
from raydo.pipelining.errors import InvalidArgument, RaydoError, Unauthorized
from raydo.pipelining.limits import (
    CALL_TIMEOUT_S,
    CAPNWEB_LINES_AT_ONCE,
    CAPNWEB_PENDING_PAUSE,
    CAPNWEB_UNSENT_PAUSE,
    CAST_LINGER_S,
    KEY_VERDICT_S,
)

ENDED = 3000  # the code with which the official client and server end a session
REASON_BYTES_MAX = 123  # what a close frame has room for


class CapnWebSocket:
    """The ASGI application for Cap'n Web's sockets."""

    def __init__(self, capnweb: CapnWeb) -> None:
        self.open: set[Talk] = set()
        self._capnweb = capnweb

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()  # the request to connect
        await send({"type": "websocket.accept"})
        refused: RaydoError | None = None
        main: Remote | Local = _Refused()
        entry = Entry()
        try:
            entry = await self._capnweb.access.entry(scope)
            main = self._capnweb.main(scope, entry)
        except RaydoError as error:
            refused = error
        talk = Talk(self._capnweb, main, entry, receive, send)
        if refused is not None:
            talk.session.abort(refused)
        self.open.add(talk)
        try:
            await talk.run()
        finally:
            self.open.discard(talk)


class _Refused(Local):
    """The main object of a session that ends before it begins."""


class Talk:
    """One session over one socket."""

    def __init__(
        self,
        capnweb: CapnWeb,
        main: Remote | Local,
        entry: Entry,
        receive: Receive,
        send: Send,
    ) -> None:
        self._receive = receive
        self._send = send
        self._loop = asyncio.get_running_loop()
        self._looking = False
        self._linger: asyncio.TimerHandle | None = None
        self._sending_chars = 0
        self._to_send = asyncio.Event()
        self._eased = asyncio.Event()  # something was answered or sent, or the session has ended
        self._gone = False  # the client has hung up
        self.session = Session(main, wake=self._wake)
        self._entry = entry
        self._worker = Worker(self.session, capnweb.programs, self._wake, entry)

    async def run(self) -> None:
        """Talk until either side ends it, then finish what is under way."""
        self._wake()
        writer = asyncio.create_task(self._write())
        reader = asyncio.create_task(self._read())
        renewal = asyncio.create_task(self._renew())
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
            if reader.done() and not self._gone:
                if error := reader.exception():
                    self.session.abort(presentable(error, "A Cap'n Web socket"))
                await asyncio.wait({writer})  # it has the last word to say
        finally:
            self.session.close()
            for task in (writer, reader, renewal):
                task.cancel()
            await asyncio.gather(writer, reader, renewal, return_exceptions=True)
            await self._finish()

    async def _finish(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
        self._worker.cancel_awaits()
        with suppress(TimeoutError):
            async with asyncio.timeout(CALL_TIMEOUT_S):
                await self._worker.drain()

    async def _read(self) -> None:
        read = 0
        while self.session.broken is None:
            message = await self._receive()
            if message["type"] == "websocket.disconnect":
                self._gone = True
                self.session.close()
                return
            text = message.get("text")
            if text is None:
                self.session.abort(InvalidArgument("Cap'n Web is spoken in text messages."))
                return
            self.session.receive(text)
            self._wake()
            read += 1
            if read % CAPNWEB_LINES_AT_ONCE == 0:
                await asyncio.sleep(0)
            await self._ease()

    async def _renew(self) -> None:
        """End the session when a key ends that it has shown."""
        while self.session.broken is None:
            await asyncio.sleep(KEY_VERDICT_S)
            try:
                await self._entry.renew()
            except Unauthorized as error:
                self.session.abort(error)
            except RaydoError:
                pass  # nobody could be asked just now

    async def _ease(self) -> None:
        """Wait until there is less under way."""
        session = self.session
        while session.broken is None and (
            session.calls_under_way > CAPNWEB_PENDING_PAUSE
            or session.unsent_chars + self._sending_chars > CAPNWEB_UNSENT_PAUSE
        ):
            self._eased.clear()
            await self._eased.wait()

    def _wake(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """See what is to be done after a message, or after something has come back."""
        self._looking = False
        self._eased.set()
        self._to_send.set()
        session = self.session
        if session.urgent or session.calls_under_way > CAPNWEB_PENDING_PAUSE:
            self._loop.call_soon(self._start)  # what came in the same read still joins it
        elif session.waiting and self._linger is None:
            self._linger = self._loop.call_later(CAST_LINGER_S, self._start)

    def _start(self) -> None:
        if self._linger is not None:
            self._linger.cancel()
            self._linger = None
        self._worker.start()

    async def _write(self) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            broken = self.session.broken
            messages = self.session.messages()
            self._sending_chars = sum(map(len, messages))
            for text in messages:
                await self._send({"type": "websocket.send", "text": text})
                self._sending_chars -= len(text)
                self._eased.set()
            if broken is not None:
                if not self._gone:
                    await self._close(str(broken))
                return

    async def _close(self, reason: str) -> None:
        reason = reason.encode("utf-8", "replace")[:REASON_BYTES_MAX].decode("utf-8", "ignore")
        await self._send({"type": "websocket.close", "code": ENDED, "reason": reason})
