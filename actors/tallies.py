"""What `Analytics` tells of a batch that it took, and of its counters."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from raydo.actors.quota import Quota


class Rejected(TypedDict):
    """Why one event of a batch was not taken."""

    index: int
    code: str
    error: str


class Ingested(TypedDict):
    """What became of a batch; `ids` stands beside its items, None for the rejected.

    `quota` is the tighter of the tenant's quotas, if it has any.
    """

    accepted: int
    duplicates: int
    rejected: list[Rejected]
    ids: list[str | None]
    quota: NotRequired[Quota]


class Stats(TypedDict):
    """The counters in memory; `truncated` when there are more event names than are listed."""

    active: dict[str, int]
    events: dict[str, int | float]
    counters: dict[str, int | float]
    truncated: bool
