"""The object that keeps a server's own keys: those of its administrators, who may do everything.

It is a durable object like any other, in a folder like a tenant's, so that such a key is made, kept
and revoked as a tenant's are.
"""

from __future__ import annotations

import secrets
from typing import Final

from raydo.actors.audit_log import AuditLog
from raydo.actors.keys import Keys
from raydo.actors.object import DurableObject
from raydo.pipelining.method import Exposed, call

SECRET_BYTES: Final = 32
_SECRET: Final = "token_secret"  # noqa: S105 - the name of the fact
SERVER: Final = "server"  # the id of the one object of this class


class Administration(DurableObject):
    """Keep the keys of a server's administrators."""

    keys = Exposed(Keys)
    audit = Exposed(AuditLog)

    def on_start(self) -> None:
        self.audit = AuditLog(self._state)
        self.keys = Keys(self._state)

    @call
    def token_secret(self) -> bytes:
        """Give what tenants' tokens are signed with; the first one who asks has it made."""
        kept = self._state.meta.get(_SECRET)
        if kept is None:
            return self.rotate_tokens()
        return bytes.fromhex(str(kept))

    @call
    def rotate_tokens(self) -> bytes:
        """Let no token be good that was signed before."""
        secret = secrets.token_hex(SECRET_BYTES)
        if self._state.meta.get(_SECRET) is not None:
            self._state.audit.note("tokens_revoked", {})
        self._state.meta.set(_SECRET, secret)
        return bytes.fromhex(secret)
