"""How a process is reached: by a path on its own machine, by a port and a secret from another."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple, TypeAlias


class Tcp(NamedTuple):
    """A port on another machine, and what opens it."""

    host: str
    port: int
    secret: bytes

    def __repr__(self) -> str:
        return f"{self.host}:{self.port}"


Address: TypeAlias = Path | Tcp


class Sockets(NamedTuple):
    """Where one process listens: always at a path, and for other machines at a port."""

    path: str
    host: str = ""
    port: int = 0

    def address(self, secret: bytes | None = None) -> Address:
        """Return how to reach it, from another machine if a secret is given."""
        return Path(self.path) if secret is None else Tcp(self.host, self.port, secret)
