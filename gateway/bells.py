"""Bells by tenant, rung when something has passed through this gateway to a tenant's object."""

from __future__ import annotations

import asyncio


class Bells:
    """Let subscriptions know at once what they would find out a moment later."""

    def __init__(self) -> None:
        self._bells: dict[str, set[asyncio.Event]] = {}

    def hang(self, tenant: str) -> asyncio.Event:
        bell = asyncio.Event()
        self._bells.setdefault(tenant, set()).add(bell)
        return bell

    def take_down(self, tenant: str, bell: asyncio.Event) -> None:
        bells = self._bells[tenant]
        bells.discard(bell)
        if not bells:
            del self._bells[tenant]

    def ring(self, tenant: str) -> None:
        for bell in self._bells.get(tenant, ()):
            bell.set()
