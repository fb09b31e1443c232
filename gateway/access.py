"""Who is calling, whose data that opens, and what of it.

With keys every request carries one, which says its tenant; a tenant that is named besides must be
the same. Whether a tenant exists is never asked and so never told: a wrong key is refused in one
sentence, and a key for another tenant in another. Without keys everybody may do everything, since
nobody but this machine gets in (`door`), and the tenant is the one that is named.
"""

from __future__ import annotations

from typing import Any

from starlette.types import Scope

from raydo.gateway.backend import Backend
from raydo.gateway.caller import ANYBODY, Caller
from raydo.gateway.headers import header
from raydo.gateway.keys import KeyText, key_in
from raydo.gateway.tenancy import named_tenant
from raydo.gateway.tokens import Tokens, is_token
from raydo.gateway.verdicts import Verdicts
from raydo.gateway.watch import Watch
from raydo.pipelining.errors import Forbidden, RaydoError, TooLarge, Unauthorized
from raydo.pipelining.limits import SESSION_KEYS_MAX
from raydo.pipelining.method import Needs
from raydo.pipelining.noun import Noun
from raydo.pipelining.stub import make_stub


class Entry:
    """What one session may do: all that the keys open which it has shown."""

    def __init__(
        self, access: Access | None = None, *callers: Caller, origin: bytes | None = None
    ) -> None:
        self._access = access
        self._origin = origin  # of the page that it is of
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
        caller = await self._access.authenticate(text, self._origin)
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
            await self._access.authenticate(text, self._origin)

    def check_program(self, target: Noun, program: bytes) -> Caller:
        """Refuse a program that none of the keys allows; say whose key does.

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
                return caller
        raise refusal


class Access:
    """Let callers in."""

    def __init__(self, backend: Backend, *, keyed: bool = False, domain: str | None = None) -> None:
        self.keyed = keyed
        self.domain = domain
        self._backend = backend
        self.verdicts = Verdicts(self._find)
        self.tokens = Tokens(self._secret)

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
        return await self.authenticate(text, header(scope, b"origin"))

    async def authenticate(self, text: str, origin: bytes | None = None) -> Caller:
        """Say who has a key, or a token; `origin` is that of the page which sends it.

        Raises:
            Unauthorized: it is not good. Forbidden: it is not for that page.
        """
        known = self.tokens if is_token(text) else self.verdicts
        caller = await known.check(text)
        caller.check_origin(origin)
        return caller

    async def tenant(
        self, scope: Scope, query: dict[str, str], needs: Needs, given: str | None = None
    ) -> str:
        """Say whose data a request is for, and make sure that it may have it.

        Raises:
            Unauthorized, Forbidden: it may not. InvalidTenant: the tenant is named badly.
        """
        return (await self.admitted(scope, query, needs, given))[1]

    async def admitted(
        self, scope: Scope, query: dict[str, str], needs: Needs, given: str | None = None
    ) -> tuple[Caller, str]:
        """Say the same, and who sent it."""
        caller = await self.caller(scope, given)
        caller.check(needs)
        return caller, caller.enter(named_tenant(scope, query, self.domain))

    async def entry(self, scope: Scope) -> Entry:
        """Say what a session may do at its beginning; it may show keys later.

        Raises:
            Unauthorized: its headers hold a key that is not good.
        """
        if not self.keyed:
            return Entry(self, ANYBODY)
        entry = Entry(self, origin=header(scope, b"origin"))
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

    async def _secret(self) -> bytes:
        return bytes(await self._backend.administration().token_secret())

    def keeper(self, target: Noun, by: str = "") -> Any:
        """Give the stub of the keys that an object keeps, for whoever looks at them."""
        stub: Any = make_stub(target.cls, target.id, self._backend.acting(by))
        return stub.keys
