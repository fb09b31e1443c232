"""Who was let in, and what that opens: which tenants, which methods, from which web pages.

kind       opens
write      one tenant: sends events
browser    the same, from pages of stated origins only
read       one tenant: asks
token      the same, for a short while (`tokens`)
admin      one tenant: everything
service    the tenants of a pattern: what its scopes say
server     everything
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from raydo.actors.administration import Administration
from raydo.actors.keys import SCOPES, matches
from raydo.gateway.tenancy import DEFAULT_TENANT
from raydo.pipelining.errors import Forbidden
from raydo.pipelining.frame import decode_envelope, stamped
from raydo.pipelining.method import Needs
from raydo.pipelining.noun import Noun
from raydo.pipelining.program import Program
from raydo.pipelining.reach import check_program
from raydo.pipelining.stub import registered

SERVER_KIND: Final = "server"
SERVICE_KIND: Final = "service"
TOKEN_KIND: Final = "token"  # noqa: S105 - the kind, not a secret

_NEEDS: Final[Mapping[str, tuple[Needs, ...]]] = {
    "write": ("write",),
    "browser": ("write",),
    "read": ("read",),
    TOKEN_KIND: ("read",),
}


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who was let in: `tenant` is None for whoever may call more than one tenant's objects."""

    tenant: str | None = None
    kind: str = SERVER_KIND
    key_id: str = ""
    tenants: str | None = None  # the pattern of a service key
    scopes: tuple[str, ...] = ()
    origins: tuple[str, ...] | None = None  # None: from anywhere

    @property
    def by(self) -> str:
        """What the audit log says of who it was; nothing where there are no keys."""
        return f"{self.kind}:{self.key_id}" if self.key_id else ""

    @property
    def kinds(self) -> tuple[Needs, ...] | None:
        """The kinds of methods that may be called; None for all."""
        if self.kind == SERVICE_KIND:
            return tuple(SCOPES[scope] for scope in self.scopes)
        return _NEEDS.get(self.kind)

    @property
    def rules(self) -> bool:
        """Whether it is the server's administrator, or nobody asks for keys."""
        return self.kind == SERVER_KIND

    def check(self, needs: Needs) -> None:
        """Refuse what the key is not for.

        Raises:
            Forbidden: it is for something else.
        """
        if self.kinds is not None and needs not in self.kinds:
            raise Forbidden(
                f"This needs a key of the kind {needs}; yours is of the kind {self.kind}."
            )

    def check_origin(self, origin: bytes | None) -> None:
        """Refuse a page that the key is not for.

        Raises:
            Forbidden: it is of another origin, or nothing says of which.
        """
        if self.origins is not None and (origin or b"").decode("latin-1") not in self.origins:
            raise Forbidden("This key is for the pages of other origins.")

    def enter(self, named: str | None) -> str:
        """Say whose data is meant, given the tenant that the request names.

        Raises:
            Forbidden: the key is for another tenant, or for several, and none is named.
        """
        if self.kind == SERVICE_KIND:
            if named is None:
                raise Forbidden("This key is for several tenants: name one in X-Tenant.")
            if not matches(str(self.tenants), named):
                raise Forbidden("This key is for other tenants.")
            return named
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
        if target.cls == Administration.__name__ and not self.rules:
            raise Forbidden("Only the server's administrator may call this.")
        self.enter(target.id)

    def check_envelope(self, target: Noun, envelope: bytes) -> bytes:
        """Refuse an envelope with a call that the key is not for; give it with the caller's name.

        Raises:
            Forbidden: it has one. UnknownObject: nobody knows what its calls need.
            InvalidArgument, TooLarge: it is no envelope.
        """
        self.check_object(target)
        if self.kinds is not None:
            for each in decode_envelope(envelope):
                self.check_program(target, each.program)
        return stamped(envelope, self.by) if self.by else envelope

    def check_program(self, target: Noun, program: bytes) -> None:
        """Do the same for a program by itself."""
        self.check_object(target)
        if self.kinds is not None:
            check_program(registered(target.cls), Program.decode(program), self.kinds)


ANYBODY: Final = Caller()


def caller_of(tenant: str | None, kind: str, found: Mapping[str, Any]) -> Caller:
    """Tell what a key opens, of which its keeper said `found`."""
    origins = found.get("origins")
    return Caller(
        tenant,
        kind,
        found["id"],
        found.get("tenants"),
        tuple(found.get("scopes") or ()),
        None if origins is None else tuple(origins),
    )
