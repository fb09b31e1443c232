"""One tenant as it was at one moment, as a backup writes it down; pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from raydo.pipelining.noun import Noun

IN_FOLDER: Final = "folder"  # where an archive's files are: in the backup
ELSEWHERE: Final = "elsewhere"  # in a warehouse of the operator's, which keeps its own copies
NONE: Final = "none"


@dataclass(frozen=True, slots=True)
class Kept:
    """A file: its path in the tenant's folder, its size and time, and the pieces that it is made of."""

    path: str
    size: int
    mtime_ns: int
    pieces: list[str]


@dataclass(frozen=True, slots=True)
class Point:
    """Everything that a tenant had acknowledged before `at_ms`, and perhaps a little more.

    `exact` is False when nobody could bring the database up to date first: then what was acknowledged
    in the last seconds before may be missing. It was read until `read_ms`: nothing in it is later.
    `mark` tells whether anything changed since.
    """

    object: str
    tenant: str
    at_ms: int
    exact: bool
    seq: int
    epoch: int
    schema: int
    archive: str
    erasures: list[dict[str, Any]]  # whom it had forgotten by then: what `erase_again` takes
    mark: list[int]
    files: list[Kept]
    read_ms: int = 0

    @property
    def noun(self) -> Noun:
        """Whose it is."""
        return Noun(self.object, self.tenant)

    @property
    def pieces(self) -> list[str]:
        """All the pieces of its files."""
        return [piece for file in self.files for piece in file.pieces]

    @property
    def size(self) -> int:
        """The bytes that it restores to."""
        return sum(file.size for file in self.files)

    @property
    def has_log(self) -> bool:
        """Whether segments of the log belong to it: only when nothing ran."""
        return any(file.path.endswith(".seg") for file in self.files)

    def wire(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def read(cls, wire: dict[str, Any]) -> Self:
        """Read what `wire` gave."""
        return cls(**{**wire, "files": [Kept(**file) for file in wire["files"]]})


def folder_of(cls: str, slug: str) -> str:
    """Name the folder of a tenant's points in a vault."""
    return f"tenants/{cls}/{slug}"
