"""One data folder that Ray serves: what its actors are called, and the machine that has it."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path

from raydo.actors.place import DIRECTORY, HOST


@dataclass(frozen=True, slots=True)
class Site:
    """Name a folder's actors, and say where they run and who is let in."""

    name: str
    data: Path
    machine: str | None = None  # Ray's id of the node that has the folder; its actors run there
    secret: bytes | None = field(
        default=None, repr=False
    )  # what callers from other machines show; None lets in nobody

    @property
    def directory(self) -> str:
        """The name of its directory."""
        return f"{self.name}-{DIRECTORY}"

    @property
    def hosts(self) -> str:
        """What the names of its hosts begin with."""
        return f"{self.name}-{HOST}"


def alone(data: Path, machine: str | None = None) -> Site:
    """Return the site of a folder that belongs to no cluster of several machines."""
    name = hashlib.blake2b(os.fsencode(data.resolve()), digest_size=8).hexdigest()
    return Site(name, data, machine)
