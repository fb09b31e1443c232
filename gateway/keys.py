"""What a key looks like, and where in a request it stands.

    raydo_write_YWNtZQ_9f0c…        kind, tenant (base64url), 128 random bits
    raydo_server_9f0c…              an administrator's key for the whole server
    raydo_service_9f0c…             one for the tenants of a pattern

A key names its tenant, so nobody has to be asked whose it is. Only its hash is kept anywhere.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import secrets
from dataclasses import dataclass
from typing import Final

from starlette.types import Scope

from raydo.actors.administration import SERVER, Administration
from raydo.actors.analytics import Analytics
from raydo.actors.keys import TENANT_KINDS
from raydo.gateway.caller import SERVER_KIND, SERVICE_KIND
from raydo.gateway.headers import header
from raydo.pipelining.errors import InvalidArgument, InvalidTenant, Unauthorized
from raydo.pipelining.noun import Noun, noun

KEY_CHARS_MAX: Final = 600  # what the longest tenant id makes
SERVER_KINDS: Final = (SERVER_KIND, SERVICE_KIND)  # keys that name no tenant
_PREFIX: Final = "raydo_"
_SECRET_BYTES: Final = 16


@dataclass(frozen=True, slots=True, repr=False)
class KeyText:
    """A key as it was given, read as far as it tells by itself; nothing says yet that it is good."""

    text: str
    kind: str
    tenant: str | None  # None: the server's

    @property
    def hashed(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def keeper(self) -> Noun:
        """The object that knows whether it is good."""
        return keeper(self.tenant)


def keeper(tenant: str | None) -> Noun:
    """Name the object that keeps a tenant's keys, or the server's."""
    if tenant is None:
        return Noun(Administration.__name__, SERVER)
    return noun(Analytics.__name__, tenant)


def new_key(kind: str, tenant: str | None) -> KeyText:
    """Make a key.

    Raises:
        InvalidArgument: no such kind. InvalidTenant: no tenant id.
    """
    secret = secrets.token_hex(_SECRET_BYTES)
    if tenant is None and kind in SERVER_KINDS:
        return KeyText(f"{_PREFIX}{kind}_{secret}", kind, None)
    if tenant is None or kind not in TENANT_KINDS:
        kinds = ", ".join(TENANT_KINDS)
        raise InvalidArgument(f"A tenant's key is of kind {kinds}, not {kind!r:.40}.")
    named = base64.urlsafe_b64encode(noun("", tenant).id.encode()).rstrip(b"=").decode()
    return KeyText(f"{_PREFIX}{kind}_{named}_{secret}", kind, tenant)


def read_key(text: str) -> KeyText:
    """Read a key.

    Raises:
        Unauthorized: it is none.
    """
    kind, _, rest = text.removeprefix(_PREFIX).partition("_")
    named, _, secret = rest.rpartition("_")
    if len(text) > KEY_CHARS_MAX or not text.startswith(_PREFIX) or not text.isascii():
        raise unknown()
    if kind in SERVER_KINDS and secret and not named:
        return KeyText(text, kind, None)
    if kind not in TENANT_KINDS or not secret:
        raise unknown()
    try:
        tenant = base64.b64decode(named + "=" * (-len(named) % 4), b"-_", validate=True).decode()
        return KeyText(text, kind, noun("", tenant).id)
    except (binascii.Error, ValueError, InvalidTenant):
        raise unknown() from None


def unknown() -> Unauthorized:
    """Say the one thing that is said of every key that opens nothing, whatever the reason."""
    return Unauthorized("This key is unknown, or no longer good.")


def key_in(scope: Scope) -> str | None:
    """Find the key in `Authorization`: `Bearer KEY`, or `Basic` with it as the user's name.

    Raises:
        Unauthorized: the header cannot be read.
    """
    value = header(scope, b"authorization")
    if value is None:
        return None
    scheme, _, given = value.decode("latin-1").partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(given.strip(), validate=True).decode().partition(":")[0]
        except (binascii.Error, ValueError):
            raise unknown() from None
    raise Unauthorized(
        "Send the key as `Authorization: Bearer KEY`, or as the user's name (Basic)."
    )
