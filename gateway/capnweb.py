"""POST /rpc in text: a batch of the official Cap'n Web client, and the objects that it finds.

    api.Analytics("acme").getDAU(7)[0].dau          the root object, on /rpc
    acme.getDAU(7)[0].dau                           the tenant's own, on /rpc?tenant=acme

All lines are read before anything is done, so a malformed batch has no effect, and what it asks of
one object travels there as one program. The reply leaves when every call of the batch is done, those
that nobody awaits as well: what a 200 answers is on disk, or was refused by the object itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.access import Access, Entry
from raydo.gateway.backend import Backend
from raydo.gateway.body import Bodies
from raydo.gateway.caller import Caller
from raydo.gateway.endpoint import internal
from raydo.gateway.programs import Programs
from raydo.gateway.tenancy import named_tenant, parameters
from raydo.gateway.worker import Worker
from raydo.pipelining.capnweb.local import Local
from raydo.pipelining.capnweb.session import Session
from raydo.pipelining.capnweb.targets import Remote, Target, remote
from raydo.pipelining.errors import (
    Forbidden,
    InvalidArgument,
    RaydoError,
    TimedOut,
    TooLarge,
    Unauthorized,
    UnknownObject,
)
from raydo.pipelining.limits import (
    BODY_INLINE_BYTES_MAX,
    CAPNWEB_BATCH_S_MAX,
    CAPNWEB_LINES_AT_ONCE,
    CAPNWEB_LINES_MAX,
)
from raydo.pipelining.method import call
from raydo.pipelining.noun import Noun, noun
from raydo.pipelining.stub import registered

ANALYTICS: Final = "Analytics"
TEXT: Final = "text/plain"


class Root(Local):
    """The main object of a session that names no tenant: it opens objects by class and tenant."""

    def __init__(self, access: Access, entry: Entry) -> None:
        self._access = access
        self._entry = entry

    def find(self, name: str) -> Callable[..., Any] | None:
        return super().find(name) or self._opener(name)

    def fixed(self, name: str, args: list[Any]) -> Target | None:
        opener = self._opener(name)
        return opener(*args) if opener is not None and len(args) == 1 else None

    def names(self) -> set[str]:
        return super().names() | {ANALYTICS}

    @call
    def authenticate(self, key: str = "") -> Awaitable[Remote | Local]:
        """Open the object that a key is for: its tenant's, or for the server's key this one.

        Raises:
            Forbidden: this server has no keys. Unauthorized: the key is not good.
        """
        if not self._access.keyed:
            raise Forbidden(
                "This server runs without keys, so there is nothing to authenticate: "
                "call Analytics(tenant) at once."
            )
        return self._authenticate(str(key))

    async def _authenticate(self, key: str) -> Remote | Local:
        caller = await self._entry.show(key)
        if caller.tenant is None:
            return Root(self._access, Entry(self._access, caller))
        return opened(self._access, caller, ANALYTICS, caller.tenant)

    def _opener(self, name: str) -> Callable[[Any], Remote] | None:
        try:
            registered(name)
        except UnknownObject:
            return None

        def opener(tenant: Any = None) -> Remote:
            caller = self._entry.caller
            if caller is None:
                raise Unauthorized("This server asks for a key: call authenticate(key) first.")
            return opened(self._access, caller, name, tenant)

        return opener


def opened(access: Access, caller: Caller, cls: str, tenant: Any) -> Remote:
    """Name an object for somebody.

    Raises:
        Forbidden: it is not for them. InvalidTenant: it is named badly.
    """
    target = noun(cls, tenant)
    caller.check_object(target)
    extra = access.watch(caller, target.id) if cls == ANALYTICS else None
    return remote(target, extra, caller.kinds)


class CapnWeb:
    """Open sessions, and answer batches."""

    def __init__(self, backend: Backend, bodies: Bodies, access: Access) -> None:
        self.programs = Programs(self._deliver)
        self._backend = backend
        self._bodies = bodies
        self.access = access

    async def _deliver(self, target: Noun, envelope: bytes) -> bytes:
        return await self._backend.deliver(target, envelope)

    def main(self, scope: Scope, entry: Entry) -> Remote | Local:
        """Give what a session's client finds first: the named tenant's object, or the root.

        A session without a key finds the root, where it can show one.

        Raises:
            InvalidTenant, InvalidArgument: the tenant is named badly, or twice.
            Forbidden: the key is for another tenant.
        """
        tenant = named_tenant(scope, parameters(scope), self.access.domain)
        if tenant is None or entry.caller is None:
            return Root(self.access, entry)
        return opened(self.access, entry.caller, ANALYTICS, tenant)

    async def batch(self, scope: Scope, receive: Receive) -> Response:
        """Answer one batch."""
        entry = await self.access.entry(scope)
        session = Session(self.main(scope, entry), batch=True)
        try:
            async with self._bodies.read(scope, receive) as body:
                await _feed(session, body)
                if session.broken is None:
                    await self._work(session, entry)
            if session.broken is not None:
                raise _refusal(session.broken)
            return Response("\n".join(session.messages()), media_type=TEXT)
        finally:
            session.close()

    async def _work(self, session: Session, entry: Entry) -> None:
        worker = Worker(session, self.programs, lambda: None, entry)
        try:
            async with asyncio.timeout(CAPNWEB_BATCH_S_MAX):
                await worker.drain()
        except TimeoutError:
            worker.cancel_awaits()
            session.close(TimedOut(f"The batch took over {CAPNWEB_BATCH_S_MAX:g} s."))


async def _feed(session: Session, body: bytes) -> None:
    """Hand the lines of a batch to its session, letting others have their turn in between."""
    lines = _lines(body)
    large = len(body) > BODY_INLINE_BYTES_MAX
    for start in range(0, len(lines), CAPNWEB_LINES_AT_ONCE):
        some = lines[start : start + CAPNWEB_LINES_AT_ONCE]
        if large:
            await asyncio.to_thread(_receive, session, some)
        else:
            _receive(session, some)
            await asyncio.sleep(0)
    session.end()


def _receive(session: Session, lines: Sequence[str]) -> None:
    for line in lines:
        session.receive(line)


def _lines(body: bytes) -> list[str]:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise InvalidArgument(f"The body is not UTF-8 (byte {error.start}).") from None
    if text.count("\n") > CAPNWEB_LINES_MAX:
        raise TooLarge(f"A batch has at most {CAPNWEB_LINES_MAX:,} messages.")
    return [line for line in text.split("\n") if line and not line.isspace()]


def _refusal(error: Exception) -> RaydoError:
    return error if isinstance(error, RaydoError) else internal(error)
