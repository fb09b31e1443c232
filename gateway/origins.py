"""Which web pages may send events: each tenant says so itself (`origins` in its settings), and a
browser key says so for itself.

Only routes that take events answer pages of other sites at all. A browser names the page's origin
in every such request, so it is compared with the tenant's list before anything is taken; a request
without one comes from no page. Nobody is let in by this: with keys a key is needed as always, and
without keys the door has refused all but this machine's own pages already.

A browser may ask first (a *preflight*, OPTIONS). The key is then known only if it stands in the
address, as in what `/raydo.js` sends; where it stands in a header or in the body the answer is yes,
since the request itself will be judged. Nothing here rests on cookies.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlsplit

from starlette.responses import Response
from starlette.types import Receive, Scope

from raydo.gateway.access import Access
from raydo.gateway.backend import Backend
from raydo.gateway.caller import Caller
from raydo.gateway.headers import header
from raydo.gateway.replies import failure
from raydo.gateway.tenancy import parameters
from raydo.pipelining.errors import Forbidden, RaydoError
from raydo.pipelining.limits import ORIGINS_KNOWN_MAX, ORIGINS_S, PREFLIGHT_S

_KEYS: Final = ("writeKey", "api_key", "token")
_EXPOSED: Final = "retry-after, x-ratelimit-limit, x-ratelimit-remaining, x-ratelimit-reset"
_METHODS: Final = "POST, OPTIONS"
_HEADERS_CHARS_MAX: Final = 2_000  # of the names that a browser asks for


class Origins:
    """Tell which pages may send, as the tenants' objects said, believed for ORIGINS_S."""

    def __init__(
        self, backend: Backend, access: Access, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._backend = backend
        self._access = access
        self._clock = clock
        self._known: OrderedDict[str, tuple[float, frozenset[str]]] = OrderedDict()

    async def check(self, scope: Scope, caller: Caller, tenant: str) -> None:
        """Refuse what a page sends that neither its key nor the tenant lists.

        Raises:
            Forbidden: it is such a page.
        """
        origin = _origin(scope)
        if origin is None or not self._access.keyed or _is_own(scope, origin):
            return
        if caller.origins is not None:  # a browser key: it was let in for this very origin
            return
        if origin not in await self._listed(tenant):
            raise Forbidden(
                f"The origin {origin[:200]!r} may not send events: "
                "it is not among `origins` in the tenant's settings."
            )

    def mark(self, scope: Scope, response: Response) -> Response:
        """Let the page read the reply; it was allowed to send."""
        origin = _origin(scope)
        if origin is not None:
            response.headers["access-control-allow-origin"] = origin
            response.headers["access-control-expose-headers"] = _EXPOSED
            response.headers["vary"] = "Origin"
        return response

    async def preflight(self, scope: Scope, _receive: Receive) -> Response:
        """Say whether a page may send what it is about to send."""
        query = parameters(scope)
        key = key_of(query)
        try:
            if key is not None or not self._access.keyed:
                caller, tenant = await self._access.admitted(scope, query, "write", key)
                await self.check(scope, caller, tenant)
        except RaydoError as error:
            return failure(error)
        response = Response(status_code=204)
        response.headers["access-control-allow-methods"] = _METHODS
        response.headers["access-control-max-age"] = str(PREFLIGHT_S)
        asked = (header(scope, b"access-control-request-headers") or b"").decode("latin-1")
        if asked and len(asked) <= _HEADERS_CHARS_MAX and asked.isascii() and asked.isprintable():
            response.headers["access-control-allow-headers"] = asked
        if key is not None or not self._access.keyed:
            # A page of the internet may ask for a server on a private network when it is listed.
            response.headers["access-control-allow-private-network"] = "true"
        return self.mark(scope, response)

    async def _listed(self, tenant: str) -> frozenset[str]:
        now = self._clock()
        known = self._known.get(tenant)
        if known is None or now >= known[0]:
            settings = await self._backend.analytics(tenant).settings()
            known = self._known[tenant] = (now + ORIGINS_S, frozenset(settings["origins"]))
            self._known.move_to_end(tenant)
            while len(self._known) > ORIGINS_KNOWN_MAX:
                self._known.popitem(last=False)
        return known[1]


def key_of(query: Mapping[str, str]) -> str | None:
    """Find a key in an address, as clients spell it there."""
    return next((query[name] for name in _KEYS if query.get(name)), None)


def _origin(scope: Scope) -> str | None:
    value = header(scope, b"origin")
    return None if value is None else value.decode("latin-1")


def _is_own(scope: Scope, origin: str) -> bool:
    """Tell whether the page is this server's own; behind a proxy only the name says so."""
    try:
        name = urlsplit(origin).netloc
    except ValueError:
        return False
    return bool(name) and name.encode("latin-1") == (header(scope, b"host") or b"").lower()
