"""Request headers read straight from the ASGI scope, where they are few and lower-case."""

from __future__ import annotations

from starlette.types import Scope


def header(scope: Scope, name: bytes) -> bytes | None:
    """Return the first header of this lower-case name, or None."""
    for key, value in scope["headers"]:
        if key == name:
            assert isinstance(value, bytes)
            return value
    return None
