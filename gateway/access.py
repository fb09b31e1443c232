"""Who is calling, whose data that opens, and what of it.

With keys every request carries one, which says its tenant; a tenant that is named besides must be
the same. Whether a tenant exists is never asked and so never told: a wrong key is refused in one
sentence, and a key for another tenant in another. Without keys everybody may do everything, since
nobody but this machine gets in (`door`), and the tenant is the one that is named.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from starlette.types import Scope

from raydo.actors.administration import Administration
from raydo.gateway.backend import Backend
from raydo.gateway.keys import SERVER_KIND, KeyText, key_in
from raydo.gateway.tenancy import DEFAULT_TENANT, named_tenant
from raydo.gateway.verdicts import Verdicts
from raydo.gateway.watch import Watch
from raydo.pipelining.errors import Forbidden, RaydoError, TooLarge, Unauthorized
from raydo.pipelining.frame import decode_envelope
from raydo.pipelining.limits import SESSION_KEYS_MAX
from raydo.pipelining.method import Needs
from raydo.pipelining.noun import Noun
from raydo.pipelining.program import Program
from raydo.pipelining.reach import check_program
from raydo.pipelining.stub import make_stub, registered


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in: `tenant` is None for whoever may call every tenant's objects."""

    tenant: str | None = None
    kind: str = SERVER_KIND

    @property
    def kinds(self) -> tuple[Needs, ...] | None:
        """The kinds of methods that may be called; None for all."""
        match self.kind:
            case "write":
                return ("write",)
            case "read":
                return ("read",)
        return None

    def check(self, needs: Needs) -> None:
        """Refuse what the key is not for.

        Raises:
            Forbidden: it is for something else.
        """
        if self.kinds is not None and needs not in self.kinds:
            raise Forbidden(
                f"This needs a key of the kind {needs}; yours is of the kind {self.kind}."
            )

    def enter(self, named: str | None) -> str:
        """Say whose data is meant, given the tenant that the request names.

        Raises:
            Forbidden: the key is for another tenant.
        """
        if self.tenant is None:
            return DEFAULT_TENANT if named is None else named
        if named is not None and named != self.tenant:
            raise Forbidden("This key is for another tenant.")
        return self.tenant

    def check_object(self, target: Noun) -> None:
        """Refuse an object of another tenant, and the server's own.

        Raises:
            Forbidden: it is one.
        """
        self.enter(target.id)
        if self.tenant is not None and target.cls == Administration.__name__:
            raise Forbidden("Only the server's administrator may call this.")

    def check_envelope(self, target: Noun, envelope: bytes) -> None:
        """Refuse an envelope with a call that the key is not for.

        Raises:
            Forbidden: it has one. UnknownObject: nobody knows what its calls need.
            InvalidArgument, TooLarge: it is no envelope.
        """
        self.check_object(target)
        if self.kinds is not None:
            for each in decode_envelope(envelope):
                self.check_program(target, each.program)

    def check_program(self, target: Noun, program: bytes) -> None:
        """Do the same for a program by itself."""
        self.check_object(target)
        if self.kinds is not None:
            check_program(registered(target.cls), Program.decode(program), self.kinds)


ANYBODY: Final = Caller()


class Entry:
    """What one session may do: all that the keys open which it has shown."""

    def __init__(self, access: Access | None = None, *callers: Caller) -> None:
        self._access = access
        self._callers = list(callers)
        self._keys: dict[str, None] = {}

    @property
    def caller(self) -> Caller | None:
        """Who the session began as."""
        return self._callers[0] if self._callers else None

    async def show(self, text: str) -> Caller:
        """Take one more key.

        Raises:
            Unauthorized: it is not good. TooLarge: it is one too many.
        """
        assert self._access is not None
        caller = await self._access.authenticate(text)
        if len(self._keys) >= SESSION_KEYS_MAX and text not in self._keys:
            raise TooLarge(f"A session shows at most {SESSION_KEYS_MAX} keys.")
        self._keys[text] = None
        if caller not in self._callers:
            self._callers.append(caller)
        return caller

    async def renew(self) -> None:
        """Make sure that every key shown is still good: a session may be open for days.

        Raises:
            Unauthorized: one is not.
        """
        for text in list(self._keys):
            assert self._access is not None
            await self._access.authenticate(text)

    def check_program(self, target: Noun, program: bytes) -> None:
        """Refuse a program that none of the keys allows.

        Raises:
            Unauthorized, Forbidden: none does.
        """
        refusal: RaydoError = Unauthorized("Call authenticate(key) first.")
        for caller in self._callers:
            try:
                caller.check_program(target, program)
            except Forbidden as error:
                refusal = error
            else:
                return
        raise refusal


class Access:
    """Let callers in."""

    def __init__(self, backend: Backend, *, keyed: bool = False, domain: str | None = None) -> None:
        self.keyed = keyed
        self.domain = domain
        self._backend = backend
        self.verdicts = Verdicts(self._find)

    async def caller(self, scope: Scope, given: str | None = None) -> Caller:
        """Say who sent a request; `given` is a key that stands elsewhere than in its headers.

        Raises:
            Unauthorized: there is no key, or it is not good.
        """
        if not self.keyed:
            return ANYBODY
        text = key_in(scope) or given
        if text is None:
            raise Unauthorized("This server asks for a key: send `Authorization: Bearer KEY`.")
        return await self.authenticate(text)

    async def authenticate(self, text: str) -> Caller:
        """Say who has a key.

        Raises:
            Unauthorized: it is not good.
        """
        return _caller(await self.verdicts.check(text))

    async def tenant(
        self, scope: Scope, query: dict[str, str], needs: Needs, given: str | None = None
    ) -> str:
        """Say whose data a request is for, and make sure that it may have it.

        Raises:
            Unauthorized, Forbidden: it may not. InvalidTenant: the tenant is named badly.
        """
        caller = await self.caller(scope, given)
        caller.check(needs)
        return caller.enter(named_tenant(scope, query, self.domain))

    async def entry(self, scope: Scope) -> Entry:
        """Say what a session may do at its beginning; it may show keys later.

        Raises:
            Unauthorized: its headers hold a key that is not good.
        """
        if not self.keyed:
            return Entry(self, ANYBODY)
        entry = Entry(self)
        text = key_in(scope)
        if text is not None:
            await entry.show(text)
        return entry

    def has_key(self, scope: Scope) -> bool:
        """Tell whether a request need not be read further to know who sent it."""
        return not self.keyed or key_in(scope) is not None

    def watch(self, caller: Caller, tenant: str) -> Watch:
        """Give what lets somebody follow a tenant."""
        allowed = caller.kinds is None or "read" in caller.kinds
        return Watch(self._backend, tenant, allowed=allowed)

    async def _find(self, key: KeyText) -> Any:
        return await self.keeper(key.keeper).find(key.hashed)

    def keeper(self, target: Noun) -> Any:
        """Give the stub of the keys that an object keeps."""
        stub: Any = make_stub(target.cls, target.id, self._backend.check())
        return stub.keys


@lru_cache(maxsize=1024)
def _caller(key: KeyText) -> Caller:
    return Caller(key.tenant, key.kind)
