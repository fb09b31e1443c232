"""What an outbox's file holds: casts that wait, and frames of them that were sent."""

from __future__ import annotations

from typing import NamedTuple

from raydo.pipelining.noun import Noun


class KeptCast(NamedTuple):
    """A cast that an earlier process left, not in a frame yet."""

    id: int
    noun: Noun
    name: str
    op: bytes


class KeptFrame(NamedTuple):
    """A frame with casts that was sent, perhaps applied, and not answered yet."""

    noun: Noun
    session: bytes
    n: int
    program: bytes
    casts: int
    bytes: int
