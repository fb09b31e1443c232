"""A tenant's tokens: signed by the server, read-only, good for a short while, kept nowhere.

    raydo token --tenant acme              a JWT (HS256) whose audience is acme

They are for a customer's own dashboard in somebody's product: its back end asks for one, and the
page shows it as a key. The secret is a fact of `Administration`, so in the data folder; every
gateway of the folder asks for it once in `KEY_VERDICT_S`. One token cannot be revoked, and need not be:
it ends soon. `DELETE /admin/tokens` changes the secret, and with it ends all of them.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from raydo.gateway.caller import TOKEN_KIND, Caller
from raydo.gateway.keys import unknown
from raydo.pipelining.errors import InvalidArgument, InvalidTenant, RaydoError, Unauthorized
from raydo.pipelining.limits import (
    KEY_REFUSAL_S,
    KEY_VERDICT_S,
    TOKEN_CHARS_MAX,
    TOKEN_S,
    TOKEN_S_MAX,
)
from raydo.pipelining.noun import noun

ISSUER: Final = "raydo"
_ALGORITHM: Final = "HS256"
_CLAIMS: Final = ("aud", "exp", "iat", "iss", "jti")
_ID_BYTES: Final = 6


def is_token(text: str) -> bool:
    """Tell a token from a key by its look."""
    return text.count(".") == 2 and not text.startswith("raydo_")


class Tokens:
    """Make tokens, and tell good ones from others; lives in one event loop."""

    def __init__(
        self,
        secret: Callable[[], Awaitable[bytes]],
        *,
        clock: Callable[[], float] = time.monotonic,
        now_s: Callable[[], float] = time.time,
        sleep: Callable[[float], Awaitable[Any]] = asyncio.sleep,
    ) -> None:
        self._ask = secret
        self._clock = clock
        self._now_s = now_s
        self._sleep = sleep
        self._known: tuple[bytes, float] | None = None  # and until when it is believed

    async def make(self, tenant: str, expires_in_s: float | None) -> dict[str, Any]:
        """Make a token: `{"token", "id", "tenant", "expires_ms"}`.

        Raises:
            InvalidArgument: it would be good for too long. InvalidTenant: no tenant id.
        """
        import jwt

        lasts_s = TOKEN_S if expires_in_s is None else expires_in_s
        if not 1 <= lasts_s <= TOKEN_S_MAX:
            raise InvalidArgument(f"A token is good for 1 to {TOKEN_S_MAX:,.0f} seconds.")
        now = int(self._now_s())
        ends, id_, owner = now + int(lasts_s), secrets.token_hex(_ID_BYTES), noun("", tenant).id
        claims = {"iss": ISSUER, "aud": owner, "iat": now, "exp": ends, "jti": id_}
        token = jwt.encode(claims, await self._secret(), _ALGORITHM)
        return {"token": token, "id": id_, "tenant": owner, "expires_ms": ends * 1_000}

    async def check(self, text: str) -> Caller:
        """Make sure that a token is good, and say what it opens.

        Raises:
            Unauthorized: it is not. RaydoError: the secret cannot be had now.
        """
        came = self._clock()
        try:
            return self._read(text, await self._secret())
        except Unauthorized:
            await self._sleep(max(0.0, came + KEY_REFUSAL_S - self._clock()))
            raise

    def forget(self) -> None:
        """Ask for the secret again: it was changed."""
        self._known = None

    def _read(self, text: str, secret: bytes) -> Caller:
        import jwt

        try:
            if len(text) > TOKEN_CHARS_MAX:
                raise unknown()
            options: Any = {"require": list(_CLAIMS), "verify_aud": False}
            claims = jwt.decode(text, secret, [_ALGORITHM], options=options, issuer=ISSUER)
            tenant = noun("", claims["aud"]).id
            lasts_s = int(claims["exp"]) - int(claims["iat"])
        except (jwt.InvalidTokenError, InvalidTenant, TypeError, ValueError):
            raise unknown() from None
        if lasts_s > TOKEN_S_MAX or claims["exp"] <= self._now_s():
            raise unknown()
        return Caller(tenant, TOKEN_KIND, str(claims["jti"]))

    async def _secret(self) -> bytes:
        known = self._known
        if known is None or self._clock() >= known[1]:
            try:
                known = self._known = (await self._ask(), self._clock() + KEY_VERDICT_S)
            except RaydoError:
                if known is None:
                    raise
        return known[0]
