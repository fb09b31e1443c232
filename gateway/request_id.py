"""The id of a request: the caller's own, or one made here; in its reply, its log lines, its trace."""

from __future__ import annotations

import re
import secrets
from typing import Final

from starlette.types import Scope

from raydo.gateway.headers import header

HEADER: Final = b"x-request-id"
_GOOD: Final = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}\Z")  # else it could write into a log


def id_of(scope: Scope) -> str:
    """Read a request's id, or make one when it has none that may be repeated."""
    given = header(scope, HEADER)
    if given is not None and _GOOD.match(given):
        return given.decode("ascii")
    return secrets.token_hex(8)
